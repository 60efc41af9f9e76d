"""Charts of extreme numbers: drawn inside their frame or left out, and never a NaN in the SVG."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recipes.emprl.curves import drawing

from emotone.errors import DataError
from emotone.evaluation.scores import (
    Confusion,
    DosePoint,
    Histogram,
    Number,
    read_scores,
    write_scores,
)
from emotone.report import svg
from emotone.report.names import shown
from emotone.report.write import write_report
from unit.evaluation.hearing import run
from unit.report.test_report import Reader, folder

TINY = 5e-324  # the smallest float above 0
HUGE = sys.float_info.max
EXTREME = (
    0.0, -0.0, TINY, -TINY, 1e-310, sys.float_info.min, 1e-300, 1e-12, 0.5, 1.0, -1.0, 1e6, 1e22,
    1e300, HUGE, -HUGE, math.inf, -math.inf, math.nan,
)  # fmt: skip

extreme = st.one_of(st.sampled_from(EXTREME), st.floats())
maybe = st.one_of(st.none(), extreme)
numbers = st.builds(Number, maybe, maybe, maybe)


def places(drawn: str) -> list[float]:
    """Every number of an attribute that says where something is, or how large."""
    read = Reader(drawn)
    found: list[float] = []
    for _, attributes in read.tags:
        for name, value in attributes.items():
            if name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "points"):
                found += map(float, re.split(r"[ ,]", value)) if value else []
    return found


def check_inside(drawn: str, width: float, height: float) -> None:
    """Check that everything that is drawn lies in the frame, and has a size of 0 or more."""
    assert places(drawn), "nothing is drawn"
    assert all(math.isfinite(place) for place in places(drawn))
    for tag, attributes in Reader(drawn).tags:
        if tag != "rect":
            continue
        x, y, w, h = (float(attributes[k] or "") for k in ("x", "y", "width", "height"))
        assert w >= 0
        assert h >= 0
        assert -0.05 <= x <= x + w <= width + 0.85
        assert -0.05 <= y <= y + h <= height + 0.05
    for name in ("x", "x1", "x2", "cx"):
        for x in re.findall(rf' {name}="([^"]*)"', drawn):
            assert -0.05 <= float(x) <= width + 0.05
    for name in ("y", "y1", "y2", "cy"):
        for y in re.findall(rf' {name}="([^"]*)"', drawn):
            assert -0.05 <= float(y) <= height + 0.05
    for points in re.findall(r'<poly[^>]* points="([^"]*)"', drawn):
        for pair in points.split():
            x, y = map(float, pair.split(","))
            assert -4.5 <= x <= width + 4.5
            assert -4.5 <= y <= height + 4.5


def height_of(drawn: str) -> float:
    return float(re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', drawn)[0])


# -- bars -------------------------------------------------------------------------------------


@given(st.lists(st.lists(numbers, min_size=1, max_size=3), min_size=1, max_size=3), st.booleans())
@example([[Number(TINY)]], False)
@example([[Number(HUGE), Number(-HUGE)]], False)
@example([[Number(math.nan, math.nan, math.nan)]], True)
@example([[Number(-5.0, -6.0, -4.0)]], False)
def test_bars_of_any_numbers_stay_inside(groups: list[list[Number]], share: bool):
    rows = [(f"label {i}", list(enumerate(row))) for i, row in enumerate(groups)]
    drawn = svg.bars("b", "bars", rows, digits=2, share=share)
    check_inside(drawn, svg.WIDTH, height_of(drawn))


@pytest.mark.parametrize("value", EXTREME)
@pytest.mark.parametrize("share", [True, False])
def test_a_bar_for_each_finite_value(value: float, share: bool):
    drawn = svg.bars("b", "bars", [("one", [(0, Number(value))])], digits=2, share=share)
    check_inside(drawn, svg.WIDTH, height_of(drawn))
    assert drawn.count("<rect") == math.isfinite(value)
    assert len(re.findall(r'class="axis mid"', drawn)) <= 12


def test_bars_of_nothing_are_an_empty_frame():
    for groups in ([], [("none", [])], [("none", [(0, None), (1, Number(None))])]):
        assert "<rect" not in svg.bars("b", "bars", groups, digits=2, share=True)


@pytest.mark.parametrize("unit", [1e-290, 1e-12, 1e-3, 1.0, 1e9, 1e200])
def test_bars_are_the_same_picture_in_any_unit(unit: float):
    row = [(i, Number(i * unit, (i - 0.5) * unit, (i + 0.5) * unit)) for i in (1, 2, 4)]
    drawn = svg.bars("b", "bars", [("one", row)], digits=2, share=False)
    reference = [(i, Number(float(i), i - 0.5, i + 0.5)) for i in (1, 2, 4)]
    plain = svg.bars("b", "bars", [("one", reference)], digits=2, share=False)
    assert places(drawn) == pytest.approx(places(plain), abs=0.02)


finite = st.one_of(st.sampled_from(EXTREME).filter(math.isfinite), st.floats(allow_nan=False))


@given(st.tuples(finite, finite))
@example((0.0, TINY))
@example((-HUGE, HUGE))
@example((1.0, math.nextafter(1.0, 2.0)))
@example((1e300, 1e300))
def test_ticks_rise_are_few_and_cover_their_span(ends: tuple[float, float]):
    low, high = sorted(svg._bounded(value) for value in ends)
    ticks = svg._ticks(low, high)
    assert 1 <= len(ticks) <= 12
    assert all(map(math.isfinite, ticks))
    assert ticks == sorted(set(ticks))


def test_a_value_too_long_to_write_out_has_an_exponent():
    assert shown(1e308, 3) == "1e+308"
    assert shown(-1.5e20, 1) == "-1.5e+20"
    assert shown(123456789.0, 1) == "123456789.0"


# -- curves -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(extreme, numbers), max_size=5))
@example([(HUGE, Number(0.5)), (-HUGE, Number(0.5))])
@example([(1e9, Number(0.5))])
@example([(50.0, Number(math.nan, math.nan, math.nan))])
@example([(50.0, Number(0.5, -math.inf, math.inf)), (60.0, Number(0.5, -math.inf, math.inf))])
def test_curves_of_any_numbers_stay_inside(points: list[tuple[float, Number]]):
    row = [DosePoint(x, n, n) for x, n in points]
    drawn = svg.curves("c", "curve", [(0, row), (1, row), (2, row)])
    check_inside(drawn, svg.WIDTH, height_of(drawn))
    assert len(re.findall(r'class="axis mid"', drawn)) <= 30


def test_a_point_that_is_no_share_is_left_out():
    row = [
        DosePoint(x, Number(v), Number(v)) for x, v in ((0.0, 0.2), (50.0, math.nan), (99.0, 7.0))
    ]
    drawn = svg.curves("c", "curve", [(0, row)])
    assert drawn.count("<circle") == 1


# -- histograms -------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**30), max_size=5), extreme)
@example([], 1.0)
@example([1], 0.0)
@example([1], TINY)
@example([0, 0], math.nan)
def test_histograms_of_any_counts_stay_inside(counts: list[int], top: float):
    edges = (*range(len(counts)), HUGE)
    drawn = svg.histogram("h", "h", Histogram("words", edges, tuple(counts)), 0, top_share=top)
    check_inside(drawn, svg.WIDTH, height_of(drawn))
    assert drawn.count("<rect") == len(counts)


def test_negative_counts_are_refused():
    with pytest.raises(DataError, match=r'"counts" of a histogram holds -1; a count is 0 or more'):
        Histogram("words", (0, 1), (-1,))
    with pytest.raises(DataError, match=r'"counts" of "confusion" holds -2'):
        Confusion("judge", ("joy",), ("joy",), ((-2,),))


# -- the page, and files that somebody else wrote ---------------------------------------------


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "5e-324", "1e308", "-1e308", "0"]
)
def test_a_report_of_extreme_scores_is_written(tmp_path: Path, value: str):
    place = folder(tmp_path / "run", run())
    row = json.loads((place / "scores.json").read_text())
    number = {"value": "@", "low": "@", "high": "@", "n": 1, "signature": ""}
    for part in row["per_emotion"].values():
        part |= dict.fromkeys(part, number)
    row["metrics"] = dict.fromkeys(row["metrics"], number)
    row["dose"]["joy"] = [{"intensity": x, "share": number, "probability": number} for x in (0, 9)]
    row["distributions"]["length"] = {"unit": "words", "edges": [0], "counts": []}
    (place / "scores.json").write_text(json.dumps(row).replace('"@"', value))
    page = write_report([place], tmp_path / "report")[0].read_text(encoding="utf-8")
    for chart in re.findall(r"<svg.*?</svg>", page):
        assert all(map(math.isfinite, places(chart)))


def test_a_number_of_four_hundred_digits_is_refused_in_a_sentence(tmp_path: Path):
    place = folder(tmp_path / "run", run())
    row = json.loads((place / "scores.json").read_text())
    for key in ("edges", "counts"):
        changed = json.loads(json.dumps(row))
        changed["distributions"]["length"][key][0] = 10**400
        (place / "scores.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match="make it again with `emotone score`"):
            write_scores(read_scores(place / "scores.json"), place / "again.json")
    row["metrics"]["bleu"]["value"] = 10**400
    (place / "scores.json").write_text(json.dumps(row))
    with pytest.raises(DataError, match="make it again with `emotone score`"):
        read_scores(place / "scores.json")


# -- learning curves --------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 10**6), extreme), min_size=1, max_size=5))
@example([(0, HUGE), (1, -HUGE)])
@example([(0, 0.0), (1, TINY)])
@example([(0, 1e300)])
@example([(0, math.nan)])
def test_learning_curves_of_any_numbers_stay_inside(points: list[tuple[int, float]]):
    rows = [list(point) for point in points]
    evaluations = [{"step": step, "dev_reward": value} for step, value in points]
    drawn = drawing({"steps": {"reward": rows}, "evaluations": evaluations}, "title", best=3)
    if any(math.isfinite(value) for _, value in points):
        check_inside(drawn, 700, 600)
    else:
        assert "<polyline" not in drawn
    assert not re.search(r'="[^"]*(nan|inf)', drawn)
