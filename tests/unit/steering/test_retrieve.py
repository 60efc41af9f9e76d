"""Replies by hand among the candidates of a steered model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from emotone.data.everyday.nearest import learned_posts
from emotone.emotions import EVERYDAY, EmotionMix
from emotone.lm.chat import FRIENDS, prompt_ids
from emotone.lm.likelihood import continued_nats, reply_nats
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.choose import choose
from emotone.steering.retrieve import FEATURES, Retrieved, Retriever, log_shares, sure, wanted
from emotone.steering.tiny import tiny_vectors
from emotone.systems.steered import Config, Steered
from emotone.types import Decoding, Dialogue, Post, Speaker

#: Weights by which a post that stands in everyday has content 2, and one unlike all has none.
ALIKE = {"bias": -1.0, "similarity": 3.0, **dict.fromkeys(FEATURES[1:], 0.0)}
LINE = next(own for own in learned_posts("en").lines if own.kind == "plain")
#: The tiny model has a token a byte.
LONG = Decoding(max_tokens=200)
JOY = EmotionMix.of({"joy": 100.0}, EVERYDAY)


@pytest.fixture(scope="module")
def lm():
    return tiny_causal_lm()


def system(lm, weights=ALIKE, **settings):
    vectors = tiny_vectors(lm.model)
    hears = vectors.listener
    sense = replace(hears, labels=("0", "1", "2"), weight=hears.weight[:3], bias=hears.bias[:3])
    vectors = replace(vectors, sense=sense)
    card = replace(vectors.card, system_prompt=FRIENDS["en"], retrieval=weights)
    return Steered(lm, replace(vectors, card=card), replace(Config(candidates=2), **settings))


def answer(responder, post=LINE.post, emotion=JOY, **decoding):
    return responder.reply([Dialogue.of(post)], [emotion], decoding=replace(LONG, **decoding))[0]


def test_replies_that_share_a_prompt_have_the_likelihood_of_each_alone(lm):
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("It rains."), "S")
    replies = ["Oh no!", "Take an umbrella with you.", "x"]
    together = continued_nats(lm.model, lm.tokenizer, prompt, replies)
    alone = reply_nats(lm.model, lm.tokenizer, [(prompt, reply) for reply in replies])
    assert [n for _, n in together] == [n for _, n in alone]
    torch.testing.assert_close([x for x, _ in together], [x for x, _ in alone])
    assert continued_nats(lm.model, lm.tokenizer, prompt, []) == []


def test_a_post_that_was_answered_by_hand_is_answered_so(lm):
    reply = answer(system(lm))
    assert reply.text == LINE.replies["joy"]
    assert reply.applied["retrieved"] == f"{LINE.id}/joy"
    assert (reply.logprob, reply.finish_reason) == (None, "stop")
    assert (reply.applied["dose"], reply.applied["tier"]) == ({}, "none")
    assert answer(system(lm), emotion=None).text == LINE.replies["neutral"]


@pytest.mark.parametrize(
    "settings",
    [{"retrieve": 0}, {"candidates": 1}, {"system": "You are a pirate."}, {"told": True}],
)
def test_where_no_reply_by_hand_is_wanted_there_is_none(lm, settings):
    assert "retrieved" not in answer(system(lm, **settings)).applied


def test_vectors_that_nobody_rated_such_replies_for_retrieve_none(lm):
    assert "retrieved" not in answer(system(lm, weights={})).applied


def test_a_reply_by_hand_is_as_long_as_was_asked(lm):
    assert "retrieved" not in answer(system(lm), max_tokens=3).applied


def test_nothing_that_was_said_is_said_again(lm):
    said = (Post(LINE.post), Post(LINE.replies["joy"], Speaker.ASSISTANT), Post(LINE.post))
    reply = system(lm).reply([Dialogue(said)], [JOY], decoding=LONG)[0]
    assert reply.text != LINE.replies["joy"]
    both = f"{LINE.replies['joy']} {LINE.replies['anger']}"
    talk = Dialogue((said[0], Post(both, Speaker.ASSISTANT), said[2]))
    for labels in (["joy", "anger"], ["joy"], ["anger"]):
        lines = [r.line for r in Retriever(lm, FRIENDS["en"], ALIKE).replies(talk, labels, 3)]
        assert lines
        assert not any(line.startswith(f"{LINE.id}/") for line in lines)


def test_a_word_within_a_conversation_is_left_to_the_model(lm):
    turns = (Post("I sold my car."), Post("Did you?", Speaker.ASSISTANT))
    short = next(own for own in learned_posts("en").lines if len(own.post.split()) == 2)
    whole = next(own for own in learned_posts("en").lines if len(own.post.split()) == 8)
    for own, found in ((short, False), (whole, True)):
        dialogue = Dialogue((*turns, Post(own.post)))
        assert bool(Retriever(lm, FRIENDS["en"], ALIKE).replies(dialogue, ["joy"], 3)) == found
        assert "retrieved" in answer(system(lm), own.post).applied
        # What was said before is not compared: the model's own candidates stand beside.
        assert len(system(lm).task(dialogue, JOY, decoding=LONG).seeds) == 2


def test_what_is_long_to_read_is_left_to_the_model(lm):
    retriever = Retriever(lm, FRIENDS["en"], ALIKE)
    assert retriever.replies(Dialogue.of(f"{LINE.post} " * 20), ["joy"], 3) == []
    turns = (Post("word " * 300), Post("Did you?", Speaker.ASSISTANT), Post(LINE.post))
    assert retriever.replies(Dialogue(turns), ["joy"], 3) == []


def test_a_conversation_that_speaks_of_self_harm_is_left_to_the_model(lm):
    retriever = Retriever(lm, FRIENDS["en"], ALIKE)
    turns = (Post("I want to die."), Post("I am here.", Speaker.ASSISTANT), Post(LINE.post))
    assert retriever.replies(Dialogue(turns), ["sadness"], 3) == []
    assert retriever.replies(Dialogue.of("I want to kill myself."), ["sadness"], 3) == []


def test_only_what_surely_fits_goes_before_the_model(lm):
    weak = ALIKE | {"bias": -2.0, "similarity": 2.95}  # .95 for the post itself, less for others
    responder = system(lm, weights=weak)
    texts = {answer(responder, seed=seed).text for seed in range(8)}
    assert texts == {LINE.replies["joy"]}


def test_reply_task_and_stream_give_the_same(lm):
    responder, dialogue = system(lm), Dialogue.of(LINE.post)
    for streaming in (False, True):
        task = responder.task(dialogue, JOY, decoding=LONG, streaming=streaming)
        assert list(task.seeds) == []
        assert task.finish([]).text == LINE.replies["joy"]
    assert "".join(responder.stream(dialogue, JOY, decoding=LONG)) == LINE.replies["joy"]
    task = responder.task(dialogue, JOY, decoding=LONG, own_words=True)
    assert len(task.seeds) == 2


def test_in_a_batch_rows_are_those_that_they_are_alone(lm):
    responder = system(lm)
    posts = [LINE.post, "Zxqv wkjp.", LINE.post]
    rows = responder.reply(
        [Dialogue.of(p) for p in posts], [JOY] * 3, decoding=replace(LONG, seed=5)
    )
    assert ["retrieved" in row.applied for row in rows] == [True, False, True]
    for i, (post, row) in enumerate(zip(posts, rows, strict=True)):
        assert answer(responder, post, seed=5 + i).text == row.text


def test_the_share_of_seeds_with_the_emotion_rises_with_intensity():
    shares = []
    for intensity in (0.0, 25.0, 50.0, 75.0, 100.0):
        mix = EmotionMix.of({"joy": intensity}, EVERYDAY)
        labels = [wanted(mix, "A post.", seed) for seed in range(500)]
        posts = [wanted(mix, f"Post {n}.", 0) for n in range(500)]
        assert posts.count(("joy",)) == pytest.approx(labels.count(("joy",)), abs=40)
        assert set(labels) <= {("joy",), ("neutral",)}
        shares.append(labels.count(("joy",)) / 500)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares[2] == pytest.approx(0.625, abs=0.05)


def test_of_two_emotions_the_weaker_comes_as_often_as_it_is_strong():
    def shares(**intensities):
        mix = EmotionMix.of(intensities, EVERYDAY)
        labels = [wanted(mix, "A post.", seed) for seed in range(1000)]
        return {each: labels.count(each) / 1000 for each in set(labels)}

    assert shares(joy=50.0, fear=50.0) == {("fear", "joy"): 1.0}
    uneven = shares(joy=20.0, fear=80.0)
    assert uneven == pytest.approx({("fear",): 0.75, ("fear", "joy"): 0.25}, abs=0.05)
    faint = shares(joy=20.0, fear=20.0)
    assert faint == pytest.approx({("neutral",): 0.5, ("fear", "joy"): 0.5}, abs=0.05)


def test_more_than_two_emotions_or_less_of_one_is_nobody_s():
    three = EmotionMix.of({"joy": 60.0, "fear": 20.0, "love": 20.0}, EVERYDAY)
    assert wanted(three, "Hi.", 0) == ()
    assert wanted(EmotionMix.of({"joy": -60.0}, EVERYDAY), "Hi.", 0) == ()
    assert wanted(EmotionMix.of({"joy": -60.0, "fear": 60.0}, EVERYDAY), "Hi.", 0) == ()
    assert wanted(None, "Hi.", 0) == ("neutral",)
    calm = EmotionMix.of({"joy": 90.0, "neutral": 50.0}, EVERYDAY)
    assert wanted(calm, "Hi.", 0) == ("joy",)


def test_a_mix_is_answered_in_one_emotion_after_the_other(lm):
    mix = EmotionMix.of({"joy": 60.0, "anger": 60.0}, EVERYDAY)
    reply = answer(system(lm), emotion=mix)
    first, second = wanted(mix, LINE.post, 0)
    assert reply.text == f"{LINE.replies[first]} {LINE.replies[second]}"
    assert reply.applied["retrieved"] == f"{LINE.id}/{first}+{second}"


def test_two_replies_are_worth_what_the_worse_one_is(lm):
    weights = {"bias": 1.0, **dict.fromkeys(FEATURES, 0.0), "logprob": 0.1}
    retriever = Retriever(lm, FRIENDS["en"], weights)
    dialogue = Dialogue.of(LINE.post)
    (joy,) = retriever.replies(dialogue, ["joy"], 1)
    (anger,) = retriever.replies(dialogue, ["anger"], 1)
    (both,) = retriever.replies(dialogue, ["joy", "anger"], 1)
    assert abs(joy.content - anger.content) > 1e-4  # within its bounds, so that it matters which
    assert both.content == min(joy.content, anger.content)
    assert both.tokens == joy.tokens + anger.tokens


def test_content_is_linear_in_named_features_and_bounded(lm):
    flat = {"bias": 5.0, **dict.fromkeys(FEATURES, 0.0)}
    for weights, content in (
        (flat, 2.0),
        (flat | {"bias": -5.0}, 0.02),
        (flat | {"bias": 0.5}, 0.5),
    ):
        retriever = Retriever(lm, FRIENDS["en"], weights)
        replies = retriever.replies(Dialogue.of(LINE.post), ["joy"], 3)
        assert [reply.content for reply in replies] == [content] * 3
        assert len(sure(replies)) == (3 if content == 2.0 else 0)


def test_the_likelihood_is_that_of_the_reply_after_the_post(lm):
    retriever = Retriever(lm, FRIENDS["en"], ALIKE)
    posts = learned_posts("en")
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("It rains."), FRIENDS["en"])
    near = [posts.compare("It rains.", LINE)]
    ((features, tokens),) = retriever.features("It rains.", prompt, near, ["I see."])
    ((nats, count),) = reply_nats(lm.model, lm.tokenizer, [(prompt, "I see.")])
    assert (features["logprob"], tokens) == (pytest.approx(-nats / count), count)
    assert set(features) == set(FEATURES)


def test_the_better_of_both_kinds_is_kept(lm):
    prompts = [prompt_ids(lm.tokenizer, Dialogue.of("hi"), "S")]
    own = [["The the", "A a"]]
    sense = [torch.tensor([0.3, 0.2]).log()]

    def pick(content: float) -> int:
        hand = [log_shares([Retrieved("Hello!", "en-p1:1", content, 3)])]
        return choose(lm.model, lm.tokenizer, None, prompts, own, [{}], [0], sense, hand)[0]

    assert pick(2.0) == 2
    assert pick(0.1) in (0, 1)


def test_own_candidates_count_for_less_than_is_read_off_them(lm):
    prompts = [prompt_ids(lm.tokenizer, Dialogue.of("hi"), "S")]
    own, sense = [["The the", "A a"]], [torch.tensor([0.5, 0.5]).log()]
    hand = [log_shares([Retrieved("Hello!", "en-p1:1/joy", 0.9, 3)])]
    picks = [
        choose(lm.model, lm.tokenizer, None, prompts, own, [{}], [seed], sense, hand)[0]
        for seed in range(40)
    ]
    assert picks.count(2) >= 30  # read off: .45 by hand, .5 each of the two own


def test_raw_multiples_are_answered_by_the_model_alone(lm):
    reply = system(lm).reply_raw([Dialogue.of(LINE.post)], [{"joy": 1.0}], decoding=LONG)[0]
    assert "retrieved" not in reply.applied
