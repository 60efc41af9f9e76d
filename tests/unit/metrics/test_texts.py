"""Metrics that read texts alone: variety, repetition, length, language."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.metrics import grams
from emotone.metrics.base import KindStats
from emotone.metrics.distinct import distinct_n
from emotone.metrics.instruments import simple_tokens
from emotone.metrics.language_drift import drifts
from emotone.metrics.repetition import CommonestStats
from emotone.metrics.self_bleu import sample, scores
from unit.metrics.doubles import build, corpora, pair

ROWS = st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=6)


def value(name: str, texts, lang: str = "en", **changes) -> float:
    pairs = [pair(text, id=str(i), lang=lang) for i, text in enumerate(texts)]
    return build(name, **changes).stats(pairs).value()


# -- tokens and n-grams ---------------------------------------------------------------------------


def test_simple_tokens_are_words_signs_and_single_han_characters():
    said = "Don't go, it's 3.5 km! 我很好ok"
    words = ["don't", "go", ",", "it's", "3", ".", "5", "km", "!", "我", "很", "好", "ok"]
    assert simple_tokens(said, "en", "word") == words
    assert simple_tokens("a b\n你", "zh", "character") == ["a", "b", "你"]


@given(ROWS, st.integers(1, 4))
def test_kinds_are_counted_as_by_a_set(rows, n: int):
    kinds = [tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)]
    assert distinct_n(rows, n) == (len(set(kinds)), len(kinds))


@given(ROWS, ROWS, st.integers(1, 3))
def test_joined_rows_are_rows_encoded_together(a, b, n: int):
    joined, whole = grams.join(grams.encode(a), grams.encode(b)), grams.encode([*a, *b])
    assert [joined.words[i] for i in joined.ids] == [whole.words[i] for i in whole.ids]
    assert joined.offsets.tolist() == whole.offsets.tolist()
    assert KindStats(joined, n).value() == pytest.approx(KindStats(whole, n).value(), nan_ok=True)


@given(ROWS, st.integers(1, 3))
def test_distinct_is_between_0_and_1(rows, n: int):
    found = KindStats(grams.encode(rows), n).value()
    assert math.isnan(found) or 0 < found <= 1


@given(st.lists(st.integers(-(2**62), 2**62), max_size=20))
def test_integers_are_numbered_by_rank(integers):
    packed = np.array(integers, np.int64)
    ranks, number = grams.numbered(packed)
    assert number == grams.number_of_kinds(packed) == len(set(integers))
    assert [sorted(set(integers))[r] for r in ranks] == integers


def test_half_a_surrogate_pair_is_a_token_too():
    assert distinct_n([["a", "\ud800"], ["\ud800"]], 1) == (2, 3)


# -- variety --------------------------------------------------------------------------------------


def test_distinct_counts_over_the_corpus_and_weights_repeat_no_kind():
    stats = build("distinct_2").stats([pair("a b c"), pair("a b"), pair("d")])
    assert stats.value() == pytest.approx(2 / 3)
    assert stats.value([1, 0, 1]) == 1.0
    assert stats.value([0, 1, 1]) == 1.0  # a kind only of what does not count is none
    assert stats.value([2, 0, 1]) == 0.5  # the reply counts twice, its kinds once
    assert len(stats) == 3
    assert stats.n == 2  # type: ignore[attr-defined]


def test_grams_do_not_reach_from_one_reply_into_the_next():
    assert value("distinct_2", ["a b", "b a"]) == 1.0
    assert math.isnan(value("distinct_2", ["a", "b"]))


def test_characters_are_counted_in_chinese_only():
    assert value("distinct_1_char", ["你好你好"], "zh") == 0.5
    assert math.isnan(value("distinct_1_char", ["abab"]))


def test_distinct_within_replies_is_a_mean_over_replies():
    assert value("reply_distinct_1", ["a a a a", "b"]) == pytest.approx((0.25 + 1) / 2)
    assert value("reply_distinct_2", ["a a a a", "b"]) == pytest.approx(1 / 3)


def test_the_segmenter_given_is_used_and_named():
    def whole(text, lang, unit):
        return [f"{lang}:{unit}:{text}"]

    metric = build("distinct_1", tokens=whole, tokens_name="whole")
    assert metric.stats([pair("a b"), pair("a b"), pair("a c")]).value() == pytest.approx(2 / 3)
    assert metric.signature == "name:distinct_1|tok:whole|unit:word|over:corpus|v:1"


def test_self_bleu_is_100_for_one_reply_given_always_and_low_for_strangers():
    assert value("self_bleu", ["the cat ran"] * 4) == pytest.approx(100)
    assert value("self_bleu", ["the cat ran", "no dog", "you"]) == 0.0
    assert math.isnan(value("self_bleu", ["alone"]))


def test_an_own_repeat_is_no_reference_of_its_own():
    # "a" occurs three times in the first, once in the second: one of three is matched.
    found = scores([["a", "a", "a"], ["a", "b", "c"]])
    assert found[0] == pytest.approx(100 * (1 / 3 * 1 / (2 * 2) * 1 / (4 * 1)) ** (1 / 3))


def test_two_systems_are_sampled_on_the_same_posts():
    runs = [[pair(f"{word} {i}", id=str(i)) for i in range(50)] for word in ("cat", "dog")]
    one, two = ({rows[i][0].id for i in sample(rows, 10)} for rows in runs)
    assert one == two


def test_the_sample_is_of_replies_and_not_of_places():
    pairs = [pair(f"word {i}", id=str(i)) for i in range(50)]
    drawn = {pairs[i][0].id for i in sample(pairs, 10)}
    back = pairs[::-1]
    assert {back[i][0].id for i in sample(back, 10)} == drawn
    assert {pairs[i][0].id for i in sample(pairs, 10, seed=1)} != drawn
    assert len(drawn) == 10


# -- collapse -------------------------------------------------------------------------------------


def test_repeated_grams_are_those_said_before_in_the_same_reply():
    assert value("repeated_4", ["a b c d a b c d"]) == pytest.approx(1 / 5)
    assert value("repeated_4", ["a b c d", "a b c d"]) == 0.0
    assert math.isnan(value("repeated_4", ["a b c"]))


def test_the_commonest_reply_is_found_after_blanks_are_left_off():
    assert value("commonest_share", ["yes", " yes\n", "no", "Yes"]) == 0.5
    assert CommonestStats(("a", "b")).value([1, 3]) == 0.75


# -- length ---------------------------------------------------------------------------------------


def test_signs_are_no_words_and_blanks_no_characters():
    assert value("length_words", ["Well, no!", "..."]) == 1.0
    assert value("length_characters", ["a b\n", "你 好 啊"]) == 2.5


# -- language -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("I am so sorry to hear that, it must be hard.", "en", False),
        ("Nice!", "en", False),
        ("Ça va très bien, merci beaucoup mon ami", "en", True),
        ("Das war wirklich nicht sehr nett gegen mich", "en", True),
        ("Lo siento mucho, eso suena muy difícil para ti", "en", True),
        ("我很高兴", "en", True),
        ("Мне очень жаль", "en", True),
        ("我很高兴 ok", "zh", False),
        ("我 am very sad today", "zh", True),
        ("こんにちは世界世界世界", "zh", True),
        ("?!... 42", "en", None),
        ("", "zh", None),
        ("naïve café", "en", False),
    ],
)
def test_the_language_is_told_by_script_and_small_words(text, lang, expected):
    assert drifts(text, lang) is expected


def test_drift_is_a_share_of_replies_with_letters():
    assert value("language_drift", ["well done", "你好", "!!!"]) == 0.5


@given(corpora())
def test_shares_are_between_0_and_1(pairs):
    for name in ("repeated_4", "commonest_share", "reply_distinct_1", "language_drift"):
        found = build(name).stats(pairs).value()
        assert math.isnan(found) or 0 <= found <= 1
