"""What a server may do: its settings, from flags, environment and a TOML file, in this order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from emotone import config as configs
from emotone.errors import ConfigError
from emotone.web.guard import is_loopback

#: What a variable of the environment begins with, as in EMOTONE_SERVE_PORT=9000.
PREFIX = "EMOTONE_SERVE_"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server listens and what it allows.

    Args:
        host: Address; other than one of loopback only with `api_keys`.
        port: Port; 0 takes any that is free.
        hosts: Names by which clients may call it, beside those of loopback and `host`.
        cors_origins: Sites whose pages may call it.
        api_keys: File with one key a line; None asks for none. EMOTONE_API_KEY adds one.
        models: Names that are served, as `emotone.server.served.read` takes them; () for all that
            is here.
        emotion: Mood of requests that name none.
        device: "auto", "cpu", "cuda" or "mps".
        strict: Whether a field that the server does not know is an error.
        care: Whether posts that speak of self-harm get no anger, disgust or fear, and a pointer to
            people who help.
        rows: Replies that one model writes at once.
        queue: Requests that wait at most; the next one gets status 429.
        rate: Requests a minute of each key, or of each address without keys; 0 for any number.
        max_body: Bytes of a request.
        max_messages: Messages of a conversation.
        max_chars: Characters of all messages together.
        max_tokens: Longest reply that may be asked for.
        max_n: Replies to one request.
        prefix_bytes: Memory for the beginnings of prompts, of each model.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    api_keys: Path | None = None
    models: tuple[str, ...] = ()
    emotion: str = ""
    device: str = "auto"
    strict: bool = False
    care: bool = True
    rows: int = 32
    queue: int = 64
    rate: int = 0
    max_body: int = 1 << 20
    max_messages: int = 128
    max_chars: int = 32_000
    max_tokens: int = 1024
    max_n: int = 8
    prefix_bytes: int = 1 << 28

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("rows", "queue", "max_body", "max_messages", "max_chars", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; use 1 or more")


def read_settings(
    path: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Settings, tuple[str, ...]]:
    """Read settings and API keys.

    Args:
        path: TOML file; None for none.
        flags: What the command line says, which overrules all.
        environment: Variables.

    Returns:
        The settings, and the keys.

    Raises:
        ConfigError: If a setting is unknown or of the wrong type, or the server would be open to
            the network without a key.
    """
    lists = {f.name for f in fields(Settings) if str(f.type).startswith("tuple")}
    given: dict[str, object] = {}
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            given[name] = text.split(",") if name in lists else text
    given |= {name: value for name, value in (flags or {}).items() if value is not None}
    overrides: Sequence[str] = [
        f"{name}={value if isinstance(value, str) else configs.literal(value)}"
        for name, value in given.items()
    ]
    settings = configs.load(Settings, path, overrides)
    keys = tuple(filter(None, [environment.get("EMOTONE_API_KEY", ""), *_keys(settings.api_keys)]))
    if not is_loopback(settings.host) and not keys:
        raise ConfigError(
            f"the host {settings.host} is open to the network, and no key is asked for; name a file"
            " of keys with --api-keys, or listen on 127.0.0.1"
        )
    return settings, keys


def _keys(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the file of keys {path}; give one key a line") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"{path} holds no key; write one a line, or leave --api-keys out")
    return keys
