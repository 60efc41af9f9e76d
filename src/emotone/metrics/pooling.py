"""Means over trainings, with intervals over the choice of posts and over trainings.

A system is trained with several seeds, and each training answers the same posts. The value is the
mean over trainings. Its variance is that of the mean over other posts (bootstrap of posts, the same
ones for all trainings; the jackknife where resampling would be biased, as in
`emotone.metrics.significance`) plus the variance between trainings over their number. With one
training the second part is not known and left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from emotone.metrics.significance import LEFT_OUT, bootstrap, jackknife, leaves_out
from emotone.protocols import Stats

ROUNDS = 1000
#: Most rounds of the jackknife, which is slower.
JACKKNIFE_ROUNDS = 200
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A metric of one system: its value in each training, and over other choices of posts.

    Args:
        values: One a training, [k].
        resampled: The same over R resamples of posts, [k, R].
        scale: Takes the variance over resamples to that of the value.
        signature: Of the metric.
    """

    values: np.ndarray
    resampled: np.ndarray
    scale: float
    signature: str = ""

    @property
    def mean(self) -> float:
        """Mean over trainings."""
        return float(self.values.mean())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval of 95 %.

    Args:
        value: The value; NaN where it is not defined.
        low: Lower end; NaN where it is not known.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> Estimate:
        """Cut the interval to the possible values."""
        ends = (min(max(end, low), high) for end in (self.low, self.high))
        return replace(self, **dict(zip(("low", "high"), ends, strict=True)))

    def row(self) -> dict[str, Any]:
        """Return it for a JSON file, with six digits; NaN is null."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {k: None if math.isnan(v) else float(f"{v:.6g}") for k, v in numbers.items()}


def sample(
    stats: Sequence[Stats],
    groups: Sequence[Sequence[str]],
    posts: Sequence[str],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    signature: str = "",
) -> Sampled:
    """Evaluate a metric of several trainings over the same resamples of posts.

    Args:
        stats: Statistics of the replies of each training.
        groups: The post of each reply, by training.
        posts: All posts, in one order for all systems, so that their resamples are the same.
        rounds: Number of resamples.
        seed: Seed of the resamples.
        signature: Of the metric.
    """
    number = len(posts)
    place = {post: i for i, post in enumerate(posts)}
    codes = [np.array([place[post] for post in names], np.int64) for names in groups]
    leave_out = leaves_out(stats[0])
    out = max(1, round(LEFT_OUT * number))
    resampled: list[np.ndarray] = []
    for one, code in zip(stats, codes, strict=True):
        rng = np.random.default_rng(seed)  # the same posts for each training
        if leave_out:
            resampled += jackknife([one], code, number, min(rounds, JACKKNIFE_ROUNDS), rng)
        else:
            resampled.append(bootstrap(one, code, number, rounds, rng))
    scale = (number - out) / out if leave_out else 1.0
    return Sampled(np.array([s.value() for s in stats]), np.stack(resampled), scale, signature)


def by_training(sampled: Sampled, trainings: Sequence[int]) -> Sampled:
    """Average over several samplings of replies of one training.

    Args:
        sampled: One value a sampling.
        trainings: Seed of the training of each value.

    Returns:
        One value a training; one a sampling where there is one training.
    """
    if len(set(trainings)) < 2:
        return sampled
    rows = [[i for i, t in enumerate(trainings) if t == seed] for seed in dict.fromkeys(trainings)]
    return replace(
        sampled,
        values=np.array([sampled.values[row].mean() for row in rows]),
        resampled=np.stack([sampled.resampled[row].mean(axis=0) for row in rows]),
    )


def estimate(sampled: Sampled) -> Estimate:
    """Return the mean over trainings with its interval."""
    resampled = sampled.resampled.mean(axis=0)
    return _estimate(sampled.mean, resampled, sampled.scale, (sampled.values, 1.0))


def difference(first: Sampled, second: Sampled) -> Estimate:
    """Return first less second, on the same posts; their trainings are independent."""
    resampled = first.resampled.mean(axis=0) - second.resampled.mean(axis=0)
    trainings = ((first.values, 1.0), (second.values, 1.0))
    return _estimate(first.mean - second.mean, resampled, first.scale, *trainings)


def paired_difference(first: Sampled, second: Sampled) -> Estimate:
    """Return first less second, on the same posts and training by training.

    For two systems of which training i of one has something in common with training i of the
    other, as where a reinforced model begins at the supervised one of its own seed.
    """
    return estimate(
        replace(
            first,
            values=first.values - second.values,
            resampled=first.resampled - second.resampled,
        )
    )


def ratio(first: Sampled, second: Sampled) -> Estimate:
    """Return first over second, on the same posts; the interval is one of logarithms."""
    a, b = first.mean, second.mean
    if not (a > 0 and b > 0):
        return Estimate(math.nan, math.nan, math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = np.log(first.resampled.mean(axis=0)) - np.log(second.resampled.mean(axis=0))
    trainings = ((first.values, 1 / a), (second.values, 1 / b))
    log = _estimate(math.log(a / b), resampled, first.scale, *trainings)
    return Estimate(math.exp(log.value), math.exp(log.low), math.exp(log.high))


def _estimate(
    value: float, resampled: np.ndarray, scale: float, *trainings: tuple[np.ndarray, float]
) -> Estimate:
    """Add the variance over posts and that between trainings; see the head of this file.

    Args:
        value: The value.
        resampled: The same over resamples of posts, [R].
        scale: Takes the variance of `resampled` to that of the value.
        trainings: Values by training of each system in it, [k], and the value's slope in their
            mean.
    """
    finite = resampled[np.isfinite(resampled)]
    of_posts = len(finite) > 1
    variance = scale * float(finite.var()) if of_posts else 0.0
    for values, slope in trainings:
        if len(values) > 1:
            variance += slope**2 * float(values.var(ddof=1)) / len(values)
    if math.isnan(value) or not (of_posts or all(len(values) > 1 for values, _ in trainings)):
        return Estimate(value, math.nan, math.nan)
    half = Z * math.sqrt(variance)
    return Estimate(value, value - half, value + half)
