"""Speak to a server of OpenAI's API over HTTP, HTTPS or a socket of the file system."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from emotone.errors import RunError, UsageError

#: Bytes of an answer that are read at most.
_MOST = 64 * 2**20


class NoAnswer(RunError):
    """A server could not be asked, or its answers prove nothing."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Args:
        status: Of HTTP.
        value: Its JSON.
    """

    status: int
    value: Any

    @property
    def good(self) -> bool:
        """Whether it did what was asked."""
        return self.status == 200

    def complaint(self) -> str:
        """Return the server's own words about what is wrong, on one line."""
        error: Any = self.value.get("error", self.value) if isinstance(self.value, dict) else ""
        told: Any = error.get("message", error) if isinstance(error, dict) else error
        return f"status {self.status}: {' '.join(str(told).split())[:300]}"


class _Socket(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Server:
    """A server of OpenAI's API.

    Args:
        url: "http://host:8000" or "https://...", with or without "/v1" at its end, or
            "unix:/path/of/socket".
        key: Sent as a bearer token; "" for none.
        timeout: Seconds that an answer may take.

    Raises:
        UsageError: If the URL is of another kind, or the key can be sent in no header.
    """

    url: str
    key: str = field(default="", repr=False)
    timeout: float = 300.0

    def __post_init__(self) -> None:
        """Refuse other URLs."""
        try:
            parts = urlsplit(self.url)
            web = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            web, parts = False, urlsplit("")
        if not web and not (parts.scheme == "unix" and parts.path):
            raise UsageError(
                f"the URL {self.url!r} cannot be asked; write http://HOST:PORT, https://HOST or"
                " unix:/PATH"
            )
        if not (self.key.isascii() and self.key.isprintable()):
            raise UsageError("the API key holds signs that no header can; check EMOTONE_API_KEY")

    def get(self, path: str) -> Answer:
        """Ask for a path such as "models" below /v1, or "/health" below the server itself."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Send JSON to a path such as "completions" below /v1."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        line, base = self._line()
        path = path if path.startswith("/") else f"/v1/{path}"
        try:
            payload = None if body is None else json.dumps(body).encode()
            line.request(method, f"{base}{path}", payload, headers)
            response = line.getresponse()
            blob = response.read(_MOST)
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise NoAnswer(
                f"{self.url} does not answer ({why}); start the server, or mend the URL"
            ) from error
        finally:
            line.close()
        try:
            value = json.loads(blob)
        except ValueError as error:
            if response.status != 200:
                return Answer(response.status, {})
            raise NoAnswer(
                f"{self.url} answered {path} with something that is no JSON; name a server of"
                " OpenAI's API"
            ) from error
        return Answer(response.status, value)

    def _line(self) -> tuple[http.client.HTTPConnection, str]:
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return _Socket(parts.path, self.timeout), ""
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        base = parts.path.rstrip("/").removesuffix("/v1")
        return kind(parts.hostname or "", parts.port, timeout=self.timeout), base
