"""The metrics of topic: own texts against those of all other posts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings

from emotone.metrics.base import Pair
from emotone.metrics.significance import interval, paired_test
from unit.metrics.doubles import build, corpora, embed, pair, random_corpus

CLOSE = 1e-9


def cosine(a: Pair, b: Pair) -> float:
    return float(embed([a[1].text])[0] @ embed([b[0].reply or ""])[0])


def mood(row: Pair) -> str:
    mix = row[1].emotion
    single = mix is not None and len(mix.parts) == 1 and mix.parts[0][1] > 0
    return mix.parts[0][0].label if single and mix is not None else ""


def by_loops(pairs: list[Pair]) -> float:
    """The definition, one reply after the other."""
    rows = [p for p in pairs if p[0].reply is not None]
    found: list[float] = []
    for row in rows:
        others = [cosine(row, r) for r in rows if mood(r) == mood(row) and r[0].id != row[0].id]
        if others:
            found.append(cosine(row, row) - sum(others) / len(others))
    return sum(found) / len(found) if found else math.nan


@settings(max_examples=30)
@given(pairs=corpora(2, 12))
def test_the_sums_are_the_definition(pairs):
    once = list({(mood(p), p[0].id): p for p in pairs}.values())
    found = build("topic_reference").stats(once).value()
    assert found == pytest.approx(by_loops(once), abs=CLOSE, nan_ok=True)


def test_weights_are_those_of_a_weighted_covariance():
    pairs = random_corpus(np.random.default_rng(2), 12)
    pairs = [(e, dataclasses.replace(r, emotion=None)) for e, r in pairs]
    weight = np.random.default_rng(3).integers(0, 4, 12)
    replies, texts = embed([r.text for _, r in pairs]), embed([e.reply or "" for e, _ in pairs])
    expected = sum(
        np.cov(replies[:, k], texts[:, k], aweights=weight)[0, 1] for k in range(replies.shape[1])
    )
    found = build("topic_reference").stats(pairs).value(list(weight))
    assert found == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("name", ["topic_reference", "topic_post"])
def test_one_reply_to_everything_is_at_chance_in_every_resample(name: str):
    posts = ["the cat ran", "you angry dog", "no sad cat well", "happy"]
    pairs = [
        pair("you ran well", post, mood, id=str(i), post=post)
        for i, post in enumerate(posts)
        for mood in ("joy", "anger")
    ]
    stats = build(name).stats(pairs)
    assert stats.value() == pytest.approx(0, abs=CLOSE)
    low, high = interval(stats, groups=[e.id for e, _ in pairs], rounds=200)
    assert (low, high) == pytest.approx((0, 0), abs=CLOSE)


def test_the_mood_of_the_reference_alone_is_no_topic():
    """Replies that only match the mood of their reference, and are asked for that mood."""
    moods = {"joy": ("happy happy", "the happy"), "sadness": ("sad sad", "no sad")}
    pairs = [
        pair(said, reference, mood, id=f"{mood}{i}")
        for mood, (said, reference) in moods.items()
        for i in range(3)
    ]
    assert build("topic_reference").stats(pairs).value() == pytest.approx(0, abs=CLOSE)
    unasked = [pair(r.text, e.reply, None, id=e.id) for e, r in pairs]
    assert build("topic_reference").stats(unasked).value() > 0.1


def test_replies_on_topic_are_told_from_those_of_other_posts():
    pairs = random_corpus(np.random.default_rng(0), 120)
    rows = build("topic_reference").stats(pairs)
    groups = [e.id for e, _ in pairs]
    assert interval(rows, groups=groups, rounds=300)[0] > 0
    turned = [(e, pairs[(i + 7) % 120][1]) for i, (e, _) in enumerate(pairs)]
    lost = build("topic_reference").stats(turned)
    low, high = interval(lost, groups=groups, rounds=300)
    assert low < 0 < high
    assert paired_test(rows, lost, groups=groups, rounds=200).p < 0.01


def test_intervals_cover_as_often_as_they_say():
    """Posts of known process; the right answer comes from a large sample."""
    rng = np.random.default_rng(5)
    metric = build("topic_reference")
    truth = metric.stats(random_corpus(rng, 4000)).value()
    hits = 0
    for _ in range(60):
        pairs = random_corpus(rng, 60)
        low, high = interval(metric.stats(pairs), rounds=200)
        hits += low <= truth <= high
    assert 50 <= hits <= 60  # 0.95 of 60 is 57; three standard errors are 5


def test_texts_of_one_post_are_never_others():
    pairs = [
        pair("the cat", "the cat", "joy", id="1"),
        pair("the cat", "the cat", "joy:50", id="1"),
    ]
    assert math.isnan(build("topic_reference").stats(pairs).value())
    more = [*pairs, pair("you", "you", "joy", id="2"), pair("dog", None, "joy", id="3")]
    stats = build("topic_reference").stats(more)
    far = float(embed(["the cat"])[0] @ embed(["you"])[0])
    assert stats.value() == pytest.approx(1 - far)
    assert stats.n == 3  # type: ignore[attr-defined]


def test_a_run_without_references_joins_one_with_some():
    metric = build("topic_reference")
    without = metric.stats([pair("you", None, "joy", id="9")])
    some = metric.stats([pair("the cat", "the cat", id="1"), pair("you", "you ran", id="2")])
    for joined in (without.join(some), some.join(without)):  # type: ignore[attr-defined]
        assert joined.value() == pytest.approx(some.value())
        assert len(joined) == 3
    assert math.isnan(without.join(without).value())  # type: ignore[attr-defined]
