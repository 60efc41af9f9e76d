"""Whether replies are as empathic as the references: levels against levels, by one identifier.

The identifier judges reply and reference after the same dialogue. It must not be the one that
gave the reward. Weighted F1 is the paper's; it flatters a system that always has the commonest
level, so macro-F1 and that floor stand beside it.

Source: EmpRL (arXiv 2408.02976), its published scoring script; weighted F1 of each mechanism and
their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emotone.errors import DataError
from emotone.metrics import f1
from emotone.metrics.base import Measure, Pair, SumStats
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import EMPATHY, Make, Spec
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
        of_both = one_hot[[getattr(level, mechanism) for level in levels]]
        judged, true = of_both[: len(rows)], of_both[len(rows) :]
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


def _make(name: str, finish: Value) -> Make:
    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        judge = need(instruments.empathy)
        judged_by = getattr(judge, "name", type(judge).__name__)
        signature = f"name:{name}|judge:{judged_by}|context:dialogue|against:reference|v:1"
        return Measure(
            name, signature, lambda pairs: SumStats(read(pairs, judge), finish, ("empathy",) * 27)
        )

    return make


def _family(
    name: str, value: Value, title: str, *, measures: str, source: str = "own", misleads: str
) -> tuple[Spec, ...]:
    """Declare a value over all mechanisms, of each of them, and of the commonest level."""

    def declared(tail: str, finish: Value, named: str, **more: Any) -> Spec:
        return Spec(
            name=f"{name}{tail}",
            make=_make(f"{name}{tail}", finish),
            needs=("empathy",),
            title=f"{title}{named}",
            group=EMPATHY,
            share=True,
            **more,
        )

    parts = {
        f"_{mechanism}": declared(
            f"_{mechanism}",
            _one(value, m),
            f", {mechanism}",
            measures=f"the same for one mechanism: {measures}",
        )
        for m, mechanism in enumerate(MECHANISMS)
    }
    parts["_floor"] = declared(
        "_floor",
        _mean(_floor(value)),
        ", of the commonest level",
        better="",
        measures="what always giving the references' commonest level gets",
    )
    return (
        declared("", _mean(value), "", measures=measures, source=source, misleads=misleads),
        *(parts[tail] for tail in sorted(parts)),
    )


METRICS = (
    *_family(
        "emp_f1",
        f1.weighted,
        "Empathy F1, weighted",
        measures="F1 weighted by how often a level is true, mean of mechanisms",
        source="EmpRL",
        misleads="always giving the commonest level scores high",
    ),
    *_family(
        "emp_macro_f1",
        _macro,
        "Empathy macro-F1",
        measures="mean F1 over levels, mean of mechanisms",
        misleads="rare levels weigh much",
    ),
    *_family(
        "emp_accuracy",
        f1.accuracy,
        "Empathy accuracy",
        measures="share of levels that are equal",
        misleads="always giving the commonest level scores high",
    ),
)
