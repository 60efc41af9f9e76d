"""Levels of replies against levels of references."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emotone.errors import DataError
from emotone.metrics.empathy import context
from emotone.types import Dialogue, Post, Speaker
from unit.metrics.doubles import CountIdentifier, build, pair


def value(name: str, pairs, **changes) -> float:
    return build(name, **changes).stats(pairs).value()


def test_replies_like_their_references_are_right_on_every_mechanism():
    pairs = [pair("sad sad ?", "sad sad you ?"), pair("the", "cat"), pair("a a a a a a", "b " * 6)]
    for name in ("emp_f1", "emp_macro_f1", "emp_accuracy"):
        assert value(name, pairs) == 1.0


def test_a_reply_without_a_reference_does_not_count():
    judge = CountIdentifier()
    metric = build("emp_accuracy", empathy=judge)
    made = metric.stats([pair("sad", "sad"), pair("sad", None)])
    assert made.value() == 1.0
    assert made.n == 1  # type: ignore[attr-defined]
    assert judge.asked == [("how are you", "sad"), ("how are you", "sad")]
    assert math.isnan(metric.stats([pair("sad", None)]).value())


def test_the_context_is_every_post():
    posts = (Post("I lost it."), Post("Lost what?", Speaker.ASSISTANT), Post("My job."))
    assert context(Dialogue(posts)) == "I lost it. Lost what? My job."


def test_always_saying_the_commonest_level_is_the_floor():
    references = ["no"] * 8 + ["what ?"] * 2
    pairs = [pair("no", reference) for reference in references]
    for name in ("emp_f1", "emp_macro_f1", "emp_accuracy"):
        assert value(name, pairs) == pytest.approx(value(f"{name}_floor", pairs))
        assert value(f"{name}_reaction", pairs) == 1.0
    assert value("emp_accuracy_exploration", pairs) == pytest.approx(0.8)
    assert value("emp_f1_exploration", pairs) == pytest.approx(0.8 * 2 * 0.8 / 1.8)
    assert value("emp_macro_f1_exploration", pairs) == pytest.approx(0.8 / 1.8)


def test_the_floor_does_not_look_at_the_replies():
    references = ["no", "what ?", "sad", "no"]
    a = [pair("no", r) for r in references]
    b = [pair("sad ? ?", r) for r in references]
    assert value("emp_f1_floor", a) == value("emp_f1_floor", b)
    assert value("emp_f1", a) != value("emp_f1", b)


def test_an_identifier_that_leaves_texts_out_is_refused():
    class Lazy(CountIdentifier):
        def identify(self, pairs):
            return super().identify(pairs)[1:]

    with pytest.raises(DataError, match="gave 1 levels for 2 texts"):
        value("emp_f1", [pair("a", "b")], empathy=Lazy())


def test_an_identifier_without_a_name_is_named_by_its_class():
    class Nameless:
        def identify(self, pairs):
            return CountIdentifier().identify(pairs)

    signature = build("emp_f1", empathy=Nameless()).signature
    assert signature == "name:emp_f1|judge:Nameless|context:dialogue|against:reference|v:1"


def test_weights_choose_the_floor_anew():
    pairs = [pair("no", "no")] * 3 + [pair("no", "what ?")] * 2
    stats = build("emp_accuracy_floor").stats(pairs)
    # Exploration alone varies: the majority is 3 of 5, and 2 of 2 when only questions count.
    assert stats.value() == pytest.approx((1 + 1 + 0.6) / 3)
    assert stats.value([0, 0, 0, 1, 1]) == 1.0
    assert np.isnan(stats.value([0.0] * 5))
