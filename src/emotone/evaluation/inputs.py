"""Files of examples that are answered or measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from emotone.emotions import Taxonomy
from emotone.errors import DataError
from emotone.evaluation.records import read_examples
from emotone.types import Example


def source_lines(source: str | Path) -> list[str]:
    """Return the lines of a file, or of stdin for "-".

    Raises:
        DataError: If it cannot be read or is not UTF-8.
    """
    try:
        if source == "-":
            return sys.stdin.read().split("\n")
        # Not splitlines: JSON text may hold U+2028 and its like, which end no line of a file.
        return Path(source).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {source} ({error}); give a UTF-8 file of examples") from error


def named_examples(
    lines: Sequence[str], source: str | Path, taxonomy: Taxonomy | None
) -> list[Example]:
    """Read the examples of lines, whose ids name one example each.

    Raises:
        DataError: If a line is not an example or an id occurs twice.
    """
    examples = list(read_examples(lines, str(source), taxonomy))
    ids: set[str] = set()
    for example in examples:
        if example.id in ids:
            raise DataError(f"{source}: id {example.id!r} occurs twice; make the ids unique")
        ids.add(example.id)
    return examples
