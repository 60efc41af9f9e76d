"""Files of examples that are answered or measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emotone.data.reading import whole_text
from emotone.emotions import Taxonomy
from emotone.errors import DataError
from emotone.evaluation.records import read_examples
from emotone.types import Example


def source_lines(source: str | Path) -> list[str]:
    """Return the lines of a file, or of stdin for "-".

    Raises:
        DataError: If it cannot be read or is not UTF-8.
    """
    # Not splitlines: JSON text may hold U+2028 and its like, which end no line of a file.
    return whole_text(source).split("\n")


def named_examples(
    lines: Sequence[str], source: str | Path, taxonomy: Taxonomy | None
) -> list[Example]:
    """Read the examples of lines, whose ids name one example each.

    Raises:
        DataError: If a line is not an example or an id occurs twice.
    """
    name = "stdin" if source == "-" else str(source)
    examples = list(read_examples(lines, name, taxonomy))
    numbers = (number for number, line in enumerate(lines, 1) if line.strip())
    first: dict[str, int] = {}
    for number, example in zip(numbers, examples, strict=True):
        if example.id in first:
            raise DataError(
                f"{name}, line {number}: id {example.id!r} occurs twice, first in line "
                f"{first[example.id]}; make the ids unique"
            )
        first[example.id] = number
    return examples
