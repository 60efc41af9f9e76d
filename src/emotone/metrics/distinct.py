"""Distinct-n: different n-grams over all n-grams, over a corpus and within replies.

Source: Li et al. 2016; Emo-Seq equations 4-2 and 4-3 (over the whole set of outputs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from emotone.metrics import grams
from emotone.metrics.base import KindStats, Measure, Pair, mean_stats
from emotone.metrics.tools import Tools
from emotone.protocols import Metric


def distinct_n(token_lists: Sequence[Sequence[str]], n: int) -> tuple[int, int]:
    """Count the different n-grams and all n-grams of a corpus; none reaches over a list's end."""
    keys = grams.keys(grams.encode(token_lists), n)
    return grams.number_of_kinds(keys), len(keys)


def per_reply(token_lists: Sequence[Sequence[str]], n: int) -> np.ndarray:
    """Return different n-grams over n-grams of each list, [N]; NaN where it has none."""
    found = np.full(len(token_lists), np.nan)
    for i, row in enumerate(token_lists):
        total = len(row) - n + 1
        if total > 0:
            found[i] = len(set(zip(*(row[j:] for j in range(n)), strict=False))) / total
    return found


def _tokens(pairs: Sequence[Pair], tools: Tools, unit: str) -> list[list[str]]:
    if unit == "character":  # a unit of Chinese; English letters would say nothing
        return [tools.tokens(r.text, "zh", unit) if e.lang == "zh" else [] for e, r in pairs]
    return [tools.tokens(r.text, e.lang, unit) for e, r in pairs]


def _corpus(name: str, n: int, unit: str) -> Callable[[Tools], Metric]:
    def make(tools: Tools) -> Metric:
        signature = f"name:{name}|tok:{tools.tokens_name}|unit:{unit}|over:corpus|v:1"
        return Measure(
            name,
            signature,
            lambda pairs: KindStats(grams.encode(_tokens(pairs, tools, unit)), n),
        )

    return make


def _within(name: str, n: int) -> Callable[[Tools], Metric]:
    def make(tools: Tools) -> Metric:
        signature = f"name:{name}|tok:{tools.tokens_name}|unit:word|over:reply|v:1"
        return Measure(
            name, signature, lambda pairs: mean_stats(per_reply(_tokens(pairs, tools, "word"), n))
        )

    return make


METRICS = {
    "distinct_1": _corpus("distinct_1", 1, "word"),
    "distinct_2": _corpus("distinct_2", 2, "word"),
    "distinct_1_char": _corpus("distinct_1_char", 1, "character"),
    "distinct_2_char": _corpus("distinct_2_char", 2, "character"),
    "reply_distinct_1": _within("reply_distinct_1", 1),
    "reply_distinct_2": _within("reply_distinct_2", 2),
}
