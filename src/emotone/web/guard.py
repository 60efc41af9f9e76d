"""Refuse what no client of ours sends: foreign hosts and origins, other bodies than JSON.

A page of the web cannot reach a server on this machine by a name that it made point here (the Host
header then is that name), nor by a form or a script (their Origin is foreign, and a body that needs
no leave of the browser is not JSON). No other site may read an answer, for none is named in CORS.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Only files of our own run or style a page, nothing stands inline, and nobody frames it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_CHANGES = ("POST", "PUT", "PATCH", "DELETE")


def failure(status: int, message: str, *, code: str = "", param: str | None = None) -> JSONResponse:
    """Build an error as OpenAI's clients read it.

    Args:
        status: HTTP status.
        message: One sentence: what came, what is allowed, what to do.
        code: Such as "model_not_found"; may be empty.
        param: The field of the request that is wrong, where one is.
    """
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": param, "code": code or None}
    return JSONResponse({"error": error}, status)


def retry(answer: JSONResponse, seconds: float) -> JSONResponse:
    """Say after how many seconds one may try again."""
    answer.headers["retry-after"] = str(max(1, math.ceil(seconds)))
    return answer


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """The outermost layer of an application.

    Args:
        app: The application.
        hosts: Names beside those of loopback by which clients may call; "*" lets all pass.
        origins: Sites whose pages may call and read the answers, such as "https://chat.example".
        max_body: Bytes of a body that says its length; 0 for any number.
    """

    def __init__(
        self,
        app: App,
        hosts: Sequence[str] = (),
        origins: Sequence[str] = (),
        *,
        max_body: int = 0,
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.rstrip("/").lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)  # pyright: ignore[reportArgumentType]
        origin = headers.get("origin", "").rstrip("/").lower()
        cross = {
            "access-control-allow-origin": origin,
            "access-control-allow-headers": "authorization, content-type",
            "access-control-allow-methods": "GET, POST, DELETE",
            "vary": "Origin",
        } if origin in self._origins else {}  # fmt: skip

        async def secured(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)  # pyright: ignore[reportArgumentType]
                for name, value in {**HEADERS, **cross}.items():
                    sent.setdefault(name, value)
                if cross:
                    sent["cross-origin-resource-policy"] = "cross-origin"
                sent.setdefault("cache-control", "no-store")
            await send(message)

        answer: App = self._refusal(scope, headers, origin) or self._app
        if scope["method"] == "OPTIONS" and cross:
            answer = Response(status_code=204)
        await answer(scope, receive, secured)

    def _refusal(self, scope: Scope, headers: Headers, origin: str) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._own(host):
            return failure(
                421,
                f"the host {host[:100]!r} is not one that this server answers as; call it by its"
                " address, or name the host when the server is started",
                code="wrong_host",
            )
        if scope["method"] not in _CHANGES:
            return None
        foreign = origin and origin not in self._origins and urlsplit(origin).netloc != host.lower()
        if foreign or (not origin and headers.get("sec-fetch-site", "none") == "cross-site"):
            sentence = "the request comes from a page of another site; it is refused"
            return failure(403, sentence, code="other_site")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        length = headers.get("content-length", "0")
        if self._max_body and (not length.isdigit() or int(length[:19]) > self._max_body):
            sentence = f"the body is larger than {self._max_body} bytes; send less"
            return failure(413, sentence, code="too_large")
        empty = length == "0" and "transfer-encoding" not in headers
        if kind != "application/json" and not empty:
            sentence = f"the body is {kind[:100] or 'of no type'}; send application/json"
            return failure(415, sentence, code="not_json")
        return None

    def _own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return "*" in self._hosts or is_loopback(name) or name in self._hosts
