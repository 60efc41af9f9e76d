"""Means over trainings: what their intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emotone.metrics import build
from emotone.metrics.base import mean_stats
from emotone.metrics.pooling import (
    Estimate,
    Sampled,
    by_training,
    difference,
    estimate,
    paired_difference,
    ratio,
    sample,
)
from emotone.metrics.significance import interval
from emotone.types import Dialogue, Example, Reply


def test_one_seed_has_the_interval_of_its_posts():
    rng = np.random.default_rng(0)
    values = rng.normal(size=300)
    ids = [f"p{i // 2:03}" for i in range(300)]
    stats = mean_stats(values)
    found = estimate(sample([stats], [ids], sorted(set(ids)), rounds=2000))
    low, high = interval(stats, groups=ids, rounds=2000)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_what_resampling_would_bias_is_left_out_instead():
    rng = np.random.default_rng(1)
    pairs = [
        (Example(f"p{i}", Dialogue.of("a")), Reply(" ".join(t), None, "s", "m", 0, 3))
        for i, t in enumerate(rng.choice([*"abcdefghijklmnopqrstuvwxyz"], (200, 3)))
    ]
    stats = build("distinct_2").stats(pairs)
    ids = [e.id for e, _ in pairs]
    found = estimate(sample([stats], [ids], ids, rounds=300))
    low, high = interval(stats, groups=ids, rounds=300)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(high - low, rel=0.15)


def test_the_seeds_add_their_variance():
    rng = np.random.default_rng(2)
    base = rng.normal(size=400)
    ids = [str(i) for i in range(400)]
    seeds = [mean_stats(base + shift) for shift in (-1.0, 0.0, 1.0)]
    found = estimate(sample(seeds, [ids] * 3, ids, rounds=500))
    posts = base.var() / 400
    assert found.value == pytest.approx(base.mean())
    half = 1.96 * math.sqrt(posts + 1.0 / 3)
    assert found.high - found.value == pytest.approx(half, rel=0.02)


def test_intervals_cover_posts_and_trainings_as_often_as_they_say():
    """Means of posts and of trainings drawn anew each time; 0 is the right answer."""
    rng = np.random.default_rng(3)
    ids = [str(i) for i in range(100)]
    hits = 0
    for _ in range(300):
        posts = rng.normal(size=100)
        seeds = [mean_stats(posts + 0.05 * rng.normal()) for _ in range(3)]
        found = estimate(sample(seeds, [ids] * 3, ids, rounds=200))
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / 300 <= 0.98


def test_differences_and_ratios_use_the_same_posts():
    rng = np.random.default_rng(4)
    posts = rng.uniform(1, 9, 200)
    ids = [str(i) for i in range(200)]
    a, b = (sample([mean_stats(posts * f)], [ids], ids, rounds=400) for f in (1.1, 1.0))
    apart = difference(a, b)
    assert apart.value == pytest.approx(0.1 * posts.mean())
    assert 0 < apart.low < apart.high < estimate(a).high - estimate(a).low
    times = ratio(a, b)
    assert (times.value, times.low, times.high) == pytest.approx((1.1, 1.1, 1.1), abs=1e-6)
    nothing = Sampled(np.array([0.0]), np.zeros((1, 400)), 1.0)
    assert math.isnan(ratio(a, nothing).value)


def test_an_interval_ends_where_values_do():
    found = Estimate(0.9, 0.8, 1.1).within(0.0, 1.0)
    assert (found.low, found.high) == (0.8, 1.0)
    assert Estimate(math.nan, math.nan, math.nan).row() == dict.fromkeys(("value", "low", "high"))


def test_several_samplings_of_one_training_are_averaged():
    sampled = Sampled(np.array([1.0, 3.0, 5.0, 7.0]), np.arange(8.0).reshape(4, 2), 1.0, "s")
    pooled = by_training(sampled, [1, 1, 2, 2])
    assert pooled.values.tolist() == [2, 6]
    assert pooled.resampled.tolist() == [[1, 2], [5, 6]]
    assert by_training(sampled, [1, 1, 1, 1]) is sampled


def test_pairs_of_trainings_take_out_what_the_training_brings():
    rng = np.random.default_rng(5)
    ids = [str(i) for i in range(50)]
    shifts = (-3.0, 0.0, 3.0)
    posts = rng.normal(size=50)
    first = sample([mean_stats(posts + s + 1) for s in shifts], [ids] * 3, ids, rounds=100)
    second = sample([mean_stats(posts + s) for s in shifts], [ids] * 3, ids, rounds=100)
    gap = paired_difference(first, second)
    assert (gap.value, gap.low, gap.high) == pytest.approx((1, 1, 1))
    assert difference(first, second).low < 0
