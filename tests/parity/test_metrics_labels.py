"""Accuracy and F1 against scikit-learn; intervals and tests against statsmodels and exact sums."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from emotone.metrics import f1
from emotone.metrics.base import mean_stats
from emotone.metrics.significance import interval, paired_test
from emotone.types import MECHANISMS
from unit.metrics.doubles import TELLS, CountIdentifier, build, pair, random_corpus

CORPORA = 250
CLOSE = 1e-9


def value(name: str, pairs) -> float:
    return build(name).stats(pairs).value()


def test_accuracy_and_macro_f1_of_emotions_are_scikit_learn_s():
    from sklearn.metrics import accuracy_score, f1_score

    for seed in range(CORPORA):
        rng = np.random.default_rng(seed)
        pairs = random_corpus(rng, int(rng.integers(1, 15)))
        asked = [str(r.emotion.parts[0][0]) for _, r in pairs]
        judged = [
            next((TELLS[w] for w in r.text.split() if w in TELLS), "neutral") for _, r in pairs
        ]
        assert value("emotion_accuracy", pairs) == pytest.approx(
            accuracy_score(asked, judged), abs=CLOSE
        )
        theirs = f1_score(asked, judged, labels=sorted(set(asked)), average="macro")
        assert value("emotion_macro_f1", pairs) == pytest.approx(theirs, abs=CLOSE)


@pytest.mark.parametrize("average", ["weighted", "macro", "accuracy"])
def test_f1_of_levels_is_scikit_learn_s(average: str):
    from sklearn.metrics import accuracy_score, f1_score

    for seed in range(300):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 12))
        true, judged = rng.integers(0, 3, n), rng.integers(0, 3, n)
        sums = f1.columns(np.eye(3)[true], np.eye(3)[judged]).sum(axis=0)
        if average == "weighted":
            ours, theirs = f1.weighted(sums), f1_score(true, judged, average="weighted")
        elif average == "macro":
            ours = f1.macro(sums, present="either")
            theirs = f1_score(true, judged, average="macro")
        else:
            ours, theirs = f1.accuracy(sums), accuracy_score(true, judged)
        assert float(ours) == pytest.approx(theirs, abs=CLOSE)


@pytest.mark.parametrize(("name", "average"), [("emp_f1", "weighted"), ("emp_macro_f1", "macro")])
def test_empathy_is_scikit_learn_s_f1_of_reply_against_reference(name: str, average: str):
    from sklearn.metrics import f1_score

    for seed in range(60):
        rng = np.random.default_rng(seed)
        pairs = random_corpus(rng, int(rng.integers(1, 20)))
        judge = CountIdentifier()
        mine = judge.identify([("", r.text) for _, r in pairs])
        other = judge.identify([("", e.reply or "") for e, _ in pairs])
        each: list[float] = []
        floors: list[float] = []
        for mechanism in MECHANISMS:
            a = [getattr(x, mechanism) for x in mine]
            b = [getattr(x, mechanism) for x in other]
            each.append(float(f1_score(b, a, average=average)))
            most = np.bincount(b).argmax()
            floors.append(float(f1_score(b, [most] * len(b), average=average, zero_division=0)))
            assert value(f"{name}_{mechanism}", pairs) == pytest.approx(each[-1], abs=CLOSE)
        assert value(name, pairs) == pytest.approx(np.mean(each), abs=CLOSE)
        assert value(f"{name}_floor", pairs) == pytest.approx(np.mean(floors), abs=CLOSE)


#: A percentile of 2,000 resamples is itself drawn, and Wilson's interval is pulled to the middle.
DRAWN = 0.012


@pytest.mark.parametrize(("n", "hits"), [(400, 200), (400, 60), (900, 810)])
def test_the_interval_of_a_share_is_near_wilson_s(n: int, hits: int):
    from statsmodels.stats.proportion import proportion_confint

    stats = mean_stats([1.0] * hits + [0.0] * (n - hits), share=True)
    assert interval(stats, rounds=2000) == pytest.approx(
        proportion_confint(hits, n, method="wilson"), abs=DRAWN
    )


@pytest.mark.parametrize(("n", "hits"), [(10, 0), (10, 10), (37, 37)])
def test_a_share_of_all_or_none_gets_wilson_s_bound(n: int, hits: int):
    from statsmodels.stats.proportion import proportion_confint

    stats = mean_stats([1.0] * hits + [0.0] * (n - hits), share=True)
    low, high = proportion_confint(hits, n, method="wilson")
    assert interval(stats) == pytest.approx((max(0, low), min(1, high)), abs=CLOSE)


#: Standard error of a p of 0.5 from 10,000 draws is 0.005.
DRAWN_P = 0.02


@pytest.mark.parametrize(("only_a", "only_b"), [(30, 18), (12, 3), (20, 20)])
def test_the_paired_test_of_hits_is_mcnemar_s(only_a: int, only_b: int):
    """Swaps of two right or two wrong replies change nothing, which leaves the exact sign test."""
    from statsmodels.stats.contingency_tables import mcnemar

    a = [1.0] * only_a + [0.0] * only_b + [1.0] * 40 + [0.0] * 40
    b = [0.0] * only_a + [1.0] * only_b + [1.0] * 40 + [0.0] * 40
    exact = mcnemar([[40, only_a], [only_b, 40]], exact=True).pvalue
    found = paired_test(mean_stats(a), mean_stats(b))
    assert found.difference == pytest.approx((only_a - only_b) / len(a))
    assert found.p == pytest.approx(exact, abs=DRAWN_P)


def test_the_paired_test_is_the_share_of_all_swaps():
    rng = np.random.default_rng(3)
    a, b = rng.random(9), rng.random(9) + 0.15
    signs = np.array(list(product([1, -1], repeat=9)))
    every = np.abs(signs @ (a - b) / 9)
    exact = float((every >= abs((a - b).mean()) - 1e-12).mean())
    assert 0.02 < exact < 0.98
    assert paired_test(mean_stats(a), mean_stats(b)).p == pytest.approx(exact, abs=DRAWN_P)


def test_a_pair_of_runs_of_distinct_is_swapped_as_texts_are():
    """Against swapping the texts themselves, reading the corpora anew each time."""
    metric = build("distinct_2")
    rng = np.random.default_rng(5)
    a = [pair(r.text, id=str(i)) for i, (_, r) in enumerate(random_corpus(rng, 7))]
    b = [pair(e.reply or "", id=str(i)) for i, (e, _) in enumerate(random_corpus(rng, 7))]
    observed = metric.stats(a).value() - metric.stats(b).value()
    large = 0
    for kept in product([True, False], repeat=7):
        first = [x if k else y for x, y, k in zip(a, b, kept, strict=True)]
        second = [y if k else x for x, y, k in zip(a, b, kept, strict=True)]
        swapped = metric.stats(first).value() - metric.stats(second).value()
        large += abs(swapped) >= abs(observed) - 1e-12
    found = paired_test(metric.stats(a), metric.stats(b), rounds=4000)
    assert found.difference == pytest.approx(observed)
    assert found.p == pytest.approx(large / 2**7, abs=0.03)
