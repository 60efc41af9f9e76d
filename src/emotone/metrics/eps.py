"""Emotion probability scores: how emotional replies are, and how much of the requested emotion.

After EPS and EAS of "Emotion Vectors" (arXiv 2502.04075), whose judge, labels and template are
not published; therefore under names of our own and not comparable with its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotone.errors import DataError, Unsupported
from emotone.metrics.asked import Asked, of_asked
from emotone.metrics.base import Measure, Pair, SumStats, mean_of, mean_stats, replies_and_posts
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import EMOTION, Spec
from emotone.protocols import Metric

#: A reply is emotional where the judge gives neutral less than this.
THRESHOLD = 0.5


def _emotional(instruments: Instruments, facts: RunFacts) -> Metric:
    name = "emotional_share"
    judge = need(instruments.emotion)
    neutral = judge.taxonomy.neutral
    if neutral is None:
        raise Unsupported(
            f"{name} needs a judge with a neutral label, but {judge.name} has none; "
            "give one that has"
        )

    def read(pairs: Sequence[Pair]) -> SumStats:
        scores = judge.classify(*replies_and_posts(pairs)) if pairs else []
        if len(scores) != len(pairs):
            raise DataError(f"{judge.name} gave {len(scores)} scores for {len(pairs)} texts")
        return mean_stats(
            [float(s.probabilities.get(neutral, 0.0) < THRESHOLD) for s in scores], share=True
        )

    return Measure(name, f"name:{name}|judge:{judge.name}|below:{THRESHOLD}|v:1", read)


def _best(asked: Asked) -> SumStats:
    # Where several labels of the judge are one of the requested set, their sum competes.
    best = np.eye(len(asked.labels))[asked.probabilities.argmax(axis=1)]
    rows = _of_requested(asked, best)
    return SumStats(rows, mean_of, share=bool(np.isin(rows[:, 0], (0.0, 1.0)).all()))


def _probability(asked: Asked) -> SumStats:
    return SumStats(_of_requested(asked, asked.probabilities), mean_of)


def _of_requested(asked: Asked, values: np.ndarray) -> np.ndarray:
    counts = asked.weights.any(axis=1).astype(np.float64)
    return np.stack([(asked.weights * values).sum(axis=1), counts], axis=1)


METRICS = (
    Spec(
        name="asked_share",
        make=of_asked("asked_share", _best),
        needs=("emotion",),
        title="Asked emotion, share of replies",
        group=EMOTION,
        share=True,
        measures="the requested emotion has the highest probability",
        source="after EV",
        misleads="as accuracy, but merged labels compete together",
    ),
    Spec(
        name="asked_probability",
        make=of_asked("asked_probability", _probability),
        needs=("emotion",),
        title="Asked emotion, mean probability",
        group=EMOTION,
        share=True,
        measures="mean probability of the requested emotion",
        source="after EV",
        misleads="depends on how sure of itself the judge is",
    ),
    Spec(
        name="emotional_share",
        make=_emotional,
        needs=("emotion",),
        title="Emotional replies",
        group=EMOTION,
        better="",
        share=True,
        measures="P(neutral) is below one half",
        source="after EV",
        misleads="emotional posts lead to emotional replies from anyone",
    ),
)
