"""Sense of replies, to a judge that reads post and reply."""

from __future__ import annotations

import pytest

from emotone.errors import Unsupported
from emotone.evaluation.remember import remember_sense
from emotone.metrics import build as build_plain
from unit.metrics.doubles import ShareReader, build, pair

ROWS = [
    pair("my bus is late", post="my bus is late", id="1"),
    pair("my tea is warm", post="my bus is late", id="2"),
    pair("hooray", post="my bus is late", id="3"),
]


def test_sense_is_a_mean_and_a_share_above_the_median_of_people():
    assert build("sense").stats(ROWS).value() == pytest.approx((1 + 0.5 + 0) / 3)
    assert build("sensible_share").stats(ROWS).value() == pytest.approx(2 / 3)
    assert "judge:shares-1" in build("sense").signature
    assert "median:0.5" in build("sensible_share").signature
    assert build("sense").stats([]).value() != build("sense").stats([]).value()


def test_it_is_not_measured_without_a_judge():
    with pytest.raises(Unsupported, match="a judge of sense"):
        build_plain("sense")


def test_a_pair_is_judged_once(tmp_path):
    class Counting(ShareReader):
        asked = 0

        def content(self, pairs):
            self.asked += len(pairs)
            return super().content(pairs)

    first = Counting()
    judge = remember_sense(first, tmp_path)
    pairs = [("a b", "a b"), ("a b", "b c"), ("a b", "a b")]
    rows = judge.content(pairs)
    assert first.asked == 2
    assert rows[0] == rows[2] == [0.0, 0.0, 1.0]
    again = Counting()
    assert remember_sense(again, tmp_path).content(pairs) == rows
    assert again.asked == 0
    assert judge.human_median == 0.5
