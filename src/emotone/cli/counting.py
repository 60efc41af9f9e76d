"""A count that runs on stderr while something is read whose end is not known."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# Seconds between two updates.
_EVERY = 0.2


def counted(items: Iterable[T], what: str) -> Iterator[T]:
    """Yield the items and show how many there were; where stderr is a file, show nothing."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield from items
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} {task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(what, total=None)
        shown = time.monotonic()
        count = 0
        for item in items:
            yield item
            count += 1
            if time.monotonic() - shown > _EVERY:
                progress.update(task, completed=count)
                shown = time.monotonic()
        progress.update(task, completed=count)
