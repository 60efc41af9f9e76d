"""What EmpRL adds to the contract of every system: empathy levels, alone and with an emotion."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from emotone.emotions import EmotionMix
from emotone.errors import DataError, Unsupported
from emotone.lm.candidates import write_candidates
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.fingerprint import fingerprint
from emotone.systems.emprl.config import ReplySettings
from emotone.systems.emprl.responder import EmpRL, best_candidate, level_probabilities
from emotone.systems.emprl.tiny import TinyIdentifier, tiny, tiny_t5
from emotone.types import Decoding, Dialogue, EmpathyLevels, Post, Speaker

SHORT = Decoding(max_tokens=8, seed=40)
POSTS = [Dialogue.of(text) for text in ("hi", "My dog died.", "I won!", "Nothing new.")]
HIGH = EmpathyLevels(2, 1, 2)
LOW = EmpathyLevels(0, 0, 0)
NOTHING = [None] * 4


def with_candidates(system: EmpRL, count: int) -> EmpRL:
    settings = ReplySettings(candidates=count)
    vectors = system._mood.vectors if system._mood else None
    return EmpRL(system._lm, system._card, settings, vectors=vectors, identifier=system._identifier)


@pytest.fixture(scope="module", params=[tiny, tiny_t5])
def system(request: pytest.FixtureRequest) -> EmpRL:
    return request.param()


# -- the choice ---------------------------------------------------------------------------------


def test_the_kept_candidate_is_the_likeliest_of_those_that_were_written(system):
    system = with_candidates(system, 5)
    prompts = [system._prompt(d) for d in POSTS]
    lm = system._lm
    written = write_candidates(lm.model, lm.tokenizer, prompts, [5] * 4, SHORT)
    replies = system.reply(POSTS, NOTHING, decoding=SHORT, empathy=[HIGH] * 4)
    moved = 0
    for post, group, reply in zip(POSTS, written, replies, strict=True):
        texts = [w.text for w in group]
        said = TinyIdentifier().probabilities([(post.posts[0].text, t) for t in texts])
        product = said[:, 0, 2] * said[:, 1, 1] * said[:, 2, 2]
        pick = int(np.where([bool(t) for t in texts], product, -1).argmax())
        assert reply.text == texts[pick]
        assert reply.applied["probability"] == pytest.approx(product[pick], rel=1e-3)
        moved += pick > 0
    assert moved


def test_other_levels_choose_another_reply(system):
    system = with_candidates(system, 6)
    high, low = (
        [r.text for r in system.reply(POSTS, NOTHING, decoding=SHORT, empathy=[asked] * 4)]
        for asked in (HIGH, LOW)
    )
    assert high != low


def test_what_was_asked_is_reported_and_the_chooser_may_not_score(system):
    asked, plain = system.reply(POSTS[:2], [None] * 2, decoding=SHORT, empathy=[HIGH, None])
    applied = asked.applied
    assert applied["empathy"] == "reaction:2 interpretation:1 exploration:2"
    assert applied["candidates"] > 1
    assert 0 < applied["probability"] < 1
    assert applied["identifier"] == "tiny-identifier"
    assert applied["judges"] == ["tiny-identifier", "tiny-identifier"]  # trained it, and chose
    assert json.loads(json.dumps(dict(applied))) == applied
    assert plain.applied["candidates"] == 1
    assert plain.applied["judges"] == ["tiny-identifier"]
    assert "empathy" not in plain.applied


def test_a_row_without_levels_is_as_if_no_row_had_any(system):
    mixed = system.reply(POSTS, NOTHING, decoding=SHORT, empathy=[HIGH, None, LOW, None])
    plain = system.reply(POSTS, NOTHING, decoding=SHORT)
    for i in (1, 3):
        assert (mixed[i].text, mixed[i].applied) == (plain[i].text, plain[i].applied)
    alone = system.reply(
        POSTS[2:3], [None], decoding=dataclasses.replace(SHORT, seed=42), empathy=[LOW]
    )
    assert alone[0].text == mixed[2].text


def test_the_identifier_reads_the_whole_dialogue(monkeypatch):
    system, heard = tiny_t5(), []
    real = TinyIdentifier.probabilities

    def probabilities(self, pairs):
        heard.extend(context for context, _ in pairs)
        return real(self, pairs)

    monkeypatch.setattr(TinyIdentifier, "probabilities", probabilities)
    talk = Dialogue((Post("I am back."), Post("From where?", Speaker.ASSISTANT), Post("The sea.")))
    system.reply([talk], [None], decoding=SHORT, empathy=[HIGH])
    assert set(heard) == {"I am back. From where? The sea."}


def test_a_choice_needs_candidates_that_differ(system):
    one = with_candidates(system, 1)
    with pytest.raises(Unsupported, match=r"candidates is 1.*reply\.candidates=4"):
        one.reply(POSTS[:1], [None], decoding=SHORT, empathy=[HIGH])
    greedy = dataclasses.replace(SHORT, strategy="greedy")
    with pytest.raises(Unsupported, match="strategy 'greedy'"):
        system.reply(POSTS[:1], [None], decoding=greedy, empathy=[HIGH])
    assert one.reply(POSTS[:1], [None], decoding=SHORT, empathy=[None])[0].text is not None
    assert system.reply(POSTS[:1], [None], decoding=greedy)[0].tokens > 0


def test_levels_and_dialogues_are_as_many(system):
    with pytest.raises(DataError, match="4 dialogues came with 1 empathy levels"):
        system.reply(POSTS, NOTHING, decoding=SHORT, empathy=[HIGH])


def test_products_are_taken_for_what_is_asked_and_silence_has_none():
    groups = [["a", " ", "b"], ["c"], []]
    found = level_probabilities(TinyIdentifier(), ["x", "y", "z"], groups, [HIGH, None, LOW])
    assert [len(row) for row in found] == [3, 0, 0]
    said = TinyIdentifier().probabilities([("x", "b")])[0]
    assert found[0][2] == pytest.approx(said[0, 2] * said[1, 1] * said[2, 2])
    assert found[0][1] == 0
    assert level_probabilities(TinyIdentifier(), ["x"], [["a"]], [None])[0].size == 0


def test_the_best_weighs_empathy_and_emotion_alike_and_never_takes_silence():
    texts = ["a", "b", "c"]
    assert best_candidate(texts, np.array([0.1, 0.2, 0.2])) == 1
    emotion = torch.tensor([-0.1, -3.0, -0.5])
    assert best_candidate(texts, np.array([0.1, 0.2, 0.2]), emotion) == 2
    assert best_candidate(texts, np.array([0.5, 0.2, 0.2]), emotion) == 0
    assert best_candidate(["", "b", "\n"], np.array([0.9, 0.0, 0.9])) == 1
    assert best_candidate(["", ""], np.array([0.0, 0.0])) == 0


# -- an emotion on the adapted model ------------------------------------------------------------


def test_the_adapted_model_is_another_one_with_the_fingerprint_of_its_base():
    model, base = tiny()._lm.model, tiny_causal_lm().model
    assert fingerprint(model) == fingerprint(base)
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert not torch.allclose(model(ids).logits, base(ids).logits, atol=1e-2)


def test_emotion_and_empathy_are_had_together():
    system = with_candidates(tiny(), 6)
    joy = EmotionMix.parse("joy:80", system.capabilities.taxonomy)
    moods = [joy] * 4
    levels = [HIGH] * 4
    both = system.reply(POSTS, moods, decoding=SHORT, empathy=levels)
    emotion = system.reply(POSTS, moods, decoding=SHORT)
    empathy = system.reply(POSTS, NOTHING, decoding=SHORT, empathy=levels)
    texts = [[r.text for r in made] for made in (both, emotion, empathy)]
    assert texts[0] != texts[1]
    assert texts[0] != texts[2]
    applied = both[0].applied
    assert applied["dose"] == {"joy": 0.8}
    assert applied["tier"] in ("bias", "rows")
    assert applied["empathy"] == str(HIGH)
    assert applied["candidates"] == 6


def test_the_choice_of_both_is_the_largest_product_over_candidates_under_the_emotion():
    system = with_candidates(tiny(), 6)
    mood = system._mood
    assert mood is not None
    doses = mood.doses([EmotionMix.parse("fear:60", system.capabilities.taxonomy)])
    prompts = [system._prompt(POSTS[1])]
    texts = [
        [reply.text for reply in row.replies]
        for row in mood.write_candidates(prompts, doses, [6], SHORT)
    ]
    heard = mood.scores(prompts, texts, doses)[0]
    assert heard is not None
    product = level_probabilities(TinyIdentifier(), ["My dog died."], texts, [HIGH])[0]
    wanted = texts[0][int((np.log(product) + heard.numpy()).argmax())]
    emotion = EmotionMix.parse("fear:60", system.capabilities.taxonomy)
    (made,) = system.reply([POSTS[1]], [emotion], decoding=SHORT, empathy=[HIGH])
    assert made.text == wanted


def test_nats_are_steered_and_of_the_adapted_model():
    system = tiny()
    joy = EmotionMix.parse("joy", system.capabilities.taxonomy)
    replies = ["I see.", "Oh."]
    plain = system.nats(POSTS[:2], [None] * 2, replies)
    moved = system.nats(POSTS[:2], [joy, None], replies)
    assert moved[0][0] != pytest.approx(plain[0][0], abs=1e-3)
    assert moved[1][0] == pytest.approx(plain[1][0], abs=1e-3)
    assert [n for _, n in plain] == [7, 4]


# -- a T5 ---------------------------------------------------------------------------------------


def test_a_t5_says_why_it_takes_no_emotion():
    system = tiny_t5()
    joy = EmotionMix.parse("joy")
    for ask in (
        lambda: system.reply(POSTS[:1], [joy], decoding=SHORT),
        lambda: system.nats(POSTS[:1], [joy], ["Oh."]),
        lambda: list(system.stream(POSTS[0], joy, decoding=SHORT)),
    ):
        with pytest.raises(Unsupported, match=r"steer causal models only.*emprl-smollm2"):
            ask()


def test_a_t5_streams_and_weighs_what_it_says():
    system = tiny_t5()
    (reply,) = system.reply(POSTS[:1], [None], decoding=SHORT)
    assert "".join(system.stream(POSTS[0], None, decoding=SHORT)) == reply.text
    assert reply.applied["tier"] == "none"
    ((nats, tokens),) = system.nats(POSTS[:1], [None], ["Oh."])
    assert nats > 0
    assert tokens == 4


def test_a_t5_reads_the_end_of_a_long_dialogue():
    system = tiny_t5()
    posts = [Post("a" * 900), Post("b" * 900, Speaker.ASSISTANT), Post("c" * 900)]
    ids = system._prompt(Dialogue(tuple(posts)))
    assert len(ids) == system._card.max_prompt
    kept = system._lm.tokenizer.decode(ids, skip_special_tokens=True)
    assert kept == "b" * 122 + " " + "c" * 900
