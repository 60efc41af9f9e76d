"""The application: OpenAI's endpoints, ours beside them, and the page."""

from __future__ import annotations

import asyncio
import json
import logging
import mimetypes
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, NoReturn

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from emotone import __version__
from emotone.emotions import FULL
from emotone.errors import EmotoneError, UsageError
from emotone.server import answers, wire
from emotone.server.access import Keys
from emotone.server.answers import Ask
from emotone.server.failures import error_of
from emotone.server.jobs import Finished
from emotone.server.meters import Meters
from emotone.server.served import chosen, split_id
from emotone.server.settings import Settings
from emotone.server.worker import Worker
from emotone.web.guard import App, Guard, Receive, Scope, Send, failure, retry
from emotone.web.rate import Rate

log = logging.getLogger("emotone.server")
#: Paths that ask for no key: the page and its files hold nothing of anybody.
OPEN = ("/", "/health", "/favicon.ico")
#: Seconds between two looks at whether a client is still there.
_LOOK = 0.2


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Read the body as JSON; numbers that JSON does not have, and endless nesting, are none."""
        body = await self.body()
        try:
            return json.loads(body, parse_constant=_no_number)
        except (RecursionError, UnicodeDecodeError) as error:
            raise json.JSONDecodeError(str(error) or "nested too deeply", "", 0) from error


def _no_number(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is no number of JSON", "", 0)


class _StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


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


def build(settings: Settings, keys: Sequence[str] = (), *, worker: Worker | None = None) -> App:
    """Build the application.

    Args:
        settings: What it may do.
        keys: API keys; () asks for none.
        worker: What answers; None makes one of the settings.
    """
    served = chosen(settings.models) if worker is None else worker.served
    hand = worker or Worker(
        served,
        device=settings.device,
        rows=settings.rows,
        waiting=settings.queue,
        prefix_bytes=settings.prefix_bytes,
    )
    meters = Meters(hand)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        hand.start([next(iter(served))])
        try:
            yield
        finally:
            await asyncio.to_thread(hand.stop)

    app = FastAPI(
        title="emotone",
        version=__version__,
        description="Replies with a chosen emotion, over OpenAI's API.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.max_body,  # of bodies that do not say their length
    )
    app.include_router(_writing(hand, settings, meters))
    app.include_router(_telling(hand, settings, meters))
    page = files("emotone.server") / "page"
    for kind, end in (("text/javascript", ".js"), ("text/css", ".css")):
        mimetypes.add_type(kind, end)  # some machines call scripts plain text, and none would run

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        text = (page / "index.html").read_text(encoding="utf-8")
        return Response(text, media_type="text/html")

    app.mount("/page", StaticFiles(directory=str(page)))

    @app.exception_handler(EmotoneError)
    async def ours(_: Request, error: EmotoneError) -> JSONResponse:
        return error_of(error)

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = [str(p) for p in first.get("loc", ()) if p != "body"]
        where = ".".join(place)[:80]
        message = str(first.get("msg", "wrong")).removeprefix("Value error, ")
        return failure(400, f"{where or 'the body'}: {message[:200]}", param=where or None)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return failure(error.status_code, _HTTP.get(error.status_code, str(error.detail)[:200]))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return error_of(error)

    gated = _Gate(app, Keys(keys), Rate(settings.rate))
    hosts = [settings.host, *settings.hosts]
    return Guard(gated, hosts, settings.cors_origins, max_body=settings.max_body)


_HTTP = {
    404: "there is nothing at this path; /v1/models lists what answers",
    405: "this path takes another method",
    413: "the request is larger than this server takes; send less",
}


def _writing(worker: Worker, settings: Settings, meters: Meters) -> APIRouter:
    router = APIRouter(route_class=_StrictRoute)

    def begin(body: wire.Request, messages: Sequence[wire.Message], **more: Any) -> Ask:
        if not worker.ready:
            raise worker.unready()
        remarks = answers.check_fields(body, settings)
        dialogue, about = answers.dialogue_of(messages, settings)
        return answers.ask(body, dialogue, messages, worker, settings, [*remarks, *about], **more)

    async def wait(request: Request, ask: Ask) -> list[Finished]:
        """Wait for the replies, as long as the client does."""
        waiting = asyncio.ensure_future(answers.whole(ask))
        while not (await asyncio.wait([waiting], timeout=_LOOK))[0]:
            if await request.is_disconnected():
                ask.cancel()
        return waiting.result()

    @router.post("/v1/chat/completions", responses=_ERRORS)
    async def chat(request: Request, body: wire.ChatRequest) -> Response:
        """Answer a conversation in a mood."""
        with meters.request("chat") as count:
            ask = begin(body, body.messages, longest=body.max_completion_tokens)
            count.model = ask.jobs[0].served.name
            if body.stream:
                with_usage = body.stream_options is not None and body.stream_options.include_usage
                pieces = meters.timed(answers.chat_stream(ask, with_usage=with_usage))
                return StreamingResponse(pieces, media_type="text/event-stream")
            finished = await wait(request, ask)
            meters.written(finished)
            return JSONResponse(answers.chat_answer(ask, finished))

    @router.post("/v1/completions", responses=_ERRORS)
    async def completion(request: Request, body: wire.CompletionRequest) -> Response:
        """Answer each prompt as a post."""
        with meters.request("completion") as count:
            if body.stream or body.echo:
                raise UsageError("/v1/completions offers no stream and no echo; use the chat path")
            prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
            if not 1 <= len(prompts) <= settings.max_n:
                raise UsageError(f"{len(prompts)} prompts came; send 1 to {settings.max_n}")
            texts = [[wire.Message(role="user", content=prompt)] for prompt in prompts]
            asks: list[Ask] = []
            try:
                for messages in texts:
                    asks.append(begin(body, messages, kind="cmpl"))
                count.model = asks[0].jobs[0].served.name
                rows = [await wait(request, ask) for ask in asks]
            except BaseException:
                for ask in asks:
                    ask.cancel()
                raise
            every = [f for finished in rows for f in finished]
            meters.written(every)
            choices = [
                {
                    "index": i,
                    "text": answers.text_of(f.reply.text, ask),
                    "logprobs": None,
                    "finish_reason": f.reply.finish_reason or "stop",
                    "emotone": answers.told(f, ask, meter=False),
                }
                for i, (ask, f) in enumerate(
                    (ask, f) for ask, finished in zip(asks, rows, strict=True) for f in finished
                )
            ]
            head = {"id": asks[0].id, "object": "text_completion", "created": asks[0].created}
            return JSONResponse(
                {**head, "model": asks[0].name, "choices": choices, "usage": answers.usage(every)}
            )

    @router.post("/v1/responses", responses=_ERRORS)
    async def response(request: Request, body: wire.ResponseRequest) -> Response:
        """Answer an input; without tools, streams and stored state."""
        with meters.request("response") as count:
            if body.stream or body.n not in (None, 1):
                raise UsageError("/v1/responses offers one reply and no stream; use the chat path")
            given = body.input
            messages = (
                [wire.Message(role="user", content=given)] if isinstance(given, str) else given
            )
            ask = begin(body, messages, longest=body.max_output_tokens, kind="resp")
            count.model = ask.jobs[0].served.name
            finished = await wait(request, ask)
            meters.written(finished)
            return JSONResponse(_response_of(ask, finished[0]))

    return router


def _response_of(ask: Ask, finished: Finished) -> dict[str, Any]:
    text = answers.text_of(finished.reply.text, ask)
    cut = finished.reply.finish_reason == "length"
    used = answers.usage([finished])
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "id": ask.id.replace("resp", "msg"),
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if cut else "completed",
        "content": [part],
    }
    return {
        "id": ask.id,
        "object": "response",
        "created_at": ask.created,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "model": ask.name,
        "output": [message],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": {
            "input_tokens": used["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": used["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used["total_tokens"],
        },
        "emotone": answers.told(finished, ask, meter=False),
    }


def _telling(worker: Worker, settings: Settings, meters: Meters) -> APIRouter:
    router = APIRouter()
    began = int(time.time())

    def row(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": began, "owned_by": "emotone"}

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the models; each may be asked with a mood in its name, as in "smollm2@joy:60"."""
        return {"object": "list", "data": [row(name) for name in worker.served]}

    @router.get("/v1/models/{name}", responses=_ERRORS)
    async def model(name: str) -> dict[str, Any]:
        """Describe one model."""
        return row(split_id(name, worker.served)[0].name)

    @router.get("/v1/emotions", responses=_ERRORS)
    async def emotions(model: str = "") -> dict[str, Any]:
        """List the emotions and moods of a model, how they may be written, and their vectors."""
        name = model or next(iter(worker.served))
        served = split_id(name, worker.served)[0]
        if not worker.ready:
            raise worker.unready()
        responder = await asyncio.wrap_future(worker.call(lambda: worker.door(served).responder))
        return _emotions_of(served.name, responder)

    @router.get("/health")
    async def health() -> Response:
        """Whether replies are written now."""
        status = "dead" if worker.death else "ok" if worker.ready else "loading"
        row = {"status": status, "running": worker.running, "waiting": worker.pending}
        return JSONResponse(row, 200 if status == "ok" else 503)

    @router.get("/version")
    async def version() -> dict[str, str]:
        """The version of emotone."""
        return {"version": __version__}

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/v1/settings", include_in_schema=False)
    async def limits() -> Mapping[str, Any]:
        """What the page needs to know."""
        return {
            "max_tokens": settings.max_tokens,
            "max_n": settings.max_n,
            "care": settings.care,
            "default": next(iter(worker.served)),
        }

    return router


def _emotions_of(name: str, responder: Any) -> dict[str, Any]:
    capabilities = responder.capabilities
    taxonomy = capabilities.taxonomy
    vectors = getattr(responder, "vectors", None)
    labels = () if taxonomy is None else taxonomy.labels
    aliases: dict[str, list[str]] = {label: [] for label in labels}
    for alias, label in taxonomy.aliases.items() if taxonomy is not None else ():
        aliases.setdefault(label, []).append(alias)
    card = None
    if vectors is not None:
        card = {
            "model": vectors.card.model,
            "method": vectors.card.method,
            "site": vectors.card.site,
            "positions": vectors.card.positions,
            "data": vectors.card.data,
            "licence": vectors.card.notes.get("licence"),
            "judge": vectors.card.measured.get("judge"),
            "listens_to": [] if vectors.listener is None else list(vectors.listener.labels),
        }
    return {
        "object": "list",
        "model": name,
        "graded": capabilities.graded,
        "mixes": capabilities.mixes,
        "empathy": capabilities.empathy,
        "history": capabilities.history,
        "streaming": capabilities.streaming,
        "languages": list(capabilities.languages),
        "data": [
            {
                "id": label,
                "object": "emotion",
                "aliases": aliases[label],
                "range": [-FULL, FULL] if capabilities.graded else [FULL, FULL],
                "calibrated": vectors is None or label in vectors.card.measured.get("doses", {})
                or label in vectors.card.curves,
            }
            for label in labels
        ],
        "vectors": card,
    }  # fmt: skip


_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "What was asked cannot be meant."},
    401: {"description": "No valid key."},
    404: {"description": "No such model."},
    413: {"description": "Too large."},
    415: {"description": "Not JSON."},
    429: {"description": "Too many requests; Retry-After says when to come again."},
    503: {"description": "Models are loading."},
}
