"""What metrics are made of: a name, a signature, and statistics that can be weighted anew.

A metric reads texts once and keeps numbers of each reply. Intervals and paired tests weight the
replies again, thousands of times, and never look at a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from emotone.errors import DataError
from emotone.metrics import grams
from emotone.protocols import Stats
from emotone.types import Example, Reply

Pair = tuple[Example, Reply]


def replies_and_posts(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Return what a judge of emotion reads: the replies, and the post that each answers."""
    return [r.text for _, r in pairs], [e.dialogue.posts[-1].text for e, _ in pairs]


"""A reply with its example: `example.reply` is the reference, `reply.emotion` the asked mix."""


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric with its interval.

    Args:
        name: Name of the metric.
        value: The value; NaN where it is not defined.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of replies that count.
        signature: Everything the value depends on besides the replies.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    signature: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric made of a function: what most files of this folder return.

    Args:
        name: Name of the metric.
        signature: Everything the value depends on besides the replies.
        read: Makes the statistics of replies.
    """

    name: str
    signature: str
    read: Callable[[Sequence[Pair]], Stats]

    def stats(self, pairs: Sequence[Pair]) -> Stats:
        """Read every pair once."""
        return self.read(pairs)


@dataclass(frozen=True)
class SumStats:
    """Statistics that add up over replies, such as hits and counts.

    Args:
        rows: Statistics of each reply, [N, k]; a row of zeros is a reply that does not count.
        finish: Takes sums [..., k] to values [...]; NaN where nothing counted.
        columns: What the columns are, where two runs could differ in that; for joining.
        share: Whether the value is a share of replies that are each 0 or 1.
    """

    rows: np.ndarray
    finish: Callable[[np.ndarray], np.ndarray]
    columns: tuple[str, ...] = ()
    share: bool = False

    def __len__(self) -> int:
        """Return the number of replies, N."""
        return len(self.rows)

    @cached_property
    def n(self) -> int:
        """Number of replies that count."""
        return int(self.rows.any(axis=1).sum())

    def value(self, weights: Sequence[float] | None = None) -> float:
        """Return the metric with each reply counted `weights[i]` times."""
        if weights is None:
            return float(self.finish(self.rows.sum(axis=0)))
        return float(self.finish(check_weights(weights, len(self)) @ self.rows))

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Return the metric for each row of weights [R, N], as [R]."""
        return self.finish(weights @ self.rows)

    def join(self, other: Self) -> Self:
        """Put the replies of another run after these."""
        if self.columns != other.columns or self.rows.shape[1] != other.rows.shape[1]:
            raise DataError(
                f"two runs keep different statistics ({_listed(self)} and {_listed(other)}); "
                "compare runs that were asked for emotions of one taxonomy, with one judge"
            )
        rows = np.concatenate([self.rows, other.rows])
        return type(self)(rows, self.finish, self.columns, self.share)


@dataclass(frozen=True)
class KindStats:
    """n-grams of replies, for the share of different ones (Distinct-n).

    Counting a reply twice adds no kind, so this is no sum, and resampling with replacement would
    be biased; `emotone.metrics.significance` therefore leaves replies out instead, as it does for
    all statistics whose `leave_out` is true.

    Args:
        tokens: The tokens of each reply.
        order: n of the n-grams.
    """

    tokens: grams.TokenRows
    order: int
    leave_out: ClassVar[bool] = True

    def __len__(self) -> int:
        """Return the number of replies, N."""
        return len(self.tokens)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of n-grams of each reply, [N]."""
        return self.tokens.lengths(self.order)

    @cached_property
    def n(self) -> int:
        """Number of replies that have an n-gram."""
        return int((self.sizes > 0).sum())

    @cached_property
    def kinds(self) -> tuple[np.ndarray, int]:
        """Kind of each n-gram, reply after reply, [M], and the number of kinds."""
        return grams.numbered(grams.keys(self.tokens, self.order))

    def value(self, weights: Sequence[float] | None = None) -> float:
        """Return the kinds in replies that count at all, over all n-grams, weighted.

        NaN where there is no n-gram.
        """
        kinds, number = self.kinds
        if weights is None:
            return number / len(kinds) if len(kinds) else float("nan")
        weight = check_weights(weights, len(self))
        total = float(weight @ self.sizes)
        if total == 0.0:
            return float("nan")
        seen = np.zeros(number, bool)
        seen[kinds[np.repeat(weight > 0, self.sizes)]] = True
        return int(seen.sum()) / total

    def join(self, other: Self) -> Self:
        """Put the replies of another run after these."""
        return type(self)(grams.join(self.tokens, other.tokens), self.order)


def mean_of(sums: np.ndarray) -> np.ndarray:
    """Take sums [..., 2] of values and counts to means [...]; NaN where the count is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)


def mean_stats(values: Sequence[float | None] | np.ndarray, *, share: bool = False) -> SumStats:
    """Make the statistics of a mean over replies; a value of None or NaN does not count."""
    column = np.array([np.nan if v is None else v for v in values], np.float64)
    counts = ~np.isnan(column)
    rows = np.stack([np.where(counts, column, 0.0), counts.astype(np.float64)], axis=1)
    return SumStats(rows, mean_of, share=share)


def check_weights(weights: Sequence[float], n: int) -> np.ndarray:
    """Return weights as an array [N].

    Raises:
        DataError: If there is not one weight for each reply, or one is negative or no number.
    """
    array = np.asarray(weights, np.float64)
    if array.shape != (n,):
        raise DataError(f"weights of shape {array.shape} came for {n} replies; give one a reply")
    if not (array >= 0).all() or not np.isfinite(array).all():
        raise DataError("a weight is negative or no number; give weights of 0 or more")
    return array


def _listed(stats: SumStats) -> str:
    names = stats.columns or tuple(map(str, range(stats.rows.shape[1])))
    return f"{len(names)} columns from {names[0]!r} to {names[-1]!r}"
