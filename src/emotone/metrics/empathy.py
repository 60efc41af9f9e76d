"""Whether replies are as empathic as the references: levels against levels, by one identifier.

The identifier judges reply and reference after the same dialogue. It must not be the one that
gave the reward. Weighted F1 is the paper's; it flatters whoever always says the commonest level,
so macro-F1 and that floor stand beside it.

Source: EmpRL (arXiv 2408.02976), its published scoring script; weighted F1 of each mechanism and
their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from emotone.errors import DataError
from emotone.metrics import f1
from emotone.metrics.base import Measure, Pair, SumStats
from emotone.metrics.tools import Tools, need
from emotone.protocols import EmpathyIdentifier, Metric
from emotone.types import MECHANISMS, Dialogue

LEVELS = 3
_WIDTH = 3 * LEVELS

Value = Callable[[np.ndarray], np.ndarray]


def context(dialogue: Dialogue) -> str:
    """Return all posts as one text, which is what the identifier reads as context."""
    return " ".join(post.text for post in dialogue.posts)


def read(pairs: Sequence[Pair], judge: EmpathyIdentifier) -> np.ndarray:
    """Return the F1 columns of the three mechanisms, [N, 27]; zeros without a reference."""
    rows = [i for i, (example, _) in enumerate(pairs) if example.reply is not None]
    contexts = [context(pairs[i][0].dialogue) for i in rows]
    replies = [pairs[i][1].text for i in rows]
    references = [pairs[i][0].reply or "" for i in rows]
    out = np.zeros((len(pairs), _WIDTH * len(MECHANISMS)))
    if not rows:
        return out
    texts = zip([*contexts, *contexts], [*replies, *references], strict=True)
    levels = judge.identify(list(texts))
    if len(levels) != 2 * len(rows):
        raise DataError(f"the identifier gave {len(levels)} levels for {2 * len(rows)} texts")
    one_hot = np.eye(LEVELS)
    for m, mechanism in enumerate(MECHANISMS):
        said = one_hot[[getattr(level, mechanism) for level in levels]]
        judged, true = said[: len(rows)], said[len(rows) :]
        out[rows, m * _WIDTH : (m + 1) * _WIDTH] = f1.columns(true, judged)
    return out


def _macro(sums: np.ndarray) -> np.ndarray:
    return f1.macro(sums, present="either")


def _floor(value: Value) -> Value:
    return lambda sums: value(f1.majority(sums))


def _mean(value: Value) -> Value:
    def of_all(sums: np.ndarray) -> np.ndarray:
        return np.stack([value(part) for part in np.split(sums, 3, axis=-1)]).mean(axis=0)

    return of_all


def _one(value: Value, m: int) -> Value:
    return lambda sums: value(sums[..., m * _WIDTH : (m + 1) * _WIDTH])


def _metric(name: str, finish: Value) -> Callable[[Tools], Metric]:
    def make(tools: Tools) -> Metric:
        judge = need(tools.empathy, name, "an identifier of empathy")
        judged_by = getattr(judge, "name", type(judge).__name__)
        signature = f"name:{name}|judge:{judged_by}|context:dialogue|against:reference|v:1"
        return Measure(
            name, signature, lambda pairs: SumStats(read(pairs, judge), finish, ("empathy",) * 27)
        )

    return make


_VALUES: dict[str, Value] = {
    "emp_f1": f1.weighted,
    "emp_macro_f1": _macro,
    "emp_accuracy": f1.accuracy,
}
_FINISH: dict[str, Value] = {
    **{name: _mean(value) for name, value in _VALUES.items()},
    **{f"{name}_floor": _mean(_floor(value)) for name, value in _VALUES.items()},
    **{
        f"{name}_{mechanism}": _one(value, m)
        for name, value in _VALUES.items()
        for m, mechanism in enumerate(MECHANISMS)
    },
}
METRICS = {name: _metric(name, finish) for name, finish in _FINISH.items()}
