"""The text form of DailyDialog: turns that end in `__eou__`, and emotion ids beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from emotone.data.checks import numbered, text
from emotone.data.formats.dialogues import Turn
from emotone.emotions import Taxonomy
from emotone.errors import DataError, number_of


def labelled_turns(said: str, ids: str, taxonomy: Taxonomy) -> list[Turn]:
    """Read the turns of one line, whose speakers A and B alternate.

    Args:
        said: Turns, each with `__eou__` after it; after the last one it may be missing.
        ids: One emotion id a turn, between blanks.
        taxonomy: The labels in the order of their ids.

    Raises:
        DataError: If a turn is empty or the ids are not as many as the turns.
    """
    pieces = said.split("__eou__")
    if not pieces[-1].strip():
        pieces.pop()
    labels = ids.split()
    order = taxonomy.labels
    if len(pieces) != len(labels):
        turns, emotions = number_of(len(pieces), "turn"), number_of(len(labels), "emotion")
        raise DataError(f"{turns}, but {emotions}; one is needed for each")
    return [
        Turn(
            "AB"[place % 2],
            text(piece, f"turn {place + 1}"),
            numbered(label, order, taxonomy),
        )
        for place, (piece, label) in enumerate(zip(pieces, labels, strict=True))
    ]


def partner(path: Path, rename: Callable[[str], str]) -> Path:
    """Return the file that belongs to another line by line, plain or with ".gz".

    Raises:
        DataError: If it is not there.
    """
    name = rename(path.name.removesuffix(".gz"))
    for beside in (path.with_name(name), path.with_name(f"{name}.gz")):
        if beside.is_file() and beside != path:
            return beside
    raise DataError(f"no {name} beside {path.name}; the files belong together")
