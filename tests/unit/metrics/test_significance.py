"""Intervals cover what they should; paired tests reject as often as they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from emotone.errors import ConfigError, DataError, Unsupported
from emotone.metrics import build, grams, significance
from emotone.metrics.base import KindStats, Measure, SumStats, mean_of, mean_stats
from emotone.metrics.repetition import CommonestStats
from emotone.metrics.significance import interval, paired_test, with_interval
from unit.metrics.doubles import pair

#: Of 300 intervals of 95 %, 285 cover, give or take 4 (two standard errors are 2.5 %); percentile
#: and jackknife intervals are approximate, which is given another 2.5 %.
COVERED = (0.90, 1.0)
TRIALS = 300


def grouped_hits(rng: np.random.Generator, groups: int) -> tuple[np.ndarray, list[str]]:
    """Draw seven replies a post, alike because the post is easy or hard; mean 0.5."""
    ease = rng.beta(0.5, 0.5, groups)
    hits = rng.random((groups, 7)) < ease[:, None]
    return hits.ravel().astype(float), [str(g) for g in range(groups) for _ in range(7)]


def test_the_interval_covers_the_mean_of_grouped_replies():
    inside = 0
    for trial in range(TRIALS):
        hits, groups = grouped_hits(np.random.default_rng(trial), 60)
        low, high = interval(mean_stats(hits), groups=groups, rounds=300, seed=trial)
        inside += low <= 0.5 <= high
    assert COVERED[0] <= inside / TRIALS <= COVERED[1]


def test_without_groups_the_interval_of_grouped_replies_is_too_short():
    inside = 0
    for trial in range(TRIALS):
        hits, _ = grouped_hits(np.random.default_rng(trial), 60)
        low, high = interval(mean_stats(hits), rounds=300, seed=trial)
        inside += low <= 0.5 <= high
    assert inside / TRIALS < 0.80


WORDS, REPLIES, PER_POST = 3000, 120, 3
_CHANCES = 1 / np.arange(1, WORDS + 1)
_CHANCES /= _CHANCES.sum()


def zipf_replies(rng: np.random.Generator) -> tuple[KindStats, list[str]]:
    """Draw replies of a known process: words by Zipf's law, a third of them the post's own."""
    rows: list[list[str]] = []
    for _ in range(REPLIES // PER_POST):
        own = rng.choice(WORDS, 4, p=_CHANCES)
        for _ in range(PER_POST):
            n = int(rng.integers(4, 16))
            free = rng.choice(WORDS, n, p=_CHANCES)
            said = np.where(rng.random(n) < 1 / 3, rng.choice(own, n), free)
            rows.append([str(w) for w in said])
    groups = [str(i // PER_POST) for i in range(REPLIES)]
    return KindStats(grams.encode(rows), 1), groups


@pytest.mark.slow
def test_the_interval_of_distinct_covers_where_the_bootstrap_does_not():
    """The true value is the mean of Distinct over fresh corpora of the same size."""
    fresh = [zipf_replies(np.random.default_rng(10_000 + i))[0].value() for i in range(400)]
    true, spread = np.mean(fresh), np.std(fresh)
    inside = naive = 0
    widths: list[float] = []
    for trial in range(TRIALS // 2):
        rng = np.random.default_rng(trial)
        stats, groups = zipf_replies(rng)
        low, high = interval(stats, groups=groups, rounds=200, seed=trial)
        widths.append((high - low) / 2 / 1.96)
        inside += low <= true <= high
        number = REPLIES // PER_POST
        draws = [
            np.repeat(np.bincount(rng.integers(0, number, number), minlength=number), PER_POST)
            for _ in range(100)
        ]
        low, high = np.quantile([stats.value(w) for w in draws], [0.025, 0.975])
        naive += low <= true <= high
    assert COVERED[0] <= inside / (TRIALS // 2) <= COVERED[1]
    assert naive / (TRIALS // 2) < 0.1
    assert np.mean(widths) == pytest.approx(spread, rel=0.2)  # covering by width is no art


def test_the_paired_test_of_equal_systems_rejects_as_often_as_it_says():
    rejected = 0
    for trial in range(TRIALS):
        rng = np.random.default_rng(trial)
        ease = rng.random(40)
        a, b = ((rng.random(40) < ease).astype(float) for _ in range(2))
        rejected += paired_test(mean_stats(a), mean_stats(b), rounds=300, seed=trial).p <= 0.05
    assert rejected / TRIALS <= 0.05 + 0.03


def test_a_real_difference_is_found_and_its_interval_covers_it():
    inside = found = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        shared = rng.normal(0, 1, 80)
        a, b = shared + rng.normal(0.5, 0.5, 80), shared + rng.normal(0.2, 0.5, 80)
        test = paired_test(mean_stats(a), mean_stats(b), rounds=400, seed=trial)
        inside += test.low <= 0.3 <= test.high
        found += test.p <= 0.05
    assert inside >= 88
    assert found >= 85  # pairing removes the shared part; unpaired it would be found half the time


def test_infinite_perplexities_have_an_interval_and_no_difference():
    def exp(sums: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(mean_of(sums))

    rows = np.array([[1e6, 1.0], [1.0, 1.0], [2.0, 1.0]])
    huge = SumStats(rows, exp)
    assert interval(huge, rounds=100)[1] == math.inf
    assert math.isnan(paired_test(huge, huge, rounds=50).p)
    finite = SumStats(rows[[1, 1, 2]], exp)
    assert paired_test(huge, finite, rounds=50).difference == math.inf


def test_a_swap_of_systems_turns_the_difference_around():
    rng = np.random.default_rng(0)
    a, b = mean_stats(rng.random(30)), mean_stats(rng.random(30) + 0.1)
    one, two = paired_test(a, b, rounds=500), paired_test(b, a, rounds=500)
    assert one.difference == -two.difference
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    assert abs(one.p - two.p) < 0.06


@dataclass(frozen=True)
class Largest:
    """Statistics that neither add up nor join."""

    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    def value(self, weights=None) -> float:
        used = [v for v, w in zip(self.values, weights or [1] * len(self), strict=True) if w]
        return max(used, default=math.nan)


class Weighted(Largest):
    def value(self, weights=None) -> float:
        return super().value(None if weights is None else list(weights))


def test_other_statistics_get_an_interval_through_their_value():
    low, high = interval(Weighted((1.0, 2.0, 3.0, 9.0)), rounds=200)
    assert 2.0 <= low <= high == 9.0


def test_other_statistics_that_do_not_join_are_not_compared():
    with pytest.raises(Unsupported, match="cannot be compared in pairs"):
        paired_test(Largest((1.0, 2.0)), Largest((1.0, 3.0)))
    with pytest.raises(Unsupported, match="cannot be compared in pairs"):
        paired_test(mean_stats([1.0, 2.0]), CommonestStats(("a", "b")))


def test_the_commonest_reply_is_compared_too():
    a, b = CommonestStats(("yes",) * 20), CommonestStats(tuple(map(str, range(20))))
    assert paired_test(a, b, rounds=500).p < 0.01


def test_the_interval_of_the_commonest_reply_holds_its_value():
    stats = CommonestStats(tuple(map(str, range(40))))
    low, high = interval(stats, rounds=200)
    assert low <= stats.value() <= high
    shared = CommonestStats(("yes",) * 10 + tuple(map(str, range(30))))
    low, high = interval(shared, rounds=200)
    assert 0.1 < low < 0.25 < high < 0.4
    test = paired_test(shared, stats, rounds=200)
    assert test.low <= test.difference <= test.high
    assert test.low > 0


def test_self_bleu_of_two_runs_is_not_compared():
    made = [build("self_bleu").stats([pair(t), pair("no cat")]) for t in ("a", "b")]
    with pytest.raises(Unsupported, match="cannot be compared in pairs"):
        paired_test(*made)


def test_statistics_of_two_taxonomies_are_not_compared():
    a = SumStats(np.ones((2, 3)), mean_of, ("joy", "fear", "anger"))
    b = SumStats(np.ones((2, 3)), mean_of, ("like", "other", "anger"))
    with pytest.raises(DataError, match="emotions of one taxonomy"):
        paired_test(a, b)


def test_runs_of_different_length_are_not_compared():
    with pytest.raises(DataError, match="2 and 3 replies"):
        paired_test(mean_stats([1.0, 2.0]), mean_stats([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("groups", [["a"], ["a"] * 4])
def test_each_reply_has_a_group(groups):
    with pytest.raises(DataError, match="groups came for 3 replies"):
        interval(mean_stats([1.0, 2.0, 3.0]), groups=groups)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"level": 0.0}, {"level": 1.0}, {"level": 95}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        interval(mean_stats([1.0, 2.0]), **wrong)


def test_one_group_says_nothing_about_others():
    assert np.isnan(interval(mean_stats([1.0, 2.0, 3.0]), groups=["a"] * 3)).all()
    test = paired_test(mean_stats([1.0, 2.0]), mean_stats([0.0, 0.0]), groups=["a", "a"])
    assert test.difference == 1.5
    assert math.isnan(test.p)


def test_replies_that_do_not_count_leave_the_interval_defined():
    low, high = interval(mean_stats([1.0, None, None, None, 0.0, None]))
    assert 0.0 <= low <= high <= 1.0


def test_the_order_of_replies_with_groups_changes_no_interval():
    hits, groups = grouped_hits(np.random.default_rng(1), 20)
    order = np.random.default_rng(2).permutation(len(hits))
    ends = interval(mean_stats(hits), groups=groups)
    shuffled = interval(mean_stats(hits[order]), groups=[groups[i] for i in order])
    assert shuffled == pytest.approx(ends)


def test_another_seed_draws_anew_and_a_higher_level_is_wider():
    values = mean_stats(np.random.default_rng(0).random(50))
    assert interval(values, seed=0) != interval(values, seed=1)
    low, high = interval(values, level=0.8)
    wide_low, wide_high = interval(values, level=0.99)
    assert wide_low < low < high < wide_high


def test_very_many_groups_are_put_together_without_changing_the_interval(monkeypatch):
    values = np.random.default_rng(0).normal(0, 1, 4000)
    whole = interval(mean_stats(values), rounds=600)
    monkeypatch.setattr(significance, "MAX_GROUPS", 500)
    blocks = interval(mean_stats(values), rounds=600)
    assert blocks == pytest.approx(whole, abs=0.006)
    assert blocks != whole


def test_the_interval_of_distinct_stays_a_share():
    rows = [["a", "b", "c", "d"]] * 2 + [[str(i), str(-i)] for i in range(1, 9)]
    stats = KindStats(grams.encode(rows), 1)
    low, high = interval(stats)
    assert 0 <= low < stats.value() < high == 1
    alone = KindStats(grams.encode([["a"], []]), 1)
    one_way = interval(alone, rounds=1)  # one value has no spread
    assert np.isnan(one_way).all()


def test_a_large_distinct_gets_fewer_rounds(monkeypatch):
    stats, groups = zipf_replies(np.random.default_rng(0))
    monkeypatch.setattr(significance, "_BUDGET", 1.0)
    calls: list[int] = []
    real = significance.jackknife
    monkeypatch.setattr(
        significance,
        "jackknife",
        lambda runs, codes, number, rounds, rng: (
            calls.append(rounds) or real(runs, codes, number, rounds, rng)
        ),
    )
    interval(stats, groups=groups, rounds=1000)
    interval(stats, groups=groups, rounds=150)
    assert calls == [200, 150]


def test_a_score_counts_the_replies_that_count():
    metric = Measure("mean", "name:mean|v:1", lambda pairs: mean_stats([None] * len(pairs)))
    made = with_interval(metric, mean_stats([1.0, None, 0.0]))
    assert (made.name, made.value, made.n) == ("mean", 0.5, 2)
    assert made.low <= 0.5 <= made.high
