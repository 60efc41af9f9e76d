"""Whether replies have the requested emotion: accuracy and macro-F1.

Only replies count that were asked for one emotion above 0, at whatever intensity; mixes and
negative intensities have no single right label. The judge must not be the one that trained or
chose.
"""

from __future__ import annotations

import numpy as np

from emotone.metrics import f1
from emotone.metrics.asked import Asked, of_asked
from emotone.metrics.base import SumStats, mean_of
from emotone.metrics.spec import EMOTION, Spec


def _macro(sums: np.ndarray) -> np.ndarray:
    return f1.macro(sums, present="true")


def _accuracy(asked: Asked) -> SumStats:
    right = (asked.weights * asked.judged).sum(axis=1)
    counts = asked.weights.any(axis=1).astype(np.float64)
    whole = bool(np.isin(right, (0.0, 1.0)).all())
    return SumStats(np.stack([right, counts], axis=1), mean_of, share=whole)


def _macro_f1(asked: Asked) -> SumStats:
    return SumStats(f1.columns(asked.weights, asked.judged), _macro, columns=asked.labels)


METRICS = (
    Spec(
        name="emotion_accuracy",
        make=of_asked("emotion_accuracy", _accuracy),
        needs=("emotion",),
        title="Emotion accuracy",
        group=EMOTION,
        share=True,
        measures="judged label is the requested one",
        source="ECM",
        misleads="a judge that trained the system scores what it taught",
    ),
    Spec(
        name="emotion_macro_f1",
        make=of_asked("emotion_macro_f1", _macro_f1, "|labels:asked"),
        needs=("emotion",),
        title="Emotion macro-F1",
        group=EMOTION,
        share=True,
        measures="mean F1 over requested labels",
        source="standard",
        misleads="needs replies of every emotion",
    ),
)
