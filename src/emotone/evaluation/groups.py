"""Groups of replies that are measured apart: by requested emotion and by part of the ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from emotone.emotions import FULL, TAXONOMIES
from emotone.errors import DataError
from emotone.evaluation.scores import NO_EMOTION
from emotone.metrics.base import Pair
from emotone.types import Reply


@dataclass(frozen=True, slots=True)
class Groups:
    """Places of the replies of each group.

    Args:
        per_emotion: Requested emotion as `emotion_key` names it -> places.
        per_part: Part of the examples -> places.
        at_full: Places of the replies that were asked for one emotion at intensity 100.
    """

    per_emotion: Mapping[str, list[int]]
    per_part: Mapping[str, list[int]]
    at_full: list[int]


def groups_of(pairs: Sequence[Pair], parts: Sequence[str] = ()) -> Groups:
    """Group replies.

    Raises:
        DataError: If no id belongs to a part.
    """
    per_emotion: dict[str, list[int]] = {}
    for i, (_, reply) in enumerate(pairs):
        per_emotion.setdefault(emotion_key(reply), []).append(i)
    per_part = {
        part: [i for i, (e, _) in enumerate(pairs) if in_part(e.id, part)] for part in parts
    }
    for part, places in per_part.items():
        if not places:
            raise DataError(f"no example id belongs to part {part!r}; name parts that ids carry")
    at_full = [i for i, (_, r) in enumerate(pairs) if r.emotion is not None and r.emotion.at_full]
    return Groups({key: per_emotion[key] for key in in_order(per_emotion)}, per_part, at_full)


def emotion_key(reply: Reply) -> str:
    """Name the requested emotion of a reply: "joy", "joy:60", a mix, or "none"."""
    if reply.emotion is None:
        return NO_EMOTION
    full = reply.emotion.at_full
    return full.label if full else str(reply.emotion)


def in_order(keys: Iterable[str]) -> list[str]:
    """Sort such names: "none" first, then emotions in their taxonomy's order, then mixes."""
    rank: dict[str, int] = {}
    for taxonomy in TAXONOMIES.values():
        for label in taxonomy.labels:
            rank.setdefault(label, len(rank))

    def place(key: str) -> tuple[int, int, int, float, str]:
        label, _, value = key.partition(":")
        mixed = " + " in key
        intensity = FULL if mixed or not value else float(value)
        return (key != NO_EMOTION, mixed, rank.get(label, len(rank)), intensity, key)

    return sorted(keys, key=place)


def in_part(example: str, part: str) -> bool:
    """Tell whether an example id belongs to a part: it has it whole, between signs or ends.

    "emotional" holds "emotional-17" and "queries-emotional-17", not "unemotional-17" or
    "emotionally-17".
    """
    inside = rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])"
    return re.search(inside, example) is not None
