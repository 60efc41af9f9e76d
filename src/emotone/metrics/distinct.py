"""Distinct-n: different n-grams over all n-grams, over a corpus and within replies.

Source: Li et al. 2016; Emo-Seq equations 4-2 and 4-3 (over the whole set of outputs).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotone.metrics import grams
from emotone.metrics.base import KindStats, Measure, Pair, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts, Unit
from emotone.metrics.spec import DIVERSITY, Spec
from emotone.protocols import Metric


def distinct_n(token_lists: Sequence[Sequence[str]], n: int) -> tuple[int, int]:
    """Count the different n-grams and all n-grams of a corpus; none reaches over a list's end."""
    keys = grams.keys(grams.encode(token_lists), n)
    return grams.number_of_kinds(keys), len(keys)


def per_reply(token_lists: Sequence[Sequence[str]], n: int) -> np.ndarray:
    """Return different n-grams over n-grams of each list, [N]; NaN where it has none."""
    shares = np.full(len(token_lists), np.nan)
    for i, row in enumerate(token_lists):
        total = len(row) - n + 1
        if total > 0:
            shares[i] = len(set(zip(*(row[j:] for j in range(n)), strict=False))) / total
    return shares


def _tokens(pairs: Sequence[Pair], instruments: Instruments, unit: Unit) -> list[list[str]]:
    if unit == "character":  # a unit of Chinese; English letters would say nothing
        return [instruments.tokens(r.text, "zh", unit) if e.lang == "zh" else [] for e, r in pairs]
    return [instruments.tokens(r.text, e.lang, unit) for e, r in pairs]


def _corpus(n: int, unit: Unit) -> Spec:
    name = f"distinct_{n}" if unit == "word" else f"distinct_{n}_char"

    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        signature = f"name:{name}|tok:{instruments.tokens_name}|unit:{unit}|over:corpus|v:1"
        return Measure(
            name,
            signature,
            lambda pairs: KindStats(grams.encode(_tokens(pairs, instruments, unit)), n),
        )

    return Spec(
        name=name,
        make=make,
        title=f"Distinct-{n}" if unit == "word" else f"Distinct-{n}, characters",
        group=DIVERSITY,
        digits=4,
        share=True,
        measures="different word n-grams / all, over the file"
        if unit == "word"
        else "different n-grams of characters / all, over the file; Chinese replies only",
        source="Li et al. 2016",
        misleads="falls with the number and length of replies: compare equal numbers",
    )


def _within(n: int) -> Spec:
    name = f"reply_distinct_{n}"

    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        signature = f"name:{name}|tok:{instruments.tokens_name}|unit:word|over:reply|v:1"
        return Measure(
            name,
            signature,
            lambda pairs: mean_stats(per_reply(_tokens(pairs, instruments, "word"), n)),
        )

    return Spec(
        name=name,
        make=make,
        title=f"Distinct-{n} within a reply",
        group=DIVERSITY,
        share=True,
        measures="different word n-grams / all within each reply, mean",
        misleads="short replies are always distinct",
    )


METRICS = (
    _corpus(1, "word"),
    _corpus(2, "word"),
    _corpus(1, "character"),
    _corpus(2, "character"),
    _within(1),
    _within(2),
)
