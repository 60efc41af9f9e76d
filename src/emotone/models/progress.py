"""What a person at the terminal sees while a model is fetched and loaded; always on stderr."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def note(text: str) -> None:
    """Write one line."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something runs whose end cannot be foreseen."""
    console = _console()
    if not console.is_terminal:
        note(text)
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
        note(f"{text} ({size(total)})")
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


@contextmanager
def quiet(*, bars: bool = False) -> Iterator[None]:
    """Mute the warnings of transformers and its hub client, and restore their settings after.

    Args:
        bars: Whether bars stay, which is wanted while gigabytes come over the network.
    """
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    level, hub_level = logging.get_verbosity(), hub.get_verbosity()
    had_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if had_bars:
            logging.enable_progress_bar()


@contextmanager
def mute() -> Iterator[None]:
    """As `quiet`, and hold back all else that is written to stderr, such as bars of tqdm."""
    with quiet(), redirect_stderr(io.StringIO()):
        yield


def _console() -> Console:
    from rich.console import Console

    # Bound to the stream of now, so that a bar survives while stderr of a noisy library is muted.
    return Console(file=sys.stderr)
