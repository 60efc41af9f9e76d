"""Emotion probability scores: how emotional replies are, and how much of the asked emotion.

After EPS and EAS of "Emotion Vectors" (arXiv 2502.04075), whose judge, labels and template are
not published; therefore under names of our own and not comparable with its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotone.errors import DataError, Unsupported
from emotone.metrics import asked
from emotone.metrics.base import Measure, Pair, SumStats, mean_of, mean_stats
from emotone.metrics.tools import Tools, need
from emotone.protocols import Metric

#: A reply is emotional where the judge gives neutral less than this.
THRESHOLD = 0.5


def _emotional(tools: Tools) -> Metric:
    name = "emotional_share"
    judge = need(tools.emotion, name, "a judge of emotion")
    neutral = judge.taxonomy.neutral
    if neutral is None:
        raise Unsupported(
            f"{name} needs a judge with a neutral label, but {judge.name} has none; "
            "give one that has"
        )

    def read(pairs: Sequence[Pair]) -> SumStats:
        scores = judge.classify([reply.text for _, reply in pairs]) if pairs else []
        if len(scores) != len(pairs):
            raise DataError(f"{judge.name} gave {len(scores)} scores for {len(pairs)} texts")
        return mean_stats(
            [float(s.probabilities.get(neutral, 0.0) < THRESHOLD) for s in scores], share=True
        )

    return Measure(name, f"name:{name}|judge:{judge.name}|below:{THRESHOLD}|v:1", read)


def _signature(name: str, judge: str, tools: Tools) -> str:
    return f"name:{name}|judge:{judge}|asked:{tools.asked}{asked.without(tools)}|v:1"


def _of_asked(found: asked.Asked, values: np.ndarray) -> np.ndarray:
    counts = found.weights.any(axis=1).astype(np.float64)
    return np.stack([(found.weights * values).sum(axis=1), counts], axis=1)


def _share(tools: Tools) -> Metric:
    name = "asked_share"
    judge = need(tools.emotion, name, "a judge of emotion")

    def read(pairs: Sequence[Pair]) -> SumStats:
        found = asked.read(pairs, judge, tools)
        # Where several labels of the judge are one of the asked set, their sum competes.
        best = np.eye(len(found.labels))[found.probabilities.argmax(axis=1)]
        rows = _of_asked(found, best)
        return SumStats(rows, mean_of, share=bool(np.isin(rows[:, 0], (0.0, 1.0)).all()))

    return Measure(name, _signature(name, judge.name, tools), read)


def _probability(tools: Tools) -> Metric:
    name = "asked_probability"
    judge = need(tools.emotion, name, "a judge of emotion")

    def read(pairs: Sequence[Pair]) -> SumStats:
        found = asked.read(pairs, judge, tools)
        return SumStats(_of_asked(found, found.probabilities), mean_of)

    return Measure(name, _signature(name, judge.name, tools), read)


METRICS = {
    "emotional_share": _emotional,
    "asked_share": _share,
    "asked_probability": _probability,
}
