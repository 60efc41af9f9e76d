"""Signs of collapse: n-grams repeated within a reply, and one reply given again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from emotone.metrics.base import Measure, Pair, SumStats, check_weights, mean_of
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import DIVERSITY, FLUENCY, Spec
from emotone.protocols import Metric

SIZE = 4


def repeats(tokens: Sequence[str], n: int = SIZE) -> tuple[int, int]:
    """Count the n-grams that occurred before in the same list, and all n-grams."""
    total = max(0, len(tokens) - n + 1)
    kinds = set(zip(*(tokens[j:] for j in range(n)), strict=False))
    return total - len(kinds), total


@dataclass(frozen=True)
class CommonestStats:
    """Texts of replies, for the share of the commonest.

    A reply that is sampled twice would be a copy that nobody gave, so intervals leave replies out.

    Args:
        texts: Text of each reply, [N], without blanks at its ends.
    """

    texts: tuple[str, ...]
    leave_out: ClassVar[bool] = True

    def __len__(self) -> int:
        """Return the number of replies, N."""
        return len(self.texts)

    @cached_property
    def _ids(self) -> np.ndarray:
        known: dict[str, int] = {}
        return np.array([known.setdefault(t, len(known)) for t in self.texts], np.int64)

    def value(self, weights: Sequence[float] | None = None) -> float:
        """Return the weight of the commonest text over all weight; NaN for none."""
        weight = None if weights is None else check_weights(weights, len(self))
        counts = np.bincount(self._ids, weight)
        total = counts.sum()
        return float(counts.max() / total) if total > 0 else float("nan")

    def join(self, other: Self) -> Self:
        """Put the replies of another run after these."""
        return type(self)(self.texts + other.texts)


def _repeated(instruments: Instruments, facts: RunFacts) -> Metric:
    def read(pairs: Sequence[Pair]) -> SumStats:
        rows = [repeats(instruments.tokens(r.text, e.lang, "word")) for e, r in pairs]
        return SumStats(np.array(rows, np.float64).reshape(len(rows), 2), mean_of)

    signature = f"name:repeated_4|tok:{instruments.tokens_name}|unit:word|v:1"
    return Measure("repeated_4", signature, read)


def _commonest(instruments: Instruments, facts: RunFacts) -> Metric:
    return Measure(
        "commonest_share",
        "name:commonest_share|v:1",
        lambda pairs: CommonestStats(tuple(r.text.strip() for _, r in pairs)),
    )


METRICS = (
    Spec(
        name="repeated_4",
        make=_repeated,
        title="Repeated 4-grams",
        group=FLUENCY,
        better="down",
        measures="word 4-grams that occurred before in the same reply / all",
        range="0 to 1",
        misleads="blind to replies under four words",
    ),
    Spec(
        name="commonest_share",
        make=_commonest,
        title="Share of the commonest reply",
        group=DIVERSITY,
        better="down",
        digits=4,
        measures="share of the commonest reply",
        range="0 to 1",
        misleads="a change of one sign makes another reply",
    ),
)
