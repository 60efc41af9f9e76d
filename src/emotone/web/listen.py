"""Listen on an address until asked to stop."""

from __future__ import annotations

import signal
import socket
import threading
import webbrowser
from collections.abc import Callable
from typing import Any

from emotone.errors import RunError, UsageError

#: Seconds that requests have to end after the first SIGTERM or interrupt; the second ends at once.
DRAIN = 30
#: Seconds in which a server that cannot answer any more says so, before it ends.
LAST_WORDS = 5


def bind(host: str, port: int) -> socket.socket:
    """Take an address, so that a taken one is said before any model is loaded.

    Raises:
        UsageError: If the host is none of this machine, or the port is out of range.
        RunError: If the port is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"the port is {port}; use one from 0 (any that is free) to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        own = socket.socket(family, socket.SOCK_STREAM)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((host, port))
    except socket.gaierror as error:
        raise UsageError(f"the host {host!r} is not known here; use 127.0.0.1 or ::1") from error
    except OSError as error:
        raise RunError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port"
        ) from error
    return own


def listen(
    app: Any,
    own: socket.socket,
    *,
    ready: Callable[[str], None],
    open_page: str | None = None,
    death: Callable[[], BaseException | None] = lambda: None,
) -> None:
    """Serve an ASGI application; returns after SIGTERM or an interrupt, when requests ended.

    Args:
        app: The application.
        own: The socket of `bind`.
        ready: Called with the address once requests are taken.
        open_page: Path of the page that is opened in the browser; None opens none.
        death: What ended the application for good, if anything did; asked ten times a second.

    Raises:
        RunError: If the application died, so that who started the process starts it anew.
    """
    import uvicorn

    host, port = own.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    class Server(uvicorn.Server):
        ticks = 0  # since the application died, ten a second

        async def on_tick(self, counter: int) -> bool:
            self.ticks += death() is not None
            return await super().on_tick(counter) or self.ticks > 10 * LAST_WORDS

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready(address)
                if open_page is not None:
                    page = address + open_page
                    threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN,
        h11_max_incomplete_event_size=64 * 1024,
    )
    # uvicorn drains, and then raises the signal again, which would end the process as a failure.
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: None) if main else None
    try:
        Server(config).run([own])
    except KeyboardInterrupt:  # an interrupt is how one ends it, and it ended well
        pass
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
        own.close()
    if (cause := death()) is not None:
        raise RunError(f"what answers has ended ({cause!r}); start the server again") from cause
