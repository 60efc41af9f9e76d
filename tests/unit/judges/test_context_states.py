"""Contexts that are read once give what pairs give."""

from __future__ import annotations

import numpy as np
import pytest

from emotone.judges.identifier import TrainedIdentifier
from emotone.judges.identifier_net import IdentifierSpec, paper_specs
from unit.judges.test_identifier import PAIRS, card, opened
from unit.judges.toy_encoders import save_bert, save_t5

CONTEXTS = [c for c, _ in PAIRS]
REPLIES = [r for _, r in PAIRS]


@pytest.fixture(scope="module", params=["shared", "paper"])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("encoder")
    if request.param == "paper":
        nets = tuple(opened(s, i) for i, s in enumerate(paper_specs(str(save_t5(folder)))))
    else:
        nets = (opened(IdentifierSpec(str(save_bert(folder)), rank=4, attention=8)),)
    return TrainedIdentifier(card(), nets, batch=2)


def rows_read(judge: TrainedIdentifier, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the texts that the trunks of the first network read."""
    counted: list[int] = []
    for trunk in judge.nets[0].trunks().values():
        read = trunk.states

        def count(ids, mask, read=read):
            counted.append(len(ids))
            return read(ids, mask)

        monkeypatch.setattr(trunk, "states", count)
    return counted


def joint(judge: TrainedIdentifier, pair: tuple[str, str]) -> np.ndarray:
    """Probabilities of a pair by the networks' own forward pass."""
    out = np.zeros((3, 3))
    for net in judge.nets:
        (context, response), *_ = net.tokens([pair])
        ids = (*net.response.pad([context]), *net.response.pad([response]))
        for mechanism, said in net(*ids).items():
            at = ("reaction", "interpretation", "exploration").index(mechanism)
            out[at] = said.levels.softmax(-1).detach().numpy()[0]
    return out


def test_pairs_give_what_one_forward_pass_gives(judge: TrainedIdentifier):
    expected = np.stack([joint(judge, pair) for pair in PAIRS])
    np.testing.assert_allclose(judge.probabilities(PAIRS), expected, atol=1e-6)


def test_any_response_to_any_context_that_was_read(judge: TrainedIdentifier):
    at = [3, 0, 0, 4, 1, 2]
    replies = [REPLIES[i] for i in (0, 3, 1, 2, 4, 4)]
    found = judge.read_contexts(CONTEXTS).probabilities(at, replies)
    expected = [joint(judge, (CONTEXTS[c], r)) for c, r in zip(at, replies, strict=True)]
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-6)
    levels = judge.read_contexts(CONTEXTS).identify(at, replies)
    assert levels == judge.identify([(CONTEXTS[c], r) for c, r in zip(at, replies, strict=True)])


def test_equal_contexts_are_read_once(judge: TrainedIdentifier, monkeypatch: pytest.MonkeyPatch):
    counted = rows_read(judge, monkeypatch)
    states = judge.read_contexts([CONTEXTS[0], CONTEXTS[1], CONTEXTS[0], CONTEXTS[0]])
    assert sum(counted) == 2
    states.probabilities(range(4), REPLIES[:4])
    assert sum(counted) == 2 + 4
    counted.clear()
    judge.probabilities([(c, r) for c in CONTEXTS[:2] for r in REPLIES])
    assert sum(counted) == 2 + 2 * len(REPLIES)


def test_a_call_does_not_depend_on_earlier_calls(judge: TrainedIdentifier):
    fresh = judge.read_contexts(CONTEXTS).probabilities(range(5), REPLIES)
    states = judge.read_contexts(CONTEXTS)
    states.probabilities([0, 1], ["why", "tell me more"])
    np.testing.assert_array_equal(states.probabilities(range(5), REPLIES), fresh)


def test_no_context_gives_no_probability(judge: TrainedIdentifier):
    assert judge.read_contexts([]).probabilities([], []).shape == (0, 3, 3)
    assert judge.probabilities([]).shape == (0, 3, 3)
    assert judge.identify([]) == []
