"""Whether replies have the emotion that was asked: accuracy, macro-F1 and the confusion matrix.

Only replies count that were asked for one emotion above 0, at whatever intensity; mixes and
takings-away have no one right label. The judge must not be the one that trained or chose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from emotone.metrics import asked, f1
from emotone.metrics.base import Measure, Pair, SumStats, mean_of
from emotone.metrics.tools import Tools, need
from emotone.protocols import Metric


@dataclass(frozen=True)
class Confusion:
    """Asked against judged emotions.

    Args:
        asked: Labels of the rows, those that were asked.
        judged: Labels of the columns, all that may be judged.
        counts: Number of replies, [A, J]; fractions where a reply stands for every asked emotion.
    """

    asked: tuple[str, ...]
    judged: tuple[str, ...]
    counts: np.ndarray


def confusion(pairs: Sequence[Pair], tools: Tools) -> Confusion:
    """Count asked against judged emotions.

    Raises:
        Unsupported: If there is no judge of emotion.
    """
    judge = need(tools.emotion, "the confusion matrix", "a judge of emotion")
    found = asked.read(pairs, judge, tools)
    counts = found.weights.T @ found.judged
    rows = np.flatnonzero(found.weights.any(axis=0))
    return Confusion(tuple(found.labels[i] for i in rows), found.labels, counts[rows])


def _macro(sums: np.ndarray) -> np.ndarray:
    return f1.macro(sums, present="true")


def _accuracy(found: asked.Asked) -> SumStats:
    right = (found.weights * found.judged).sum(axis=1)
    counts = found.weights.any(axis=1).astype(np.float64)
    whole = bool(np.isin(right, (0.0, 1.0)).all())
    return SumStats(np.stack([right, counts], axis=1), mean_of, share=whole)


def _macro_f1(found: asked.Asked) -> SumStats:
    return SumStats(f1.columns(found.weights, found.judged), _macro, columns=found.labels)


def _metric(
    name: str, settings: str, finish: Callable[[asked.Asked], SumStats]
) -> Callable[[Tools], Metric]:
    def make(tools: Tools) -> Metric:
        judge = need(tools.emotion, name, "a judge of emotion")
        left_out = asked.without(tools)
        signature = f"name:{name}|judge:{judge.name}|asked:{tools.asked}{settings}{left_out}|v:1"
        return Measure(name, signature, lambda pairs: finish(asked.read(pairs, judge, tools)))

    return make


METRICS = {
    "emotion_accuracy": _metric("emotion_accuracy", "", _accuracy),
    "emotion_macro_f1": _metric("emotion_macro_f1", "|labels:asked", _macro_f1),
}
