"""Signals that ask a run to stop: it saves at the next step and leaves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stopped(SystemExit):
    """The run was asked to stop and has saved; the exit code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class StopRequest:
    """Which signal has come."""

    def __init__(self) -> None:
        self.number = 0  # 0 for none

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal; a second interrupt does not wait for the step to end."""
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch SIGTERM and SIGINT inside; outside the main thread, where Python cannot, do nothing."""
    request = StopRequest()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, request)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
