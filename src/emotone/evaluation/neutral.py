"""The reply without an emotion, beside which replies with one are put."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emotone.evaluation.summaries import Pair

if TYPE_CHECKING:
    from emotone.metrics import Tools


def with_neutral(tools: Tools, pairs: Sequence[Pair]) -> Tools:
    """Fill in each example's replies without an emotion by seed, where the run has some."""
    plain: dict[str, dict[int, str]] = {}
    for example, reply in pairs:
        if reply.emotion is None:
            plain.setdefault(example.id, {})[reply.seed] = reply.text
    moods = any(reply.emotion is not None for _, reply in pairs)
    return dataclasses.replace(tools, neutral=plain if plain and moods else None)
