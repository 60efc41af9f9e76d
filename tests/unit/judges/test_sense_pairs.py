"""Pairs that judges of sense learn from: how answers are made wrong, and who sees which."""

from __future__ import annotations

import random

import pytest
from recipes.judges import sense_pairs
from recipes.judges.sense_pairs import Answer, exchanged, made_wrong, shuffled

from emotone.data import everyday
from emotone.data.text import text_key


def test_who_does_what_is_exchanged():
    assert (
        exchanged("I'm sure you will like my cake.", "en") == "you're sure I will like your cake."
    )
    assert exchanged("It rains.", "en") is None
    assert exchanged("我想你", "zh") == "你想我"
    assert exchanged("下雨了", "zh") is None


def test_a_broken_order_keeps_the_words():
    text = "the quick brown fox jumps over the lazy dog"
    broken = shuffled(text, "en", random.Random(1))
    assert broken != text
    assert sorted(broken.split()) == sorted(text.split())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_kind_of_wrong_answer_is_made(lang: str):
    answers = list(sense_pairs.lines(lang, "held_out"))[:400]  # pyright: ignore[reportArgumentType]
    talks = [Answer(a.post, a.reply, ("And then?", "So what?"), a.source) for a in answers]
    generic = sense_pairs.GENERIC[lang]  # pyright: ignore[reportArgumentType]
    wrong = made_wrong(talks, lang, random.Random(0), generic)  # pyright: ignore[reportArgumentType]
    assert {pair.kind for pair in wrong} == set(sense_pairs.KINDS)
    true = {text_key(a.post + a.reply) for a in answers}
    assert not true & {text_key(p.post + p.reply) for p in wrong if p.kind == "echo"}
    assert all(p.content < 2 for p in wrong)
    assert len(wrong) > 0.95 * len(talks)


def test_parts_see_different_posts():
    seen = {
        part: {answer.post for answer in sense_pairs.lines("en", part)}
        for part in ("label", "score", "dev", "held_out")
    }
    assert not seen["held_out"] & (seen["label"] | seen["score"])
    assert not seen["label"] & seen["score"]


def test_rated_replies_are_of_the_split_of_their_part():
    rated = sense_pairs.rated("en", "score", 3.0)
    rows = everyday.ratings("en", splits=["train-b"])
    assert [(p.post, p.reply, p.content) for p in rated] == [
        (r.post, r.reply, r.content) for r in rows
    ]
    assert {p.weight for p in rated} == {3.0}
