"""A server of tiny systems in this process, on a socket of the file system."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import uvicorn

from emotone.door import Door
from emotone.protocols import Responder
from emotone.server.app import build
from emotone.server.settings import Settings
from emotone.server.worker import Worker

#: Seconds that a test waits for a server or a page, on a slow machine too.
PATIENCE = 20.0


class Ready:
    """A name whose system is loaded."""

    def __init__(self, name: str, responder: Responder) -> None:
        self.name = name
        self._door = Door.of(responder)

    def open(self, device: str) -> Door:
        return self._door


def worker_of(systems: Mapping[str, Responder], **settings: Any) -> Worker:
    served: Any = {name: Ready(name, system) for name, system in systems.items()}
    return Worker(served, **settings)


@contextmanager
def serving(
    place: Path, worker: Worker, settings: Settings | None = None, keys: tuple[str, ...] = ()
) -> Iterator[httpx.Client]:
    """Serve on `place/socket`; yields a client of it."""
    path = str(place / "socket")
    app = build(settings or Settings(), keys, worker=worker)
    config = uvicorn.Config(app, uds=path, log_level="warning", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    client = httpx.Client(
        transport=httpx.HTTPTransport(uds=path), base_url="http://localhost", timeout=30
    )
    try:
        until(lambda: server.started and worker.ready)
        yield client
    finally:
        client.close()
        server.should_exit = True
        thread.join(10)


def until(condition: Any, seconds: float = PATIENCE) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not come")
        time.sleep(0.01)
