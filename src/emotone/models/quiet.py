"""Keeping the bars and reports of the libraries below us off the user's terminal."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator


@contextlib.contextmanager
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


@contextlib.contextmanager
def mute() -> Iterator[None]:
    """As `quiet`, and hold back all else that is written to stderr, such as bars of tqdm."""
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        yield
