"""Dialogues that stand in a CSV file, one turn a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from emotone.data.formats.csv_rows import csv_rows
from emotone.data.formats.dialogues import Turn
from emotone.data.reading import Problems

Row = Mapping[str, str]


def table_dialogues(
    path: Path,
    problems: Problems,
    columns: Sequence[str],
    key: Callable[[Row], str],
    turn: Callable[[Row], Turn],
) -> Iterator[tuple[str, list[Turn]]]:
    """Yield (name, turns) of each dialogue; one with a bad row is left out whole.

    A row whose "Utterance" is empty is a turn that says nothing: it is left out alone and counted.

    Where a row cannot be read, so that nobody knows whose it is, the dialogues before and after it
    are left out both, or the one that goes on after it.

    Args:
        path: The file.
        problems: Where bad rows go.
        columns: Columns that must be there.
        key: Names the dialogue of a row; rows of a dialogue follow each other.
        turn: Makes the turn of a row.
    """
    name: str | None = None
    turns: list[Turn] = []
    good = False
    seen = problems.count
    for line, row in csv_rows(path, problems, columns):
        torn = problems.count != seen  # between the rows was a bad one: of this dialogue or of that
        if key(row) != name:
            if name is not None and good and not torn:
                yield name, turns
            name, turns, good = key(row), [], True
        good = good and not torn
        if not row.get("Utterance", "?").strip():
            problems.left_out["empty turn"] += 1
            seen = problems.count
            continue
        before = problems.count
        with problems.at(path, line):
            turns.append(turn(row))
        good = good and problems.count == before
        seen = problems.count
    if name is not None and good and problems.count == seen:
        yield name, turns
