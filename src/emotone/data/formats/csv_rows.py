"""Rows of a CSV file with a header, each with the line it starts in."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from emotone.data.reading import Problems, read_lines
from emotone.errors import number_of


def csv_rows(
    path: Path, problems: Problems, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, column -> field); a row of another length or with bad quotes is a problem.

    A row that runs over several lines is left out where one of them could not be read.

    Args:
        path: The file, gzipped or not; the first row names the columns.
        problems: Where bad rows go.
        columns: Columns that must be there.

    Raises:
        DataError: If the file cannot be opened, or at a bad row where problems are to raise.
    """
    first = last = 0
    torn = False

    def lines() -> Iterator[str]:
        nonlocal first, last, torn
        for number, line in read_lines(path, problems):
            if not first:
                first = number
            elif number != last + 1:
                torn = True  # a line within the row was bad, and is counted
            last = number
            yield line + "\n"

    rows = csv.reader(lines(), strict=True)
    header: list[str] | None = None
    while True:
        first, torn = 0, False
        try:
            row = next(rows, None)
        except csv.Error as error:
            span = f" in lines {first} to {last}" if last > first else ""
            problems.bad(path, first, f"no row of CSV ({error}){span}; check the quotes")
            continue
        if row is None:
            if header is None:
                problems.bad(path, None, f"the file is empty; columns needed: {', '.join(columns)}")
            return
        if not row or torn:
            continue
        if header is None:
            header = row
            lacks = [column for column in columns if column not in header]
            if lacks:
                had = ", ".join(header)[:200]
                problems.bad(path, first, f"no column {lacks[0]!r}; the columns are {had}")
                return
        elif len(row) != len(header):
            # An open quote takes rows until the next quote.
            span = f", in lines {first} to {last}" if last > first else ""
            fields = f"{number_of(len(row), 'field')} where the header has {len(header)}"
            problems.bad(path, first, f"{fields}{span}")
        else:
            yield first, dict(zip(header, row, strict=True))
