"""How often one may ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Names whose counts are kept; the oldest give way.
_NAMES = 4096


class Rate:
    """Requests a minute of each name: a bucket that fills steadily.

    Args:
        per_minute: How many; 0 for any number.
        now: A clock in seconds.
        burst: How many at once; None for a minute's worth.
    """

    def __init__(
        self,
        per_minute: float,
        now: Callable[[], float] = time.monotonic,
        *,
        burst: float | None = None,
    ) -> None:
        self._per_minute = per_minute
        self._burst = per_minute if burst is None else burst
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, name: str) -> float:
        """Count a request; return the seconds to wait where it is one too many, else 0."""
        if not self._per_minute:
            return 0.0
        with self._lock:
            now = self._now()
            left, since = self._buckets.pop(name, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._per_minute / 60)
            enough = left >= 1
            self._buckets[name] = (left - 1 if enough else left, now)
            if len(self._buckets) > _NAMES:
                self._buckets.pop(next(iter(self._buckets)))
            return 0.0 if enough else (1 - left) * 60 / self._per_minute
