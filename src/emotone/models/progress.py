"""What is going on, for a person at the terminal; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(text: str) -> None:
    """Write one line."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something runs whose end cannot be foreseen."""
    console = _console()
    if not console.is_terminal:
        say(text)
        yield
        return
    with console.status(text):
        yield


@contextmanager
def bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many bytes have come.

    Args:
        text: What is coming.
        total: Bytes expected.

    Yields:
        A function that takes the number of bytes that are here.
    """
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = _console()
    if not console.is_terminal:
        say(f"{text} ({size(total)})")
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=total)
        yield lambda here: progress.update(task, completed=min(here, total))
        progress.update(task, completed=total)


def size(count: int) -> str:
    """Write a number of bytes for people, in decimal units."""
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1_000_000:.0f} MB"


def _console() -> Console:
    from rich.console import Console

    # Bound to the stream of now, so that a bar survives while stderr of a noisy library is muted.
    return Console(file=sys.stderr)
