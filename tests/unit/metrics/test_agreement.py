"""Agreement against published examples, against statsmodels, and against the plain definition."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa

from emotone.evaluation import blind
from emotone.metrics.agreement import cohen, fleiss, krippendorff
from emotone.metrics.significance import interval

NAN = float("nan")

#: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers,
#: twelve units, values 1 to 5, "." missing. Printed there: nominal .743, ordinal .815, interval
#: .849.
KRIPPENDORFF = np.array(
    [
        [NAN if v == "." else float(v) for v in row.split()]
        for row in (
            "1 2 3 3 2 1 4 1 2 . . .",
            "1 2 3 3 2 2 4 1 2 5 . 3",
            ". 3 3 3 2 3 4 2 2 5 1 .",
            "1 2 3 3 2 4 4 1 2 5 1 .",
        )
    ]
).T
#: The same paper, sections A and B: two observers, binary and nominal data. Printed: .095, .692.
BINARY = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float).T
NOMINAL = np.array(
    [["abcde".index(c) for c in row] for row in ("aabbdcccedda", "babbbccceddd")], float
).T
#: Fleiss 1971, table 1: 30 patients, 6 psychiatrists, 5 diagnoses. Printed: kappa .430.
_DIAGNOSES = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444
224445 333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444
133333 555555
"""
FLEISS = np.array([[float(c) for c in row] for row in _DIAGNOSES.split()])


def test_fleiss_kappa_is_that_of_the_paper():
    stats = fleiss(FLEISS, (1, 2, 3, 4, 5))
    assert round(stats.value(), 3) == 0.430
    table, _ = aggregate_raters(FLEISS.astype(int))
    assert stats.value() == pytest.approx(fleiss_kappa(table), abs=1e-12)


@pytest.mark.parametrize(
    ("scale", "printed"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_that_of_the_paper(scale: str, printed: float):
    stats = krippendorff(KRIPPENDORFF, (1, 2, 3, 4, 5), scale)  # type: ignore[arg-type]
    assert round(stats.value(), 3) == printed
    assert stats.n == 11, "one unit has one value, which pairs with nothing"
    assert stats.value() == pytest.approx(float(by_definition(KRIPPENDORFF, scale)), abs=1e-9)


def test_alpha_of_two_observers_is_that_of_the_paper():
    assert round(krippendorff(BINARY, (0, 1), "nominal").value(), 3) == 0.095
    # 20 values, 14 of them 0 and 6 of them 1; 4 units disagree, each counted both ways.
    assert krippendorff(BINARY, (0, 1), "nominal").value() == pytest.approx(
        1 - (20 - 1) * 8 / (2 * 14 * 6), abs=1e-12
    )
    assert round(krippendorff(NOMINAL, range(5), "nominal").value(), 3) == 0.692


def by_definition(ratings: np.ndarray, scale: str) -> Fraction:
    """Alpha by sums over pairs of ratings, in exact numbers."""
    units = [[int(v) for v in row if v == v] for row in ratings]
    units = [row for row in units if len(row) >= 2]
    values = sorted({v for row in units for v in row})
    times = {v: sum(row.count(v) for row in units) for v in values}
    n = sum(times.values())

    def distance(a: int, b: int) -> Fraction:
        if scale == "nominal":
            return Fraction(a != b)
        if scale == "interval":
            return Fraction((a - b) ** 2)
        a, b = min(a, b), max(a, b)
        between = sum(times[v] for v in values if a <= v <= b)
        return (Fraction(between) - Fraction(times[a] + times[b], 2)) ** 2

    seen = sum(
        sum((distance(a, b) for a, b in permutations(row, 2)), Fraction(0)) / (len(row) - 1)
        for row in units
    )
    chance = sum(times[a] * times[b] * distance(a, b) for a in values for b in values)
    return 1 - (n - 1) * seen / chance


RATINGS = st.integers(2, 12).flatmap(
    lambda items: st.integers(2, 5).flatmap(
        lambda raters: st.lists(
            st.lists(st.sampled_from([0, 1, 2, None]), min_size=raters, max_size=raters),
            min_size=items,
            max_size=items,
        )
    )
)


@given(rows=RATINGS, scale=st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_is_what_the_definition_says(rows: list[list[int | None]], scale: str):
    ratings = np.array([[NAN if v is None else v for v in row] for row in rows], float)
    value = krippendorff(ratings, (0, 1, 2), scale).value()  # type: ignore[arg-type]
    paired = [row for row in rows if sum(v is not None for v in row) >= 2]
    if len({v for row in paired for v in row if v is not None}) < 2:
        assert np.isnan(value)
    else:
        assert value == pytest.approx(float(by_definition(ratings, scale)), abs=1e-9)


@given(seed=st.integers(0, 10**6), raters=st.integers(2, 6), k=st.integers(2, 5))
def test_kappas_are_those_of_statsmodels(seed: int, raters: int, k: int):
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, k, (40, 1))
    noise = draw.integers(0, k, (40, raters))
    ratings = np.where(draw.random((40, raters)) < 0.5, truth, noise).astype(float)
    table, _ = aggregate_raters(ratings.astype(int), n_cat=k)
    assert fleiss(ratings, range(k)).value() == pytest.approx(fleiss_kappa(table), abs=1e-9)
    two = ratings[:, :2].astype(int)
    crossed = np.zeros((k, k))
    np.add.at(crossed, (two[:, 0], two[:, 1]), 1)
    theirs = cohens_kappa(crossed, wt="quadratic", return_results=False)
    ours = cohen(ratings[:, :2], range(k)).value()
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert ours == pytest.approx(blind.cohen_kappa(two[:, 0], two[:, 1], list(range(k))), abs=1e-9)


def test_of_several_raters_the_pairs_count_by_their_common_items():
    ratings = np.array([[0, 0, NAN], [1, 1, NAN], [1, NAN, 0], [0, NAN, 0], [1, NAN, 1], [0, 1, 1]])
    pairs = [(0, 1), (0, 2), (1, 2)]
    values, sizes = [], []
    for a, b in pairs:
        both = ratings[~np.isnan(ratings[:, [a, b]]).any(1)][:, [a, b]].astype(int)
        value = blind.cohen_kappa(both[:, 0], both[:, 1], [0, 1])
        if value == value:
            values.append(value)
            sizes.append(len(both))
    assert cohen(ratings, (0, 1)).value() == pytest.approx(np.average(values, weights=sizes))


@pytest.mark.parametrize("measure", [fleiss, cohen, lambda r, v: krippendorff(r, v, "ordinal")])
def test_one_value_throughout_has_no_agreement(measure):
    assert np.isnan(measure(np.ones((5, 3)), (0, 1)).value())
    assert measure(np.array([[0, 0], [1, 1], [2, 2.0]]), (0, 1, 2)).value() == pytest.approx(1)


def test_intervals_of_alpha_cover():
    """Items from an endless supply whose alpha is known from a large sample."""

    def sample(items: int, seed: int) -> np.ndarray:
        draw = np.random.default_rng(seed)
        truth = draw.integers(0, 3, (items, 1))
        right = draw.random((items, 3)) < 0.6
        return np.where(right, truth, draw.integers(0, 3, (items, 3))).astype(float)

    known = krippendorff(sample(200_000, 10**6), (0, 1, 2), "ordinal").value()
    covered = 0
    for seed in range(100):
        stats = krippendorff(sample(80, seed), (0, 1, 2), "ordinal")
        low, high = interval(stats, rounds=300, seed=seed)
        covered += low <= known <= high
    assert covered >= 90, "95 are meant; fewer than 90 of 100 come by chance once in 90 times"
