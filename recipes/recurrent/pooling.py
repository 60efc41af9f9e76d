"""Means over trainings, with intervals that cover both the choice of posts and the training.

A system is trained with several seeds and answers the same posts each time. The value is the mean
over seeds. Its variance is that of the mean over other posts (bootstrap of posts, the same ones for
all seeds; for Distinct and the commonest share, where a resample holds copies that nobody gave,
the jackknife that leaves a tenth out) plus the variance between seeds on these posts over their
number. With one seed, the second part is unknown and left out, and the row is marked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from emotone.metrics.base import SumStats
from emotone.protocols import Stats

ROUNDS = 1000
LEFT_OUT = 0.1
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A metric of one system: its value with each seed, and over other choices of posts.

    Args:
        values: One a seed, [k].
        resampled: The same over resamples of posts, [k, R]; R is 0 where posts are not known.
        scale: Takes the variance over resamples to that of the value.
        signature: Of the metric.
        n: Replies that count, all seeds together.
    """

    values: np.ndarray
    resampled: np.ndarray
    scale: float
    signature: str = ""
    n: int = 0

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(self.values.mean())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval of 95 %.

    Args:
        value: The value; NaN where it is not defined.
        low: Lower end.
        high: Upper end.
        seeds: Trainings that it is a mean over.
        posts: Whether the interval covers the choice of posts.
    """

    value: float
    low: float
    high: float
    seeds: int
    posts: bool = True

    def row(self) -> dict[str, Any]:
        """Return it for a JSON file; NaN is null."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        made: dict[str, Any] = {
            k: None if math.isnan(v) else float(f"{v:.6g}") for k, v in numbers.items()
        }
        return made if self.posts else {**made, "over": "seeds"}

    def within(self, low: float, high: float) -> Estimate:
        """Cut the interval to what is possible."""
        ends = (min(max(end, low), high) for end in (self.low, self.high))
        return replace(self, **dict(zip(("low", "high"), ends, strict=True)))


def sample(
    stats: Sequence[Stats],
    groups: Sequence[Sequence[str]],
    posts: Sequence[str],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    signature: str = "",
) -> Sampled:
    """Evaluate a metric of several seeds over the same resamples of posts.

    Args:
        stats: Statistics of the replies of each seed.
        groups: The post of each reply, by seed.
        posts: All posts, in one order for all systems, so that their resamples are the same.
        rounds: Resamples.
        seed: Seed of the draws.
        signature: Of the metric.
    """
    number = len(posts)
    place = {post: i for i, post in enumerate(posts)}
    codes = [np.array([place[g] for g in found], np.int64) for found in groups]
    leaves = any(getattr(s, "leave_out", False) for s in stats)
    rng = np.random.default_rng(seed)
    out = max(1, round(LEFT_OUT * number))
    if leaves:
        weights = np.ones((min(rounds, 200), number))
        for row in weights:
            row[rng.permutation(number)[:out]] = 0.0
        scale = (number - out) / out
    else:
        drawn = rng.integers(0, number, (rounds, number)) + np.arange(rounds)[:, None] * number
        weights = np.bincount(drawn.ravel(), minlength=rounds * number).reshape(rounds, number)
        scale = 1.0
    many = [_over(s, c, weights) for s, c in zip(stats, codes, strict=True)]
    return Sampled(
        np.array([s.value() for s in stats]),
        np.stack(many),
        scale,
        signature,
        sum(int(getattr(s, "n", len(s))) for s in stats),
    )


def _over(stats: Stats, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if isinstance(stats, SumStats):
        sums = np.zeros((weights.shape[1], stats.rows.shape[1]))
        np.add.at(sums, codes, stats.rows)
        return stats.finish(weights @ sums)
    at_once: Callable[[np.ndarray], np.ndarray] | None = getattr(stats, "at_once", None)
    if at_once is not None:
        parts = np.array_split(weights, max(1, weights.shape[0] * len(codes) // 4_000_000))
        return np.concatenate([at_once(p[:, codes].astype(np.float64)) for p in parts])
    return np.array([stats.value(list(row[codes].astype(float))) for row in weights])


def estimate(found: Sampled) -> Estimate:
    """Return the mean over seeds with its interval."""
    return _estimate(found.mean, found.resampled.mean(axis=0), found.scale, [found], [1.0])


def difference(first: Sampled, second: Sampled) -> Estimate:
    """Return first less second, on the same posts."""
    many, posts = _both(first, second, lambda a, b: a - b)
    value = first.mean - second.mean
    return _estimate(value, many, first.scale, [first, second], [1.0, 1.0], posts=posts)


def ratio(first: Sampled, second: Sampled) -> Estimate:
    """Return first over second, on the same posts; the interval is one of logarithms."""
    a, b = first.mean, second.mean
    if not (a > 0 and b > 0):
        return Estimate(math.nan, math.nan, math.nan, _seeds([first, second]))
    with np.errstate(divide="ignore", invalid="ignore"):
        many, posts = _both(first, second, lambda x, y: np.log(x) - np.log(y))
    found = _estimate(
        math.log(a / b), many, first.scale, [first, second], [1 / a, 1 / b], posts=posts
    )
    ends = (math.exp(found.value), math.exp(found.low), math.exp(found.high))
    return Estimate(*ends, found.seeds, found.posts)


def _both(
    first: Sampled, second: Sampled, joined: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, bool]:
    a, b = first.resampled.mean(axis=0), second.resampled.mean(axis=0)
    if not len(a) or len(a) != len(b):
        return np.zeros(0), False
    return joined(a, b), True


def _seeds(found: Sequence[Sampled]) -> int:
    return min(len(f.values) for f in found)


def _estimate(
    value: float,
    many: np.ndarray,
    scale: float,
    found: Sequence[Sampled],
    slopes: Sequence[float],
    *,
    posts: bool = True,
) -> Estimate:
    """Put the variances over posts and over seeds together; see the head of this file."""
    finite = many[np.isfinite(many)]
    over_posts = posts and len(finite) > 1
    variance = scale * float(finite.var()) if over_posts else 0.0
    for one, slope in zip(found, slopes, strict=True):
        if len(one.values) > 1:
            variance += slope**2 * float(one.values.var(ddof=1)) / len(one.values)
    if math.isnan(value) or (not over_posts and _seeds(found) < 2):
        return Estimate(value, math.nan, math.nan, _seeds(found), over_posts)
    half = Z * math.sqrt(variance)
    return Estimate(value, value - half, value + half, _seeds(found), over_posts)
