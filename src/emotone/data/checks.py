"""Checks of what came out of a JSON or CSV file: each gives the value or says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from emotone.emotions import FULL, Emotion, EmotionMix, Taxonomy
from emotone.errors import DataError, kind_of_value, number_of
from emotone.types import is_unicode


def text(value: Any, what: str) -> str:
    """Return a text that is not blank, without blanks around it.

    Raises:
        DataError: If it is not text, blank, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise DataError(f"{what} is {kind_of_value(value)} where text is needed")
    if not is_unicode(value):
        raise DataError(f"{what} holds half a surrogate pair; write the text in UTF-8")
    plain = value.strip()
    if not plain:
        raise DataError(f"{what} is empty; leave the item out or write a text")
    return plain


def array(value: Any, what: str, *, count: int | None = None, least: int = 0) -> list[Any]:
    """Return a list of `count`, or at least `least`, items.

    Raises:
        DataError: If it is not a list or has another length.
    """
    if not isinstance(value, list):
        raise DataError(f"{what} is {kind_of_value(value)} where a list is needed")
    parts = number_of(len(value), "part")
    if count is not None and len(value) != count:
        needed = "1 is" if count == 1 else f"{count} are"
        raise DataError(f"{parts} in {what} where {needed} needed")
    if len(value) < least:
        raise DataError(f"{parts} in {what} where {least} or more are needed")
    return value


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object.

    Raises:
        DataError: If it is something else.
    """
    if not isinstance(value, dict):
        raise DataError(f"{what} is {kind_of_value(value)} where an object is needed")
    return value


def member(row: Any, key: str, what: str = "the item") -> Any:
    """Return one member of an object.

    Raises:
        DataError: If it is not an object or lacks the member.
    """
    values = mapping(row, what)
    if key not in values:
        raise DataError(f"{what} has no {key!r}; it has {', '.join(list(values)[:8]) or 'nothing'}")
    return values[key]


def whole(value: Any, what: str) -> int:
    """Return a whole number, which may be written as text or, as tables do, with a point and 0.

    Raises:
        DataError: If it is something else.
    """
    if isinstance(value, str):
        if match := re.fullmatch(r"([0-9]{1,9})(?:\.0*)?", value.strip()):
            return int(match[1])
        raise DataError(f"{what} is {value[:40]!r} where a whole number is needed")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{what} is {kind_of_value(value)} where a whole number is needed")
    return value


def numbered(value: Any, labels: tuple[str, ...], taxonomy: Taxonomy) -> Emotion:
    """Return the emotion with an id, which is its place in `labels`.

    Raises:
        DataError: If it is not the id of a label.
    """
    at = whole(value, "the label")
    if not 0 <= at < len(labels):
        raise DataError(
            f"label {at} is not one of {taxonomy.name}; use 0 to {len(labels) - 1} ("
            f"{', '.join(labels)})"
        )
    return Emotion(labels[at], taxonomy.name)


def named(value: Any, taxonomy: Taxonomy) -> Emotion:
    """Return the emotion with a name.

    Raises:
        DataError: If it is not text.
        UnknownName: If it is not a name of the taxonomy.
    """
    return taxonomy.parse(text(value, "the label"))


def mix(emotion: Emotion | None) -> EmotionMix | None:
    """Return the mix of one emotion at full intensity."""
    return None if emotion is None else EmotionMix(((emotion, FULL),))
