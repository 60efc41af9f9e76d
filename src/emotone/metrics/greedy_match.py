"""Greedy match: F1 of the nearest token states of reply and reference, mean over replies.

BERTScore without weights by rarity and without a baseline, on whatever encoder is given; its
numbers compare only with others of the same encoder.

Source: Zhang et al. 2020 (BERTScore), equations 1 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotone.errors import DataError
from emotone.metrics.base import Measure, Pair, SumStats, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import OVERLAP, Spec
from emotone.protocols import Metric

#: Texts encoded at once, so that states of one batch only are held.
BATCH = 256


def match(reply: np.ndarray, reference: np.ndarray) -> float:
    """Return F1 of two sets of token states, [T, d] and [S, d].

    0 where one is empty, or precision or recall is not above 0.

    Recall is the mean over reference tokens of the highest cosine to a reply token; precision
    the other way round.
    """
    if not len(reply) or not len(reference):
        return 0.0
    cosine = _unit(reply) @ _unit(reference).T
    precision, recall = cosine.max(axis=1).mean(), cosine.max(axis=0).mean()
    if min(precision, recall) <= 0:
        return 0.0
    return float(2 * precision * recall / (precision + recall))


def _unit(states: np.ndarray) -> np.ndarray:
    plain = np.asarray(states, np.float64)
    return plain / np.maximum(np.linalg.norm(plain, axis=1, keepdims=True), 1e-12)


def _greedy(instruments: Instruments, facts: RunFacts) -> Metric:
    name = "greedy_match"
    encode = need(instruments.embed_tokens)

    def read(pairs: Sequence[Pair]) -> SumStats:
        scores = np.full(len(pairs), np.nan)
        rows = [i for i, (example, _) in enumerate(pairs) if example.reply is not None]
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            replies = encode([pairs[i][1].text for i in some])
            references = encode([pairs[i][0].reply or "" for i in some])
            if len(replies) != len(some) or len(references) != len(some):
                raise DataError(f"the encoder did not give one array for each of {len(some)} texts")
            for i, reply, reference in zip(some, replies, references, strict=True):
                scores[i] = match(reply, reference)
        return mean_stats(scores)

    signature = f"name:{name}|encoder:{instruments.embed_name}|idf:no|baseline:no|v:1"
    return Measure(name, signature, read)


METRICS = (
    Spec(
        name="greedy_match",
        make=_greedy,
        needs=("embed_tokens",),
        title="Greedy token match",
        group=OVERLAP,
        share=True,
        measures="F1 of the nearest token states of reply and reference, mean",
        source="Zhang et al. 2020",
        misleads="no weights, no baseline: not BERTScore's scale",
    ),
)
