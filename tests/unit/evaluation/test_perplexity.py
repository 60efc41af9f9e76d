"""Perplexity of references under a system, and of replies under a fixed model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emotone.emotions import EmotionMix
from emotone.errors import DataError, Unsupported
from emotone.evaluation.perplexity import fluency_under, perplexity
from emotone.evaluation.score import score_run
from emotone.lm.chat import prompt_ids, system_prompt
from emotone.lm.likelihood import reply_nats
from emotone.metrics import Instruments
from emotone.models.tiny import tiny_causal_lm
from emotone.systems import prompted, steered
from emotone.systems.echo import Echo
from emotone.types import Decoding, Dialogue, Example
from unit.evaluation.hearing import pair

MOODS = (None, EmotionMix.parse("joy"), EmotionMix.parse("sadness:40"))

EXAMPLES = [
    Example(f"x{i}", Dialogue.of(f"post {i}"), MOODS[i % 3], f"answer {'well ' * (i % 4)}{i}")
    for i in range(9)
]

#: Sums of float32 in another order.
CLOSE = 1e-4


@pytest.fixture(scope="module", params=["prompted", "steered"])
def system(request: pytest.FixtureRequest):
    return {"prompted": prompted, "steered": steered}[request.param].tiny()


def test_it_is_exp_of_nats_a_token_with_each_examples_own_emotion(system):
    made = perplexity(system, EXAMPLES, rounds=20)
    rows = system.nats(
        [e.dialogue for e in EXAMPLES],
        [e.emotion for e in EXAMPLES],
        [e.reply or "" for e in EXAMPLES],
    )
    whole = math.exp(sum(n for n, _ in rows) / sum(t for _, t in rows))
    assert made.metrics["perplexity"].value == pytest.approx(whole, rel=CLOSE)
    per_text = math.exp(sum(n / t for n, t in rows) / len(rows))
    assert made.metrics["ecm_perplexity"].value == pytest.approx(per_text, rel=CLOSE)
    letters = sum(len(e.reply or "") for e in EXAMPLES)
    bits = sum(n for n, _ in rows) / math.log(2) / letters
    assert made.metrics["bits_per_character"].value == pytest.approx(bits, rel=CLOSE)
    assert list(made.per_emotion) == ["none", "joy", "sadness:40"]
    reply = system.reply([Dialogue.of("a")], [None], decoding=Decoding(max_tokens=1))[0]
    assert (made.system, made.model) == (reply.system, reply.model)
    assert "references" in made.metrics["perplexity"].signature


def test_the_emotion_asked_counts_and_one_for_all_overrides(system):
    same = EmotionMix.parse("joy")
    one = perplexity(system, EXAMPLES, emotion=same, rounds=5)
    assert list(one.per_emotion) == ["joy"]
    own = perplexity(system, EXAMPLES, rounds=5)
    assert one.metrics["perplexity"].value != own.metrics["perplexity"].value


def test_a_reply_is_as_likely_as_the_system_said_when_it_wrote_it(system):
    """Decoding and teacher forcing see the same model: template, steering and all."""
    if isinstance(system, steered.Steered):  # a choice among candidates leaves out empty replies
        system = steered.Steered(system._lm, system.vectors, steered.Config(candidates=1))
    mood = EmotionMix.parse("sadness")
    wild = Decoding(max_tokens=2, temperature=1.0, top_p=1.0, repetition_penalty=1.0)
    replies = system.reply([Dialogue.of("one post")] * 400, [mood] * 400, decoding=wild)
    # A random model writes bytes that are mostly no text; an end at once can be read back.
    ended = [r for r in replies if r.tokens == 1 and not r.text]
    assert ended
    ((nats, tokens),) = system.nats([Dialogue.of("one post")], [mood], [""])
    assert tokens == 1
    assert nats == pytest.approx(-(ended[0].logprob or 0), rel=1e-3)


def test_prompted_reads_the_prompt_of_its_replies():
    system = prompted.tiny()
    lm, d, e = system.lm, Dialogue.of("hello"), EmotionMix.parse("fear:30")
    head = prompt_ids(lm.tokenizer, d, system_prompt(prompted.Config().system, e))
    assert system.nats([d], [e], ["ok"]) == reply_nats(lm.model, lm.tokenizer, [(head, "ok")])


def test_steering_acts_on_each_row_and_leaves_the_model_as_it_was():
    system = steered.tiny()
    d, joy = Dialogue.of("hello"), EmotionMix.parse("joy")
    plain = system.nats([d], [None], ["a reply"])
    both = system.nats([d, d], [None, joy], ["a reply", "a reply"])
    assert both[0][0] == pytest.approx(plain[0][0], rel=CLOSE)
    assert abs(both[1][0] - plain[0][0]) > 0.01
    assert both[1][0] == pytest.approx(system.nats([d], [joy], ["a reply"])[0][0], rel=CLOSE)
    assert system.nats([d], [None], ["a reply"]) == plain


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(Unsupported, match="Echo does not say how likely"):
        perplexity(Echo(), EXAMPLES)
    bare = [Example("a", Dialogue.of("hi")), Example("b", Dialogue.of("hi"), None, "  ")]
    with pytest.raises(DataError, match="no example has a reply"):
        perplexity(prompted.tiny(), bare)


def test_fluency_of_replies_has_names_of_its_own_and_is_computed_once():
    fluency = fluency_under(tiny_causal_lm())
    rows = [pair(i, f"reply number {i}", "joy" if i % 2 else None) for i in range(6)]
    counts = fluency.counts(rows)
    assert counts.shape == (6, 3)
    assert counts[0, 2] == len("reply number 0")
    assert np.array_equal(fluency.counts(rows[::-1]), counts[::-1])
    made = score_run(
        rows,
        ["perplexity", "bits_per_character"],
        Instruments(perplexity=fluency.counts, perplexity_name=fluency.name),
        rounds=5,
    )
    assert set(made.metrics) == {"reply_perplexity", "reply_bits_per_character"}
    expected = math.exp(counts[:, 0].sum() / counts[:, 1].sum())
    assert made.metrics["reply_perplexity"].value == pytest.approx(expected)
    assert "tiny@tiny,replies" in made.metrics["reply_perplexity"].signature
