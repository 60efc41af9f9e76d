"""Ask an engine of OpenAI's API that runs elsewhere, and pass on what it says while it says it.

Needs the extra `serve`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import anyio
import httpx2 as httpx
from fastapi import Request
from fastapi.responses import JSONResponse, StreamingResponse

from emotone.errors import UsageError
from emotone.web.guard import Receive, Scope, Send, failure, retry

#: Seconds to reach the engine, and in which it must say something: it may queue a request first.
_REACH, _PATIENCE = 5.0, 600.0
#: Seconds between two looks at whether a client is still there.
_LOOK = 0.2
_Value = TypeVar("_Value")


class Gone(Exception):
    """The client left before there was an answer."""


class Upstream:
    """An engine.

    Args:
        url: Such as "http://127.0.0.1:8001", with or without "/v1" at its end.
        key: Sent as a bearer token; "" for none.
        transport: Another way to it, in tests.

    Raises:
        UsageError: If the URL is of another kind.
    """

    def __init__(self, url: str, key: str = "", *, transport: Any = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"the URL {url!r} cannot be asked; write http://HOST:PORT")
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"accept-encoding": "identity"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(_PATIENCE, connect=_REACH),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            transport=transport,
        )

    async def close(self) -> None:
        """Let all connections go."""
        await self._client.aclose()

    async def healthy(self) -> bool:
        """Tell whether the engine writes."""
        try:
            return (await self._client.get("/health", timeout=_REACH)).status_code == 200
        except httpx.HTTPError:
            return False

    async def get(self, path: str) -> httpx.Response:
        """Ask for a path.

        Raises:
            httpx.HTTPError: If the engine does not answer.
        """
        return await self._client.get(path)

    async def begin(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Send JSON, and come back when the answer begins; the caller closes it.

        Raises:
            httpx.HTTPError: If the engine does not answer.
        """
        request = self._client.build_request("POST", path, json=body)
        return await self._client.send(request, stream=True)


async def while_there(request: Request, work: Coroutine[Any, Any, _Value]) -> _Value:
    """Wait for work as long as the client does.

    Raises:
        Gone: If it left; the work is then cancelled, and with it what the engine does for it.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=_LOOK))[0]:
            if await request.is_disconnected() and not task.done():
                raise Gone
        return task.result()
    finally:
        task.cancel()


class Passed(StreamingResponse):
    """A stream of the engine, piece by piece as it comes; a reader who leaves ends it there too.

    Args:
        answer: The engine's.
        before: Sent first.
    """

    def __init__(self, answer: httpx.Response, before: bytes = b"") -> None:
        self._answer = answer
        self._before = before
        super().__init__(self._pieces(), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._answer.aclose()

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self._before:
            yield self._before
        try:
            async for piece in self._answer.aiter_raw():
                yield piece
        except httpx.HTTPError:
            yield b"data: " + bytes(silent().body) + b"\n\n"


def silent() -> JSONResponse:
    """Build the answer where the engine gave none."""
    sentence = "the engine does not answer; it is starting or has ended, so try again soon"
    return retry(failure(503, sentence, code="unavailable"), 5)


def refusal(status: int, blob: bytes) -> JSONResponse:
    """Say an engine's error as our own server does.

    Args:
        status: Of the engine's answer.
        blob: Its body; what is no error of OpenAI's is not told, for it may hold anything.
    """
    try:
        error: Any = json.loads(blob)["error"]
        sentence, param = str(error["message"])[:1000], error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        sentence, param = f"the engine answered with status {status}; its log says why", None
    code = {400: "invalid_value", 404: "model_not_found"}.get(status, "failed")
    where = param if isinstance(param, str) else None
    return failure(status if 400 <= status < 600 else 502, sentence, code=code, param=where)
