"""The choice among candidates against its formula, and replies that do not see each other."""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from emotone.data.batch import collate
from emotone.data.pairs import Pair
from emotone.data.vocab import EOS
from emotone.emotions import EmotionMix
from emotone.recurrent import choose as choosing
from emotone.recurrent.choose import choose
from emotone.recurrent.config import Replies
from emotone.recurrent.responder import Recurrent, tiny_corpus
from emotone.systems import ecm, emo_seq
from emotone.types import Decoding, Dialogue
from unit.recurrent.networks import asked, network, sizes

POSTS = ((5, 6, 7), (8,), (9, 4, 5, 6))
CANDIDATES = (
    ((11, 9, 4), (12,), (), (13, 14, 15, 11, 12)),
    ((4,),),
    ((11, 12), (12, 11), (5, 5, 5), (5, 5), (14,)),
)
ASKED = (1, 4, 0)


cached = functools.cache(network)


@functools.cache
def log_p(name: str, post: tuple[int, ...], reply: tuple[int, ...], emotion: int) -> float:
    return -float(cached(name).nll(collate([Pair(post, reply, emotion)]))[0])


def plainly(name: str, emotions: Any, classes: int, topic: float, emotion: float) -> list[int]:
    """The formula of the module, a candidate and an emotion at a time."""
    best = []
    for i, (post, listed) in enumerate(zip(POSTS, CANDIDATES, strict=True)):
        e = -1 if emotions is None else emotions[i]
        scores = []
        for reply in listed:
            n = len(reply) + 1
            score = log_p(name, post, reply, e) - topic * log_p(name, (EOS,), reply, e)
            score /= n
            if classes and emotion:
                under = [log_p(name, post, reply, other) for other in range(classes)]
                others = [math.exp(u) for other, u in enumerate(under) if other != e]
                score += emotion * (under[e] - math.log(sum(others) / len(others)))
            scores.append(score)
        best.append(scores.index(max(scores)))
    return best


@pytest.mark.parametrize("name", ["a_seq2seq-0", "ecm-0", "ecm-6", "ecm-faithful-1", "emo_seq-3"])
@pytest.mark.parametrize("topic", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("emotion", [0.0, 1.0, 5.0])
@torch.no_grad()
def test_the_best_by_the_formula_is_chosen(name: str, topic: float, emotion: float, monkeypatch):
    model = network(name)
    emotions = None if asked(name, torch.tensor(0)) is None else ASKED
    classes = 0 if emotions is None else 6
    want = plainly(name, emotions, classes, topic, emotion)

    def chosen() -> list[int]:
        return choose(
            model, POSTS, CANDIDATES, emotions, classes, topic=topic, emotion=emotion, device="cpu"
        )

    assert chosen() == want
    monkeypatch.setattr(choosing, "ROWS", 3)  # passes that cut through a candidate's rows
    assert chosen() == want


def test_the_settings_decide_differently():
    """So that the test above does not compare one choice with itself."""
    found = defaultdict(set)
    with torch.no_grad():
        for name in ("ecm-0", "ecm-6", "emo_seq-3"):
            for topic, emotion in itertools.product((0.0, 3.0), (0.0, 5.0)):
                found[name].add(tuple(plainly(name, ASKED, 6, topic, emotion)))
    assert all(len(choices) > 1 for choices in found.values())


class Clear:
    """Says word 4 in the first emotion, word 5 in the second and so on, whatever the post."""

    def nll(self, batch: Any) -> Tensor:
        first = batch.target_out[:, 0]
        return torch.where(first == 4 + batch.emotion, 1.0, 5.0)


def test_a_reply_that_could_only_be_of_the_asked_emotion_wins():
    listed = [[(4,), (5,), (6,)]] * 3
    made = choose(
        Clear(),  # pyright: ignore[reportArgumentType]
        [(9,)] * 3,
        listed,
        [0, 1, 2],
        3,
        topic=0.5,
        emotion=1.0,
        device="cpu",
    )
    assert made == [0, 1, 2]


# -- the responder --------------------------------------------------------------------------------

TEXTS = ("开心", "我 很 难过 。", "你 好 不 好 ？ 他 生气 了 。 我 讨厌 他 ！", "不", "我" * 40)
SHORT = Decoding(max_tokens=8, seed=2)


@pytest.mark.parametrize("style", ["fixed", "faithful"])
@pytest.mark.parametrize("strategy", ["sample", "greedy", "beam"])
def test_replies_do_not_see_their_neighbours(style: Any, strategy: Any):
    plain = sizes(6, bidirectional=False, encoder_hidden=6)
    config = ecm.Config(sizes=plain, parts=ecm.Parts(width=3, memory=4, style=style))
    responder = Recurrent.of("ecm", "m", ecm.build, config, tiny_corpus("zh", "nlpcc"))
    labels = responder.capabilities.taxonomy
    assert labels is not None
    moods = [EmotionMix.parse(labels.labels[i % 6], labels) for i in range(len(TEXTS))]
    posts = [Dialogue.of(text) for text in TEXTS]
    how = replace(SHORT, strategy=strategy)
    together = responder.reply(posts, moods, decoding=how)
    for i, reply in enumerate(together):
        alone = responder.reply(
            posts[i : i + 1], moods[i : i + 1], decoding=replace(how, seed=how.seed + i)
        )[0]
        assert alone.text == reply.text
        assert alone.logprob == pytest.approx(reply.logprob, abs=1e-4)


def test_the_likelihood_of_what_was_said_is_what_it_says_of_it():
    responder = emo_seq.tiny()
    posts = [Dialogue.of(text) for text in ("i am happy", "you are bad !", "?", "so sad", "good")]
    made = responder.reply(posts, [None] * 5, decoding=replace(SHORT, temperature=1.0))
    # A reply that was cut off has no end token, which likelihood counts.
    whole = [i for i, r in enumerate(made) if r.tokens < SHORT.max_tokens]
    assert whole
    found = responder.nats(posts, [None] * 5, [r.text for r in made])
    for i in whole:
        assert found[i][0] == pytest.approx(-(made[i].logprob or 0.0), abs=1e-3)
        assert found[i][1] == made[i].tokens


def test_one_candidate_is_the_first_drawn_and_more_are_chosen_from():
    corpus = tiny_corpus("zh", "nlpcc")
    plain = ecm.Config(sizes=sizes(6), parts=ecm.Parts(width=3, memory=4))
    posts = [Dialogue.of(text) for text in TEXTS]
    said = {}
    for count in (1, 24):
        config = replace(plain, replies=Replies(candidates=count))
        responder = Recurrent.of("ecm", "m", ecm.build, config, corpus)
        made = responder.reply(posts, [None] * 5, decoding=SHORT)
        assert {r.applied["candidates"] for r in made} == {count}
        said[count] = [r.text for r in made]
    assert said[1] != said[24]
