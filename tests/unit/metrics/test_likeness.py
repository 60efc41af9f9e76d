"""Likeness to references, posts and plain replies; likelihood under a model."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotone.errors import DataError
from emotone.metrics.greedy_match import match
from emotone.types import Dialogue, Post, Speaker
from unit.metrics.doubles import build, corpora, embed, pair, texts

CLOSE = 1e-9


def value(name: str, pairs, **changes) -> float:
    return build(name, **changes).stats(pairs).value()


# -- references -----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.lists(texts(4, 9), min_size=1, max_size=5))
def test_a_text_is_like_itself(found):
    pairs = [pair(text, text) for text in found]
    for name, most in (("bleu", 100), ("chrf", 100), ("rouge_l", 1), ("similarity_reference", 1)):
        # ROUGE splits as it does: a text of signs alone has no token.
        if name != "rouge_l" or all(any(c.isalpha() for c in t) for t in found):
            assert value(name, pairs) == pytest.approx(most)
    assert value("greedy_match", pairs) == pytest.approx(1)


@settings(max_examples=25)
@given(corpora())
def test_likeness_is_in_its_range(pairs):
    for name, most in (("bleu", 100), ("chrf", 100), ("rouge_l", 1), ("greedy_match", 1)):
        found = value(name, pairs)
        assert math.isnan(found) or 0 <= found <= most + CLOSE
    found = value("similarity_post", pairs)
    assert math.isnan(found) or -1 - CLOSE <= found <= 1 + CLOSE


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge_l", "similarity_reference"])
def test_replies_without_a_reference_do_not_count(name: str):
    with_one = [pair("the cat ran well", "the cat ran no")]
    stats = build(name).stats([*with_one, pair("dog", None)])
    assert stats.value() == pytest.approx(value(name, with_one))
    assert stats.n == 1  # type: ignore[attr-defined]
    assert math.isnan(value(name, [pair("dog", None)]))


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge_l", "greedy_match"])
def test_an_empty_reply_is_like_nothing(name: str):
    assert value(name, [pair("", "the cat ran well")]) == 0.0


def test_short_replies_alone_have_no_bleu():
    assert value("bleu", [pair("the cat", "the cat")]) == 0.0


def test_chinese_is_split_by_character_for_bleu():
    spaced = value("bleu", [pair("我 很 高 兴 啊", "我 很 高 兴 呢")])
    assert value("bleu", [pair("我很高兴啊", "我很高兴呢", lang="zh")]) == pytest.approx(spaced)
    assert spaced > 0
    assert value("bleu", [pair("我很高兴啊", "我很高兴呢")]) == 0.0  # one token, and another


def test_greedy_match_by_hand():
    reply = np.array([[1.0, 0.0], [3.0, 0.0]])
    reference = np.array([[1.0, 0.0], [0.0, 2.0]])
    # Both reply tokens find the first; the second reference token finds nothing.
    assert match(reply, reference) == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert match(reply, reference[:0]) == 0.0


def test_an_encoder_of_tokens_that_leaves_texts_out_is_refused():
    with pytest.raises(DataError, match="one array for each of 1 texts"):
        value("greedy_match", [pair("a", "b")], embed_tokens=lambda texts: [])


# -- post and plain reply -------------------------------------------------------------------------


def test_the_post_is_the_last_one():
    example, reply = pair("the cat")
    posts = (Post("you ran"), Post("no", Speaker.ASSISTANT), Post("cat the"))
    longer = replace(example, dialogue=Dialogue(posts))
    assert value("similarity_post", [(longer, reply)]) == pytest.approx(1)


def test_topic_adherence_compares_with_the_plain_reply_of_the_same_post():
    pairs = [
        pair("the cat ran", None, "joy", id="7"),
        pair("you", None, "joy", id="8"),
        pair("the cat ran", None, None, id="7"),  # the plain reply itself
        pair("the cat ran", None, "joy", id="unknown"),
    ]
    plain = {"7": {5: "you", 0: "ran the cat"}, "8": {9: "you", 4: "cat ran the"}}
    metric = build("similarity_neutral", plain=plain)
    stats = metric.stats(pairs)
    far = float(embed(["you"])[0] @ embed(["the cat ran"])[0])
    assert stats.value() == pytest.approx((1 + far) / 2)
    assert stats.n == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [lambda t: np.ones((len(t), 3)), lambda t: np.ones((1, 1))])
def test_vectors_that_are_no_unit_vectors_are_refused(wrong):
    with pytest.raises(DataError, match="give unit vectors"):
        value("similarity_post", [pair("a"), pair("b")], embed=wrong)


# -- likelihood -----------------------------------------------------------------------------------

ROWS = np.array([[6.0, 2.0, 10.0], [30.0, 6.0, 20.0], [np.nan, np.nan, np.nan]])


def likelihood(pairs):
    return ROWS[: len(pairs)]


def test_perplexities_by_hand():
    pairs = [pair("a"), pair("b"), pair("")]
    assert value("perplexity", pairs, perplexity=likelihood) == pytest.approx(math.exp(36 / 8))
    ecm = value("ecm_perplexity", pairs, perplexity=likelihood)
    assert ecm == pytest.approx(math.exp((3 + 5) / 2))
    bits = value("bits_per_character", pairs, perplexity=likelihood)
    assert bits == pytest.approx(36 / math.log(2) / 30)


def test_a_model_that_finds_a_text_impossible_has_no_finite_perplexity():
    huge = value("perplexity", [pair("a")], perplexity=lambda pairs: np.array([[1e6, 1.0, 1.0]]))
    assert huge == math.inf


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (np.zeros((2, 2)), "have shape"),
        (np.array([[-1.0, 1, 1], [1, 1, 1]]), "negative or infinite"),
        (np.array([[np.inf, 1, 1], [1, 1, 1]]), "negative or infinite"),
    ],
)
def test_likelihoods_of_another_shape_are_refused(wrong, match: str):
    with pytest.raises(DataError, match=match):
        value("perplexity", [pair("a"), pair("b")], perplexity=lambda pairs: wrong)


def test_the_signature_names_what_was_scored():
    assert build("perplexity").signature == ("name:perplexity|model:replies@letters|v:1")
