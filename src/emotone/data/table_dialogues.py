"""Dialogues that stand in a CSV file, one turn a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from emotone.data.csv_rows import csv_rows
from emotone.data.dialogues import Turn
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

    Args:
        path: The file.
        problems: Where bad rows go.
        columns: Columns that must be there.
        key: Names the dialogue of a row; rows of a dialogue follow each other.
        turn: Makes the turn of a row.
    """
    rows = csv_rows(path, problems, columns)
    for name, group in groupby(rows, lambda numbered: key(numbered[1])):
        before = problems.count
        turns: list[Turn] = []
        for line, row in group:
            with problems.at(path, line):
                turns.append(turn(row))
        if problems.count == before:
            yield name, turns
