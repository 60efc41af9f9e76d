"""What every metric keeps to, whichever file of `emotone.metrics` it is in."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotone import metrics
from emotone.errors import EmotoneError, UnknownName, Unsupported
from emotone.metrics.instruments import Need
from emotone.metrics.significance import interval, paired_test, with_interval
from unit.metrics.doubles import build, corpora, facts, instruments, pair

NAMES = metrics.names()
#: Sums in another order differ in the last digits.
CLOSE = 1e-9
#: Metrics whose value is a sum over kinds of text, not a mean over replies.
OF_KINDS = {"distinct_1", "distinct_2", "distinct_1_char", "distinct_2_char"}
#: Metrics whose smoothing is of one n-gram, which is less among more.
SMOOTHED = {"bleu"}
#: Metrics that compare a reply with the others of the run.
OF_SAMPLE = {"self_bleu"}

CORPUS = [
    pair("the happy cat ran well", "a happy dog ran well ?", "joy", id="0"),
    pair("no sad dog ?", "the sad cat", "sadness", id="1"),
    pair("no sad dog ?", "you ran", "joy:40", id="1"),
    pair("the cat ran and ran and ran and ran", None, "anger", id="2"),
    pair("你好吗我很好你好吗", "我很好你呢", "sadness", id="3", lang="zh"),
    pair("angry ? ? you", "angry angry no", None, id="4"),
    pair("", "the cat", "joy", id="5"),
]
GROUPS = [example.id for example, _ in CORPUS]


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) <= CLOSE


def test_the_metrics_of_the_room_are_found():
    assert len(NAMES) > 35
    assert sorted(set(NAMES)) == NAMES
    assert {"distinct_2", "bleu", "emotion_accuracy", "emp_f1", "perplexity"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_named_as_it_is_called(name: str):
    assert build(name).name == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert build(name.replace("_", "-")).name == name


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_says_name_and_version_and_stays(name: str):
    signature = build(name).signature
    assert signature == build(name).signature
    assert signature.startswith(f"name:{name}|")
    assert re.search(r"\|v:\d+$", signature)
    assert all(re.fullmatch(r"[a-z]+:[^|:]+(@[^|:]+)?", part) for part in signature.split("|"))


@pytest.mark.parametrize("name", NAMES)
def test_no_reply_has_no_value(name: str):
    stats = build(name).stats([])
    assert len(stats) == 0
    assert math.isnan(stats.value())
    assert math.isnan(stats.value([]))
    assert np.isnan(interval(stats)).all()


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_value_where_there_is_something_to_measure(name: str):
    stats = build(name).stats(CORPUS)
    assert len(stats) == len(CORPUS)
    assert math.isfinite(stats.value())


@pytest.mark.parametrize("name", NAMES)
def test_no_weight_has_no_value_and_a_wrong_number_of_weights_is_refused(name: str):
    stats = build(name).stats(CORPUS)
    assert math.isnan(stats.value([0.0] * len(CORPUS)))
    for wrong in ([1.0], [1.0] * 99, [-1.0] * len(CORPUS), [math.nan] * len(CORPUS)):
        with pytest.raises(EmotoneError, match="weight"):
            stats.value(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_reading_gives_the_same_numbers(name: str):
    one, two = (build(name).stats(CORPUS) for _ in range(2))
    weights = [1, 0, 2, 0.5, 1, 3, 1]
    assert one.value() == two.value()
    assert one.value(weights) == two.value(weights)
    assert interval(one, groups=GROUPS, rounds=50) == interval(two, groups=GROUPS, rounds=50)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6)
@given(pairs=corpora(), seed=st.integers(0, 99))
def test_the_order_of_replies_changes_nothing(name: str, pairs, seed: int):
    order = np.random.default_rng(seed).permutation(len(pairs))
    metric = build(name)
    shuffled = metric.stats([pairs[i] for i in order])
    assert same(metric.stats(pairs).value(), shuffled.value())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6)
@given(pairs=corpora())
def test_weights_of_one_are_no_weights_and_two_of_all_change_no_mean(name: str, pairs):
    stats = build(name).stats(pairs)
    assert same(stats.value(), stats.value([1.0] * len(pairs)))
    doubled = stats.value([2.0] * len(pairs))
    if name not in SMOOTHED:
        assert same(stats.value(), 2 * doubled if name in OF_KINDS else doubled)


@pytest.mark.parametrize("name", sorted(set(NAMES) - OF_SAMPLE))
@settings(max_examples=6)
@given(a=corpora(), b=corpora())
def test_joining_statistics_is_reading_both_corpora(name: str, a, b):
    metric = build(name)
    first, second = metric.stats(a), metric.stats(b)
    joined = first.join(second)
    assert len(joined) == len(a) + len(b)
    assert same(joined.value(), metric.stats([*a, *b]).value())
    only_b = [0.0] * len(a) + [1.0] * len(b)
    assert same(joined.value(only_b), second.value())


@pytest.mark.parametrize("name", sorted(set(NAMES) - OF_KINDS - OF_SAMPLE))
@settings(max_examples=6)
@given(pairs=corpora(1, 6), weights=st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_a_whole_weight_is_that_many_replies(name: str, pairs, weights):
    used = weights[: len(pairs)]
    repeated = [p for p, times in zip(pairs, used, strict=True) for _ in range(times)]
    metric = build(name)
    assert same(metric.stats(pairs).value(used), metric.stats(repeated).value())


@pytest.mark.parametrize("name", NAMES)
def test_scores_and_paired_tests_are_made_from_it(name: str):
    metric = build(name)
    stats = metric.stats(CORPUS)
    made = with_interval(metric, stats, groups=GROUPS, rounds=100)
    assert made.name == name
    assert made.signature == metric.signature
    assert made.value == stats.value()
    assert 1 <= made.n <= len(CORPUS)
    assert math.isnan(made.low) or made.low <= made.high
    if name in OF_SAMPLE:  # a reply's score rests on its whole run
        with pytest.raises(Unsupported, match="cannot be compared"):
            paired_test(stats, stats, groups=GROUPS, rounds=100)
        return
    itself = paired_test(stats, metric.stats(CORPUS), groups=GROUPS, rounds=100)
    assert itself.difference == 0
    assert itself.p == 1
    assert itself.low == itself.high == 0


SPECS = metrics.specs()
NEEDS = [(name, need) for name in NAMES for need in SPECS[name].needs]


@pytest.mark.parametrize(("name", "need"), NEEDS)
def test_a_metric_without_what_it_needs_says_which(name: str, need: str):
    with pytest.raises(Unsupported, match=rf"^{name} needs .+, but none was given"):
        build(name, **{need: None})


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_works_with_what_it_declares_and_nothing_else(name: str):
    rest = {n: None for n in get_args(Need) if n not in SPECS[name].needs}
    assert len(build(name, **rest).stats(CORPUS)) == len(CORPUS)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_declared_with_all_that_a_reader_of_reports_and_docs_needs(name: str):
    spec = SPECS[name]
    assert spec.name == name
    assert spec.title
    assert spec.title != name
    assert [other for other in SPECS.values() if other.title == spec.title] == [spec]
    assert spec.measures
    assert spec.range or spec.share
    assert spec.display() == metrics.displays()[name]


def test_a_metric_that_uses_what_it_does_not_declare_is_told_so(monkeypatch):
    careless = dataclasses.replace(SPECS["emotion_accuracy"], needs=())
    monkeypatch.setitem(SPECS, "emotion_accuracy", careless)
    with pytest.raises(Unsupported, match="uses what it does not declare; name it in `needs`"):
        build("emotion_accuracy", emotion=None)
    with pytest.raises(UnknownName, match="need of metric emotion_accuracy 'emotions'; did you"):
        dataclasses.replace(careless, needs=("emotions",))


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownName, match="unknown metric 'distinkt_2'; did you mean 'distinct_2'"):
        build("distinkt_2")


OUTSIDE = """
from emotone.metrics.base import Measure, mean_stats

METRICS = {
    "marks": lambda instruments: Measure(
        "marks", "name:marks|v:1", lambda pairs: mean_stats([r.text.count("!") for _, r in pairs])
    )
}
"""
DECLARED = """
from emotone.metrics import Spec
from emotone.metrics.base import Measure, mean_stats


def shout(instruments, facts):
    return Measure("shout", "name:shout|v:1", lambda pairs: mean_stats([1.0 for _ in pairs]))


METRICS = (Spec(name="shout", make=shout, title="Loud replies", needs=("emotion",), better="down"),)
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch):
    folder = tmp_path / "metrics_outside"
    folder.mkdir()
    for name, text in {
        "": "",
        "marks": OUTSIDE,
        "shout": DECLARED,
        "other": "METRICS = {}",
    }.items():
        (folder / f"{name or '__init__'}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for module in [m for m in sys.modules if m.startswith("metrics_outside")]:
        del sys.modules[module]


@pytest.mark.usefixtures("outside")
def test_a_metric_from_outside_is_loaded_by_its_dotted_name():
    metric = metrics.build("metrics_outside.marks", instruments(), facts())
    assert metric.stats([pair("ha! ha!"), pair("no")]).value() == 1.0
    assert metrics.spec("metrics_outside.marks").title == "marks"
    with pytest.raises(UnknownName, match="its METRICS hold no 'other'"):
        metrics.build("metrics_outside.other")
    with pytest.raises(UnknownName, match="Importing it failed"):
        metrics.build("metrics_outside.none")


@pytest.mark.usefixtures("outside")
def test_a_metric_from_outside_may_be_declared_as_those_of_the_package_are():
    assert metrics.spec("metrics_outside.shout").title == "Loud replies"
    assert metrics.build("metrics_outside.shout", instruments()).name == "shout"
    with pytest.raises(Unsupported, match=r"^shout needs a judge of emotion, but none was given"):
        metrics.build("metrics_outside.shout")
