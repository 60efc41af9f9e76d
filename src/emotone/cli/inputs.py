"""Files of examples, as commands read them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotone.emotions import Taxonomy
    from emotone.types import Example


def read_lines(source: str) -> list[str]:
    """Read the lines of a file, or of stdin for "-".

    Raises:
        DataError: If it cannot be read or is no UTF-8.
    """
    from emotone.errors import DataError

    try:
        if source == "-":
            return sys.stdin.read().split("\n")
        # Not splitlines: JSON text may hold U+2028 and its like, which end no line of a file.
        return Path(source).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {source} ({error}); give a UTF-8 file of examples") from error


def read_input(lines: list[str], source: str, taxonomy: Taxonomy | None) -> list[Example]:
    """Read examples whose ids are unique.

    Raises:
        DataError: If a line is no example or an id occurs twice.
    """
    from emotone.errors import DataError
    from emotone.evaluation.records import read_examples

    examples = list(read_examples(lines, source, taxonomy))
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f"{source}: id {example.id!r} occurs twice; make the ids unique")
        seen.add(example.id)
    return examples
