"""Intervals and paired tests, from statistics alone.

Replies to one post are not independent, so whole groups (example ids) are drawn, left out or
swapped, never single replies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from emotone.errors import ConfigError, DataError, Unsupported
from emotone.metrics.base import KindStats, Score, SumStats
from emotone.protocols import Metric, Stats

#: Above this number, groups are put together at random; independent groups stay independent.
MAX_GROUPS = 20_000
#: Share of groups that the jackknife leaves out.
LEFT_OUT = 0.1
#: n-grams looked at in one call, over all rounds; a large Distinct gets fewer rounds.
_BUDGET = 4e9
#: Weights held at once.
_CHUNK = 4_000_000
_NAN = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """How two runs over the same examples differ.

    Args:
        difference: Value of the first less value of the second.
        low: Lower end of its interval of 95 %.
        high: Upper end.
        p: Probability of a difference this large if it did not matter who wrote which replies.
    """

    difference: float
    low: float
    high: float
    p: float


def with_interval(
    metric: Metric,
    stats: Stats,
    *,
    groups: Sequence[str] | None = None,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Score:
    """Put value, interval and signature together."""
    low, high = interval(stats, groups=groups, rounds=rounds, level=level, seed=seed)
    n = getattr(stats, "n", len(stats))
    return Score(metric.name, stats.value(), low, high, n, metric.signature)


def interval(
    stats: Stats,
    *,
    groups: Sequence[str] | None = None,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the interval of a metric over the posts that might have been asked.

    Sums are resampled by the bootstrap (percentiles); a share of 0 or 1, where every resample is
    the same, gets Wilson's bound on its open side. Distinct is not resampled with replacement:
    a reply drawn twice adds no kind but adds to the total, so every resample has too few kinds
    and the interval lies below the value; nor is the commonest share, where it would be a copy
    that nobody gave. There (`leave_out` of the statistics), a tenth of the groups is left out in
    each round and the spread is scaled up (delete-d jackknife).

    Args:
        stats: Statistics of N replies.
        groups: Name of the group of each reply; None for each reply on its own.
        rounds: Number of resamples.
        level: Probability that the interval covers the value, in (0, 1).
        seed: Seed of the draws.

    Returns:
        Both ends; NaN where the value is not defined or there are fewer than two groups.

    Raises:
        DataError: If there is not one group for each reply.
        ConfigError: If `rounds` or `level` is out of range.

    Source: Efron and Tibshirani 1993, chapter 13; Shao and Wu 1989 (delete-d jackknife);
        Wilson 1927.
    """
    _check(rounds, level)
    codes, number = _codes(groups, len(stats), seed)
    value = stats.value()
    if number < 2 or math.isnan(value):
        return _NAN
    rng = np.random.default_rng(seed)
    if leaves_out(stats):
        drops = jackknife([stats], codes, number, _rounds(stats, rounds), rng)
        low, high = _spread(value, drops[0], number, level)
        return float(np.clip(low, 0.0, 1.0)), float(np.clip(high, 0.0, 1.0))
    values = bootstrap(stats, codes, number, rounds, rng)
    low, high = _percentiles(values, level)
    if isinstance(stats, SumStats) and stats.share and value in (0.0, 1.0):
        counted = len(np.unique(codes[stats.rows.any(axis=1)]))
        z = NormalDist().inv_cdf((1 + level) / 2)
        bound = z * z / (counted + z * z)
        return (0.0, bound) if value == 0.0 else (1 - bound, 1.0)
    return low, high


def paired_test(
    a: Stats,
    b: Stats,
    *,
    rounds: int = 10_000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> PairedTest:
    """Test whether two runs over the same examples differ.

    p comes from approximate randomisation: if it did not matter which run wrote which replies,
    swapping those of a post would change nothing, so the observed difference is placed among
    those of random swaps. The interval is that of the paired bootstrap (for Distinct and the
    commonest share: of the paired jackknife), which draws the same posts for both.

    Args:
        a: Statistics of the first run.
        b: Statistics of the second, of the same metric, over the same examples in the same order.
        rounds: Number of swaps; the bootstrap uses as many, up to 2,000. For Distinct over very
            many replies fewer are made, so that it ends.
        seed: Seed of the draws.
        groups: Name of the group of each reply (the example id); None for each on its own.

    Raises:
        DataError: If the runs differ in length or in what they keep.
        Unsupported: If the statistics cannot be joined.

    Source: Noreen 1989; Riezler and Maxwell 2005.
    """
    _check(rounds, 0.95)
    if len(a) != len(b):
        raise DataError(
            f"the runs have {len(a)} and {len(b)} replies; compare runs over the same examples, "
            "in the same order"
        )
    codes, number = _codes(groups, len(a), seed)
    joined = _join(a, b)
    difference = a.value() - b.value()
    if number < 2 or math.isnan(difference):
        return PairedTest(difference, math.nan, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    if leaves_out(a):
        rounds = _rounds(joined, rounds)
        spread = jackknife([a, b], codes, number, min(rounds, 2000), rng)
        low, high = _spread(difference, spread[0] - spread[1], number, 0.95)
    else:
        again = int(rng.integers(2**31))
        values = [
            bootstrap(s, codes, number, min(rounds, 2000), np.random.default_rng(again))
            for s in (a, b)
        ]
        with np.errstate(invalid="ignore"):  # two infinite perplexities have no difference
            low, high = _percentiles(values[0] - values[1], 0.95)
    swapped = _swaps(joined, codes, number, rounds, rng)
    # Sums in another order differ in the last digits; such differences are equal.
    as_large = np.abs(swapped) >= abs(difference) - 1e-9 * max(1.0, abs(difference))
    return PairedTest(difference, low, high, (1 + int(as_large.sum())) / (1 + len(swapped)))


def _check(rounds: int, level: float) -> None:
    if rounds < 1:
        raise ConfigError(f"rounds is {rounds}; use 1 or more")
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; use a number between 0 and 1, such as 0.95")


def _codes(groups: Sequence[str] | None, n: int, seed: int) -> tuple[np.ndarray, int]:
    """Number the groups: code of each reply, and how many codes there are."""
    if groups is None:
        codes = np.arange(n)
    elif len(groups) != n:
        raise DataError(f"{len(groups)} groups came for {n} replies; give one group a reply")
    else:
        # In sorted order, so that the order of the replies changes nothing.
        known = {name: i for i, name in enumerate(sorted(set(groups)))}
        codes = np.fromiter(map(known.__getitem__, groups), np.int64, n)
    number = int(codes.max()) + 1 if n else 0
    if number > MAX_GROUPS:
        order = np.random.default_rng(seed).permutation(number)
        return order[codes] % MAX_GROUPS, MAX_GROUPS
    return codes, number


def _draws(rng: np.random.Generator, number: int, rounds: int) -> np.ndarray:
    """How often each group is drawn in `number` draws with replacement, [rounds, number]."""
    drawn = rng.integers(0, number, (rounds, number))
    drawn += np.arange(rounds)[:, None] * number
    counts = np.bincount(drawn.ravel(), minlength=rounds * number)
    return counts.reshape(rounds, number).astype(np.float64)


def _group_sums(stats: SumStats, codes: np.ndarray, number: int) -> np.ndarray:
    sums = np.zeros((number, stats.rows.shape[1]))
    np.add.at(sums, codes, stats.rows)
    return sums


def bootstrap(
    stats: Stats, codes: np.ndarray, number: int, rounds: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the values over resamples of groups with replacement, [rounds].

    Args:
        stats: Statistics of N replies.
        codes: Number of the group of each reply, [N].
        number: Number of groups.
        rounds: Number of resamples.
        rng: Draws them; equal generators draw equal groups, whatever the statistics.
    """
    sums = _group_sums(stats, codes, number) if isinstance(stats, SumStats) else None
    values: list[np.ndarray] = []
    step = max(1, _CHUNK // number)
    for start in range(0, rounds, step):
        weights = _draws(rng, number, min(step, rounds - start))
        if isinstance(stats, SumStats) and sums is not None:
            values.append(stats.finish(weights @ sums))
        else:
            values.append(_values(stats, weights[:, codes]))
    return np.concatenate(values)


def _values(stats: Stats, weights: np.ndarray) -> np.ndarray:
    """Value for each row of weights [R, N]; at once where the statistics can."""
    at_once: Callable[[np.ndarray], np.ndarray] | None = getattr(stats, "at_once", None)
    if at_once is not None:
        return at_once(weights)
    return np.array([stats.value(row) for row in weights])  # type: ignore


def _percentiles(found: np.ndarray, level: float) -> tuple[float, float]:
    defined = found[~np.isnan(found)]  # a resample may hold no reply that counts
    if not len(defined):
        return _NAN
    ordered = np.sort(defined)  # no interpolation: nothing lies between a value and infinity
    last = len(ordered) - 1
    low, high = math.floor((1 - level) / 2 * last), math.ceil((1 + level) / 2 * last)
    return float(ordered[low]), float(ordered[high])


def leaves_out(stats: Stats) -> bool:
    """Whether groups have to be left out, as resamples with replacement would be biased."""
    return bool(getattr(stats, "leave_out", False))


def _rounds(stats: Stats, rounds: int) -> int:
    if not isinstance(stats, KindStats):
        return rounds
    return min(rounds, max(200, int(_BUDGET / max(1, int(stats.sizes.sum())))))


def jackknife(
    runs: Sequence[Stats], codes: np.ndarray, number: int, rounds: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return the values of each run with the same random tenths of groups left out, [rounds] each.

    Args:
        runs: Statistics of N replies each.
        codes: Number of the group of each reply, [N], the same for all runs.
        number: Number of groups.
        rounds: How many tenths are left out, one after the other.
        rng: Draws them.
    """
    out = max(1, round(LEFT_OUT * number))
    without = [_without(stats, codes) for stats in runs]
    values = [np.full(rounds, np.nan) for _ in runs]
    for i in range(rounds):
        gone = np.zeros(number, bool)
        gone[rng.permutation(number)[:out]] = True
        for value, into in zip(without, values, strict=True):
            into[i] = value(gone)
    return values


def _without(stats: Stats, codes: np.ndarray) -> Callable[[np.ndarray], float]:
    """Make the function from groups that are gone, [number], to the value of the others."""
    if not isinstance(stats, KindStats):
        return lambda gone: stats.value((~gone[codes]).astype(np.float64))  # type: ignore
    kinds, n_kinds = stats.kinds
    of_gram, times = np.repeat(codes, stats.sizes), np.bincount(kinds, minlength=n_kinds)

    def value(gone: np.ndarray) -> float:
        lost = kinds[gone[of_gram]]
        rest = len(kinds) - len(lost)
        left = np.bincount(lost, minlength=n_kinds) < times
        return int(left.sum()) / rest if rest else math.nan

    return value


def _spread(value: float, found: np.ndarray, number: int, level: float) -> tuple[float, float]:
    """Interval around a value from the spread of its values with groups left out."""
    out = max(1, round(LEFT_OUT * number))
    defined = found[~np.isnan(found)]
    if len(defined) < 2:
        return _NAN
    # Around their own mean: fewer replies have a higher share of kinds, which is no spread.
    error = math.sqrt((number - out) / out * float(defined.var()))
    half = NormalDist().inv_cdf((1 + level) / 2) * error
    return value - half, value + half


def _join(a: Stats, b: Stats) -> Any:
    join: Callable[[Stats], Stats] | None = getattr(a, "join", None)
    if join is None or type(a) is not type(b):
        raise Unsupported(
            f"{type(a).__name__} and {type(b).__name__} cannot be compared in pairs; give "
            "statistics of one kind that offer join"
        )
    return join(b)


def _swaps(
    joined: Any, codes: np.ndarray, number: int, rounds: int, rng: np.random.Generator
) -> np.ndarray:
    """Differences after swapping the replies of random groups between the runs, [rounds]."""
    n = len(codes)
    differences: list[np.ndarray] = []
    step = max(1, _CHUNK // number)
    if isinstance(joined, SumStats):
        first = SumStats(joined.rows[:n], joined.finish)
        second = SumStats(joined.rows[n:], joined.finish)
        a, b = (_group_sums(s, codes, number) for s in (first, second))
        total = a.sum(axis=0) + b.sum(axis=0)
        for start in range(0, rounds, step):
            own = rng.integers(0, 2, (min(step, rounds - start), number)).astype(np.float64)
            mine = own @ (a - b) + b.sum(axis=0)
            with np.errstate(invalid="ignore"):
                differences.append(joined.finish(mine) - joined.finish(total - mine))
    else:
        step = max(1, _CHUNK // len(codes))
        for start in range(0, rounds, step):
            own = rng.integers(0, 2, (min(step, rounds - start), number)).astype(bool)[:, codes]
            mine = np.concatenate([own, ~own], axis=1).astype(np.float64)
            differences.append(_values(joined, mine) - _values(joined, 1 - mine))
    every = np.concatenate(differences)
    return every[~np.isnan(every)]
