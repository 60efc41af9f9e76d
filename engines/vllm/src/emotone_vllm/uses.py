"""Which names vLLM may forget: those that no request that still runs can have looked up.

vLLM keeps every name that was resolved, and reads an adapter again from its folder when a request
for it is next in turn and others took its place in memory. A folder that is gone by then ends the
engine. And a name that is resolved anew while the old one is still being written under gets a
second number in the same batch, which ends it too. So for each name the time of its last look-up is
kept, for each running request the time of its begin, and a name may go if

    last look-up < begin of the oldest running request
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

#: Seconds for which a request whose client left counts as running: the engine hears of it late.
LINGER = 5.0


class Uses:
    """Times of look-ups and of requests, counted in events.

    Args:
        now: A clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._count = itertools.count(1)
        self._running: set[int] = set()
        self._left: dict[int, float] = {}
        self._looked_up: dict[str, int] = {}

    def begin(self) -> int:
        """Note that a request begins; return its time."""
        begun = next(self._count)
        self._running.add(begun)
        return begun

    def end(self, begun: int, *, whole: bool) -> None:
        """Note that a request ended, whole or because its client left."""
        self._running.discard(begun)
        if not whole:
            self._left[begun] = self._now()

    def look_up(self, name: str) -> None:
        """Note that a request looked a name up."""
        self._looked_up.pop(name, None)
        self._looked_up[name] = next(self._count)

    def forget(self, name: str) -> None:
        """Forget a name."""
        self._looked_up.pop(name, None)

    def idle(self, names: Collection[str]) -> Iterator[str]:
        """Yield those of some names that may go, the one that was not used for longest first."""
        since = self._now() - LINGER
        self._left = {begun: at for begun, at in self._left.items() if at > since}
        oldest = min((*self._running, *self._left), default=next(self._count))
        for name, at in list(self._looked_up.items()):
            if at > oldest:
                return
            if name in names:
                yield name


class Table(dict[str, Any]):
    """vLLM's table of adapters by name, which notes when one is looked up."""

    def __init__(self, rows: dict[str, Any], uses: Uses) -> None:
        super().__init__(rows)
        self._uses = uses

    def __contains__(self, name: object) -> bool:
        """Tell whether a name is here; vLLM asks this once a request, before it takes the row."""
        here = super().__contains__(name)
        if here:
            self._uses.look_up(str(name))
        return here

    def __setitem__(self, name: str, row: Any) -> None:
        """Take a name."""
        super().__setitem__(name, row)
        self._uses.look_up(name)
