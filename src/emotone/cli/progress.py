"""Signs of life on stderr: a bar where rows are counted, a word where nothing can be."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds that pass without a word.
PATIENCE = 1.0


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` are done.

    Yields:
        A function that takes the number just done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (title, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say on a terminal what takes its time, once it does."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE, lambda: print(f"emotone: {text} ...", file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
