"""The application: OpenAI's endpoints, ours beside them, and the page."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from emotone import __version__
from emotone.errors import EmotoneError
from emotone.server import telling, writing
from emotone.server.access import Keys
from emotone.server.failures import error_of
from emotone.server.meters import Meters
from emotone.server.served import chosen
from emotone.server.settings import Settings
from emotone.server.worker import Worker
from emotone.web.guard import App, Guard, Receive, Scope, Send, failure, retry
from emotone.web.rate import Rate

#: Paths that ask for no key: the page and its files hold nothing of anybody.
OPEN = ("/", "/health", "/favicon.ico")


class _Gate:
    """Lets in who has a key, and not too often."""

    def __init__(self, app: App, keys: Keys, rate: Rate) -> None:
        self._app, self._keys, self._rate = app, keys, rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        refusal: JSONResponse | None = None
        path = scope.get("path", "")
        if scope["type"] == "http" and path not in OPEN and not path.startswith("/page/"):
            headers = Headers(scope=scope)  # pyright: ignore[reportArgumentType]
            owner = self._keys.owner(headers.get("authorization", ""))
            client = (scope.get("client") or ("",))[0]
            if owner is None:
                refusal = failure(
                    401, "no valid API key came; send one as a bearer token", code="invalid_api_key"
                )
            elif scope["method"] == "POST" and (wait := self._rate.wait(owner or client)):
                refusal = retry(failure(429, "too many requests; wait a little", code="rate"), wait)
        await (refusal or self._app)(scope, receive, send)


def worker_of(settings: Settings) -> Worker:
    """Make the worker that settings ask for; the application starts it."""
    return Worker(
        chosen(settings.models),
        device=settings.device,
        rows=settings.rows,
        waiting=settings.queue,
        prefix_bytes=settings.prefix_bytes,
    )


def build(settings: Settings, keys: Sequence[str] = (), *, worker: Worker | None = None) -> App:
    """Build the application.

    Args:
        settings: What it may do.
        keys: API keys; () asks for none.
        worker: What answers; None makes one of the settings.
    """
    hand = worker or worker_of(settings)
    served = hand.served
    meters = Meters(hand)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        hand.start([next(iter(served))])
        try:
            yield
        finally:
            await asyncio.to_thread(hand.stop)

    app = bare("Replies with a chosen emotion, over OpenAI's API.", life, settings)
    app.include_router(writing.router(hand, settings, meters))
    app.include_router(telling.router(hand, settings, meters))
    page = files("emotone.server") / "page"
    for kind, end in (("text/javascript", ".js"), ("text/css", ".css")):
        mimetypes.add_type(kind, end)  # some machines call scripts plain text, and none would run

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        text = (page / "index.html").read_text(encoding="utf-8")
        return Response(text, media_type="text/html")

    app.mount("/page", StaticFiles(directory=str(page)))

    return dressed(app, settings, keys)


def bare(description: str, life: Any, settings: Settings) -> FastAPI:
    """Make an application without paths.

    Args:
        description: What it is, for the OpenAPI document.
        life: Its lifespan.
        settings: What it may do.
    """
    return FastAPI(
        title="emotone",
        version=__version__,
        description=description,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.max_body,  # of bodies that do not say their length
    )


def dressed(app: FastAPI, settings: Settings, keys: Sequence[str]) -> App:
    """Put around an application what refuses strangers and says errors as OpenAI does."""

    @app.exception_handler(EmotoneError)
    async def ours(_: Request, error: EmotoneError) -> JSONResponse:
        return error_of(error)

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = [str(p) for p in first.get("loc", ()) if p != "body"]
        where = ".".join(place)[:80]
        message = str(first.get("msg", "wrong")).removeprefix("Value error, ")
        sentence = f"{where or 'the body'}: {message[:200]}"
        return failure(400, sentence, code="invalid_value", param=where or None)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        sentence, code = _HTTP.get(error.status_code, (str(error.detail)[:200], ""))
        return failure(error.status_code, sentence, code=code)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return error_of(error)

    gated = _Gate(app, Keys(keys), Rate(settings.rate))
    hosts = [settings.host, *settings.hosts]
    return Guard(gated, hosts, settings.cors_origins, max_body=settings.max_body)


_HTTP = {
    404: ("there is nothing at this path; /v1/models lists what answers", "not_found"),
    405: ("this path takes another method", "wrong_method"),
    413: ("the request is larger than this server takes; send less", "too_large"),
}
