"""The choice among candidates: by emotion as strictly as the dose asks, by sense always."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from emotone.lm.chat import prompt_ids
from emotone.models.tiny import tiny_causal_lm
from emotone.steering import choose as choosing
from emotone.steering.choose import CandidateStates, choose, emotion_scores, sense_scores
from emotone.steering.listen import Listener, train_listener
from emotone.steering.record import block_means
from emotone.steering.tiny import tiny_vectors
from emotone.systems.steered import Config, Steered
from emotone.types import Decoding, Dialogue

CANDIDATES = [["Sing!", "The the", "It rains a lot."], ["Alone."], ["Good.", "Bad luck."]]


@pytest.fixture(scope="module")
def lm():
    return tiny_causal_lm()


@pytest.fixture(scope="module")
def prompts(lm):
    return [prompt_ids(lm.tokenizer, Dialogue.of(post), "S") for post in ("hi", "rain", "a cake")]


@pytest.fixture(scope="module")
def sense(lm, prompts):
    """A readout that has learned that the last candidate of each row makes sense."""
    pairs = [(p, text) for p, row in zip(prompts, CANDIDATES, strict=True) for text in row]
    contents = [str(2 * (text == row[-1])) for row in CANDIDATES for text in row]
    means = block_means(lm.model, lm.tokenizer, pairs, 1)
    return train_listener(means, contents, block=1, strength=100.0)


def test_without_an_emotion_the_sensible_candidate_is_kept(lm, prompts, sense):
    picks = choose(lm.model, lm.tokenizer, None, prompts, CANDIDATES, [{}] * 3, [0, 1, 2], sense)
    assert picks == [2, 0, 1]


def test_sense_is_the_log_of_the_expected_content(lm, prompts, sense):
    states = CandidateStates(lm.model, lm.tokenizer, prompts, CANDIDATES)
    scores = sense_scores(states, sense)
    means = block_means(lm.model, lm.tokenizer, [(prompts[2], t) for t in CANDIDATES[2]], 1)
    torch.testing.assert_close(scores[2], sense.logprobs(means)[:, 1], atol=1e-4, rtol=1e-4)
    assert scores[1].tolist() == [0.0]  # nothing to choose from, nothing read


def test_an_empty_candidate_makes_no_sense(lm, prompts, sense):
    picks = choose(lm.model, lm.tokenizer, None, prompts[:1], [["", "The the"]], [{}], [0], sense)
    assert picks == [1]


def test_listeners_of_one_block_share_a_pass(lm, prompts, sense, monkeypatch):
    blocks: list[int] = []

    def counted(model, tokenizer, pairs, block):
        blocks.append(block)
        return block_means(model, tokenizer, pairs, block)

    monkeypatch.setattr(choosing, "block_means", counted)
    width = lm.model.config.hidden_size
    ears = Listener(
        ("anger", "joy"),
        1,
        torch.ones(2, width),
        torch.zeros(2),
        torch.zeros(width),
        torch.ones(width),
    )
    states = CandidateStates(lm.model, lm.tokenizer, prompts, CANDIDATES)
    sense_scores(states, sense)
    emotion_scores(states, ears, [{"joy": 1.0}, {}, {"joy": 0.5}])
    assert blocks == [1]


def test_vectors_that_read_sense_choose_plain_replies_too(lm, sense):
    decoding = Decoding(max_tokens=4)
    for readout, candidates in ((sense, 2), (None, 1)):
        vectors = replace(tiny_vectors(lm.model), sense=readout)
        system = Steered(lm, vectors, Config(candidates=2))
        (reply,) = system.reply([Dialogue.of("hi")], [None], decoding=decoding)
        assert reply.applied["candidates"] == candidates
