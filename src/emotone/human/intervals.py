"""Intervals over posts and raters together, and p-values of many tests together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from emotone.metrics.base import SumStats
from emotone.metrics.significance import bootstrap, interval

ROUNDS = 1000


def crossed(
    stats: SumStats,
    posts: Sequence[str],
    raters: Sequence[str],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval over the posts that might have been asked and the raters that might have answered.

    Three bootstraps resample whole posts, whole raters, and whole cells of one post and one rater.
    The variance is that over posts, plus that over raters, less that over cells, which is in both;
    it is never below the larger one. Half the width is so many standard deviations as Student's t
    has at one degree of freedom less than the fewer of posts and raters: with three raters one
    knows little of all others, and the interval says so. With one rater only posts are resampled.

    Args:
        stats: Statistics of N ratings.
        posts: Post of each rating, [N].
        raters: Rater of each rating, [N].
        rounds: Resamples of each bootstrap.
        seed: Of the draws.
        level: Probability that the interval covers the value.

    Returns:
        Both ends; NaN where there are fewer than two posts, or no value.

    Source: Cameron, Gelbach and Miller 2011, section 2 (two-way clusters).
    """
    value = stats.value()
    if len(set(raters)) < 2 or math.isnan(value):
        return interval(stats, groups=posts, rounds=rounds, seed=seed, level=level)
    if stats.share and value in (0.0, 1.0):  # no resample differs; Wilson's bound on the open side
        return interval(stats, groups=posts, rounds=rounds, seed=seed, level=level)
    rng = np.random.default_rng(seed)
    cells = [f"{rater}\n{post}" for post, rater in zip(posts, raters, strict=True)]
    over = [_variance(stats, groups, rounds, rng) for groups in (posts, raters, cells)]
    (of_posts, n_posts), (of_raters, n_raters), (of_cells, _) = over
    if n_posts < 2:
        return math.nan, math.nan
    variance = max(of_posts + of_raters - of_cells, of_posts, of_raters)
    quantile = float(student.ppf((1 + level) / 2, min(n_posts, n_raters) - 1))
    half = quantile * math.sqrt(variance)
    return value - half, value + half


def _variance(
    stats: SumStats, groups: Sequence[str], rounds: int, rng: np.random.Generator
) -> tuple[float, int]:
    """Variance over resamples of groups, as of an endless number of groups; and their number."""
    names, codes = np.unique(np.array(groups), return_inverse=True)
    values = bootstrap(stats, codes, len(names), rounds, rng)
    n = len(names)
    return (float(np.nanvar(values)) * n / (n - 1) if n > 1 else 0.0), n


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of tests, so that no false find is likely among all of them.

    NaN, of a test that could not be made, stays and does not count.

    Source: Holm 1979.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected = list(p_values)
    least = 0.0
    for rank, (p, i) in enumerate(order):
        least = max(least, min(1.0, p * (len(order) - rank)))
        corrected[i] = least
    return corrected
