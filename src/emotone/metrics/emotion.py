"""Whether replies have the requested emotion: accuracy and macro-F1.

Only replies count that were asked for one emotion above 0, at whatever intensity; mixes and
negative intensities have no single right label. The judge must not be the one that trained or
chose.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emotone.metrics import f1
from emotone.metrics.asked import Asked, read_asked, without
from emotone.metrics.base import Measure, SumStats, mean_of
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import EMOTION, Make, Spec
from emotone.protocols import Metric


def _macro(sums: np.ndarray) -> np.ndarray:
    return f1.macro(sums, present="true")


def _accuracy(asked: Asked) -> SumStats:
    right = (asked.weights * asked.judged).sum(axis=1)
    counts = asked.weights.any(axis=1).astype(np.float64)
    whole = bool(np.isin(right, (0.0, 1.0)).all())
    return SumStats(np.stack([right, counts], axis=1), mean_of, share=whole)


def _macro_f1(asked: Asked) -> SumStats:
    return SumStats(f1.columns(asked.weights, asked.judged), _macro, columns=asked.labels)


def _make(name: str, settings: str, finish: Callable[[Asked], SumStats]) -> Make:
    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        judge = need(instruments.emotion)
        signature = f"name:{name}|judge:{judge.name}|asked:{facts.asked}{settings}{without(facts)}"
        return Measure(
            name, f"{signature}|v:1", lambda pairs: finish(read_asked(pairs, judge, facts))
        )

    return make


METRICS = (
    Spec(
        name="emotion_accuracy",
        make=_make("emotion_accuracy", "", _accuracy),
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
        make=_make("emotion_macro_f1", "|labels:asked", _macro_f1),
        needs=("emotion",),
        title="Emotion macro-F1",
        group=EMOTION,
        share=True,
        measures="mean F1 over requested labels",
        source="standard",
        misleads="needs replies of every emotion",
    ),
)
