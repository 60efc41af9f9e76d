"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Sequence

#: Names whose counts are kept; the oldest give way.
_NAMES = 4096


class Keys:
    """API keys, of which only hashes are kept.

    Args:
        keys: The keys; none let everybody in.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def owner(self, header: str) -> str | None:
        """Return a name for whose key an Authorization header holds; None for none of ours.

        Every key is compared, so that the time says nothing of them.
        """
        if not self._digests:
            return ""
        kind, _, key = header.partition(" ")
        given = _digest(key.strip())
        equal = [hmac.compare_digest(given, own) for own in self._digests]
        return given.hex()[:12] if any(equal) and kind.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class Rate:
    """Requests a minute of each name: a bucket that fills steadily and holds a minute's worth.

    Args:
        per_minute: How many; 0 for any number.
        now: A clock in seconds.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, name: str) -> float:
        """Count a request; return the seconds to wait where it is one too many, else 0."""
        if not self._per_minute:
            return 0.0
        with self._lock:
            now = self._now()
            left, since = self._buckets.pop(name, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - since) * self._per_minute / 60)
            enough = left >= 1
            self._buckets[name] = (left - 1 if enough else left, now)
            if len(self._buckets) > _NAMES:
                self._buckets.pop(next(iter(self._buckets)))
            return 0.0 if enough else (1 - left) * 60 / self._per_minute
