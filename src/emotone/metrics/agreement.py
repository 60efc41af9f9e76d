"""How far raters agree: Fleiss' and Cohen's kappa, Krippendorff's alpha, for incomplete ratings.

All are finished from sums over items, so that one bootstrap serves them all
(`emotone.metrics.significance.interval`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np

from emotone.metrics.base import SumStats

Scale = Literal["nominal", "ordinal", "interval"]


def fleiss(ratings: np.ndarray, values: Sequence[float] | np.ndarray) -> SumStats:
    """Fleiss' kappa over the items that two or more rated.

    Where items have different numbers of ratings, the agreement of an item is that of its own pairs
    and every item counts the same; with equal numbers this is the kappa of the paper.

    Args:
        ratings: Values, [items, raters]; NaN where a rater gave none.
        values: All possible values.

    Returns:
        Statistics whose value is kappa; NaN where one value was given throughout.

    Source: Fleiss 1971, equations 1 to 7.
    """
    counts, enough = _counts(ratings, values)
    n = np.maximum(counts.sum(1, keepdims=True), 2)
    alike = (counts * (counts - 1)).sum(1, keepdims=True) / (n * (n - 1))
    rows = np.concatenate([alike, counts / n, np.ones_like(alike)], axis=1)

    def kappa(sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            means = sums[..., :-1] / sums[..., -1:]
            chance = (means[..., 1:] ** 2).sum(-1)
            return np.where(chance < 1, (means[..., 0] - chance) / (1 - chance), np.nan)

    return SumStats(np.where(enough[:, None], rows, 0.0), kappa)


def cohen(ratings: np.ndarray, values: Sequence[float] | np.ndarray) -> SumStats:
    """Cohen's kappa with quadratic weights, of several raters the mean over pairs of them.

    A pair counts by its number of common items, and one whose kappa is not defined does not count.
    Of two values the weighted kappa is the plain one.

    Args:
        ratings: Values, [items, raters]; NaN where a rater gave none.
        values: All possible values.

    Source: Cohen 1968; the mean over pairs is Light's (1971), here weighted.
    """
    k = len(values)
    places = np.stack([ratings == value for value in values], axis=-1).astype(np.float64)
    pairs = list(combinations(range(ratings.shape[1]), 2))
    tables = [np.einsum("na,nb->nab", places[:, i], places[:, j]) for i, j in pairs]
    rows = np.stack(tables, axis=1).reshape(len(ratings), -1) if tables else np.zeros((0, k * k))
    scale = np.array(values, np.float64)
    distance = np.subtract.outer(scale, scale) ** 2

    def kappa(sums: np.ndarray) -> np.ndarray:
        table = sums.reshape(*sums.shape[:-1], -1, k, k)
        n = table.sum((-2, -1))
        chance = table.sum(-1)[..., :, None] * table.sum(-2)[..., None, :]
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = (distance * chance).sum((-2, -1)) / n
            each = 1 - (distance * table).sum((-2, -1)) / expected
            weight = np.where(np.isfinite(each), n, 0.0)
            return np.where(weight > 0, each * weight, 0.0).sum(-1) / weight.sum(-1)

    return SumStats(rows, kappa)


def krippendorff(
    ratings: np.ndarray, values: Sequence[float] | np.ndarray, scale: Scale
) -> SumStats:
    """Krippendorff's alpha over the items that two or more rated.

    Args:
        ratings: Values, [items, raters]; NaN where a rater gave none.
        values: All possible values, rising.
        scale: How far two values are apart.

    Returns:
        Statistics whose value is alpha; NaN where one value was given throughout.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections C to E.
    """
    counts, enough = _counts(ratings, values)
    k = len(values)
    n = np.maximum(counts.sum(1), 2)[:, None, None]
    paired = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)
    rows = np.where(enough[:, None], (paired / (n - 1)).reshape(len(counts), -1), 0.0)
    given = np.array(values, np.float64)

    def alpha(sums: np.ndarray) -> np.ndarray:
        coincidences = sums.reshape(*sums.shape[:-1], k, k)
        of_value = coincidences.sum(-1)
        if scale == "nominal":
            distance = 1 - np.eye(k)
        else:
            # The ordinal distance counts the ratings between two values, half of both ends' own.
            at = given if scale == "interval" else np.cumsum(of_value, -1) - of_value / 2
            distance = (at[..., :, None] - at[..., None, :]) ** 2
        expected = (of_value[..., :, None] * of_value[..., None, :] * distance).sum((-2, -1))
        with np.errstate(invalid="ignore", divide="ignore"):
            observed = (coincidences * distance).sum((-2, -1)) * (of_value.sum(-1) - 1)
            return np.where(expected > 0, 1 - observed / expected, np.nan)

    return SumStats(rows, alpha)


def _counts(
    ratings: np.ndarray, values: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ratings of each item by value, [items, values], and which items two or more rated."""
    counts = np.stack([(ratings == value).sum(1) for value in values], axis=1).astype(np.float64)
    return counts, counts.sum(1) >= 2
