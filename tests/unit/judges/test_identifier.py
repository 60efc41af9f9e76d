"""The identifier's equations, its invariances, and the folder it is kept in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotone.errors import CheckpointError, ConfigError, UnknownName, Unsupported
from emotone.judges.identifier import (
    IdentifierCard,
    TrainedIdentifier,
    decide,
    level_logits,
    load_identifier,
    save_identifier,
    trained_parts,
)
from emotone.judges.identifier_net import (
    MECHANISMS,
    IdentifierNet,
    IdentifierSpec,
    LevelHead,
    open_net,
    paper_specs,
)
from emotone.types import EmpathyLevels
from unit.judges.toy_encoders import WORDS, save_bert, save_t5

PAIRS = [
    ("i lost my job today", "sorry that was so hard"),
    ("the exam is when", "why"),
    ("i feel sad", "i know how you feel when my cat was lost i felt the same so tell me more"),
    ("my cat is found it was so so so hard but we think it is fine today", "glad glad glad"),
    ("rain", "what is it that you mean is it the job or the exam or the rain"),
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_t5(tmp_path_factory.mktemp("t5")))


def opened(spec: IdentifierSpec, seed: int = 0) -> IdentifierNet:
    """A network whose low-rank change does something, as after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = open_net(spec)
        for name, parameter in net.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


def card(**changes: Any) -> IdentifierCard:
    numbers: dict[str, Any] = {
        "temperatures": dict.fromkeys(MECHANISMS, 1.0),
        "offsets": dict.fromkeys(MECHANISMS, (0.0, 0.0, 0.0)),
    }
    return IdentifierCard("toy", 1, "score", (), **{**numbers, **changes})


def specs(bert: str, t5: str, kind: str) -> tuple[IdentifierSpec, ...]:
    if kind == "paper":
        return paper_specs(t5)
    if kind == "paper-bert":
        return paper_specs(bert)
    return (IdentifierSpec(bert, rank=4, attention=8, pooling=kind, rationale=True),)  # pyright: ignore


KINDS = ("paper", "paper-bert", "mean", "mean+max", "mean+rationale")


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


@pytest.mark.parametrize("pooling", ["mean", "mean+max", "mean+rationale"])
@pytest.mark.parametrize("inner", [None, 3])
def test_head_equals_its_equations(pooling: Any, inner: int | None):
    spec = IdentifierSpec(attention=inner, pooling=pooling, rationale=True)
    torch.manual_seed(3)
    head = LevelHead(6, spec).double().eval()
    w = {k: v.numpy() for k, v in head.state_dict().items()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    draw = np.random.default_rng(0)
    lengths = [(4, 2), (1, 5), (3, 3)]
    response, context = draw.normal(size=(3, 4, 6)), draw.normal(size=(3, 5, 6))
    response_mask, context_mask = np.zeros((3, 4), bool), np.zeros((3, 5), bool)
    expected, marks = [], []
    for i, (r, c) in enumerate(lengths):
        response_mask[i, :r], context_mask[i, :c] = True, True
        R, C = response[i, :r], context[i, :c]
        q, k, v = (linear(f"attend.{n}", x) for n, x in (("query", R), ("key", C), ("value", C)))
        A = linear("attend.out", softmax(q @ k.T / np.sqrt(inner or 6)) @ v)
        S = R + A
        mark = linear("rationale", S)[:, 0]
        pooled = [S.mean(0)]
        if pooling == "mean+max":
            pooled.append(S.max(0))
        if pooling == "mean+rationale":
            pooled.append(softmax(mark) @ S)
        expected.append(linear("level", np.tanh(linear("inner", np.concatenate(pooled)))))
        marks.append(mark)
    said = head(*(torch.tensor(x) for x in (response, context, response_mask, context_mask)))
    np.testing.assert_allclose(said.levels.detach().numpy(), expected, atol=1e-10)
    for i, mark in enumerate(marks):
        np.testing.assert_allclose(said.rationale[i, : len(mark)].detach(), mark, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_batches_change_nothing(bert: str, t5: str, kind: str):
    nets = tuple(opened(s, i) for i, s in enumerate(specs(bert, t5, kind)))
    judge = TrainedIdentifier(card(), nets, batch=4)
    together = judge.probabilities(PAIRS)
    alone = np.concatenate([judge.probabilities([p]) for p in PAIRS])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(together.sum(-1), 1)
    assert together.std(0).max() > 1e-3  # the pairs do differ
    backwards = judge.probabilities(PAIRS[::-1])[::-1]
    np.testing.assert_allclose(together, backwards, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_both_texts_are_heard(bert: str, t5: str, kind: str):
    judge = TrainedIdentifier(card(), tuple(opened(s) for s in specs(bert, t5, kind)))
    base, other_context, other_response = judge.probabilities(
        [("i lost my job", "sorry"), ("tea is fine", "sorry"), ("i lost my job", "why is that")]
    )
    assert np.abs(base - other_context).max() > 1e-4
    assert np.abs(base - other_response).max() > 1e-4


def test_masked_tokens_are_not_heard(bert: str):
    net = opened(IdentifierSpec(bert, rank=0, rationale=True, pooling="mean+rationale"))
    context, context_mask = net.response.pad([[1, 5, 2], [1, 6, 7, 8, 2]])
    response, response_mask = net.response.pad([[1, 9, 2], [1, 10, 11, 12, 2]])
    first = net(context, context_mask, response, response_mask)
    context[~context_mask] = 20
    response[~response_mask] = 21
    second = net(context, context_mask, response, response_mask)
    for m in MECHANISMS:
        torch.testing.assert_close(first[m].levels, second[m].levels, atol=1e-5, rtol=0)


@settings(max_examples=20)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(3, 12), st.integers(3, 12))
def test_long_texts_are_cut(
    bert: str, words: int, answers: int, context_limit: int, response_limit: int
):
    net = NETS.setdefault(bert, opened(IdentifierSpec(bert, rank=0)))
    net.spec = replace(net.spec, max_context=context_limit, max_response=response_limit)
    text = [WORDS[i % len(WORDS)] for i in range(words)]
    answer = [WORDS[i % len(WORDS)] for i in range(answers)]
    ((context, response),) = net.tokens([(" ".join(text), " ".join(answer))])
    ids = net.response.tokenizer.convert_tokens_to_ids
    kept = text[max(0, words - (context_limit - 2)) :]
    assert context == ids(["[CLS]", *kept, "[SEP]"])
    assert response == ids(["[CLS]", *answer[: response_limit - 2], "[SEP]"])


NETS: dict[str, IdentifierNet] = {}


def test_empty_texts_and_no_pairs(bert: str):
    judge = TrainedIdentifier(card(), (opened(IdentifierSpec(bert, rank=2)),))
    assert judge.identify([]) == []
    assert judge.probabilities([]).shape == (0, 3, 3)
    assert np.isfinite(judge.probabilities([("", ""), ("why", "")])).all()


def test_temperature_and_offsets(bert: str):
    net = opened(IdentifierSpec(bert, rank=2))
    logits = level_logits(net, PAIRS)["interpretation"]
    heat = {"reaction": 1.0, "interpretation": 2.5, "exploration": 1.0}
    chances = TrainedIdentifier(card(temperatures=heat), (net,)).probabilities(PAIRS)
    np.testing.assert_allclose(chances[:, 1], softmax(logits / 2.5))
    # An offset moves the choice and leaves the probabilities.
    offsets = {**dict.fromkeys(MECHANISMS, (0.0, 0.0, 0.0)), "exploration": (0.0, 50.0, 0.0)}
    leaning = TrainedIdentifier(card(temperatures=heat, offsets=offsets), (net,))
    np.testing.assert_array_equal(leaning.probabilities(PAIRS), chances)
    expected = [EmpathyLevels(int(row[0].argmax()), int(row[1].argmax()), 1) for row in chances]
    assert leaning.identify(PAIRS) == expected


def test_decide_survives_certainty():
    certain = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    assert decide(certain, (0.0, 1.0, 0.0)).tolist() == [0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_back_the_judge(bert: str, t5: str, kind: str, tmp_path: Path):
    nets = tuple(opened(s, i) for i, s in enumerate(specs(bert, t5, kind)))
    offsets = {m: (0.1 * i, 0.0, -0.5) for i, m in enumerate(MECHANISMS)}
    wanted = card(temperatures=dict.fromkeys(MECHANISMS, 1.5), offsets=offsets)
    before = TrainedIdentifier(wanted, nets).probabilities(PAIRS)
    save_identifier(tmp_path / "judge", wanted, nets)
    judge = load_identifier(tmp_path / "judge")
    np.testing.assert_allclose(judge.probabilities(PAIRS), before, atol=5e-3)  # half precision
    assert np.abs(judge.probabilities(PAIRS) - before).max() < before.std(0).max() / 3
    assert judge.name.startswith("toy-1-")
    assert {k: tuple(v) for k, v in judge.card.offsets.items()} == offsets
    assert not any(p.requires_grad for net in judge.nets for p in net.parameters())
    assert not any("lora_" in n for net in judge.nets for n, _ in net.named_parameters())


def test_only_what_was_trained_is_kept(bert: str):
    net = opened(IdentifierSpec(bert, rank=2, frozen=1, attention=4))
    parts = trained_parts(net)
    trunk = {k for k in parts if k.startswith("response.")}
    assert trunk
    assert all("layer.1." in k for k in trunk)
    assert {k.split(".")[0] for k in parts} == {"heads", "response"}
    assert {v.dtype for v in parts.values()} == {torch.float16}


def test_each_text_is_read_by_its_own_encoder(bert: str):
    net = opened(paper_specs(bert)[0])
    assert net.context is not None
    with torch.no_grad():  # as after training, the two are no longer alike
        for parameter in net.context.parameters():
            parameter.add_(0.05)
    context, response = net.response.pad([[1, 5, 2]]), net.response.pad([[1, 9, 10, 2]])
    said = net(*context, *response)["reaction"].levels
    states = net.context.states(*context), net.response.states(*response)
    by_hand = net.evidence(states[0], context[1], states[1], response[1])["reaction"].levels
    torch.testing.assert_close(said, by_hand)
    swapped = net.response.states(*context)
    other = net.evidence(swapped, context[1], states[1], response[1])["reaction"].levels
    assert (said - other).abs().max() > 1e-3


def test_shared_and_separate_trunks(bert: str, t5: str):
    shared = opened(IdentifierSpec(bert, rank=2))
    separate = opened(paper_specs(t5)[0])
    assert list(shared.trunks()) == ["response"]
    assert list(separate.trunks()) == ["response", "context"]
    assert separate.trunks()["response"].model is not separate.trunks()["context"].model
    assert all(p.requires_grad for p in separate.parameters())
    assert list(separate.heads) == ["reaction"]
    with pytest.raises(ConfigError, match="takes one trunk"):
        IdentifierNet(IdentifierSpec(bert), shared.response, shared.response)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"mechanisms": ("reaction", "empathy")}, UnknownName, "empathy"),
        ({"mechanisms": ()}, ConfigError, "at least one"),
        ({"mechanisms": ("reaction", "reaction")}, ConfigError, "at most once"),
        ({"pooling": "max"}, UnknownName, "mean"),
        ({"pooling": "mean+rationale", "rationale": False}, ConfigError, "rationale"),
        ({"rank": None, "frozen": 2}, ConfigError, "frozen"),
        ({"rank": -1}, ConfigError, "rank is -1"),
        ({"layers": 0}, ConfigError, "layers is 0"),
        ({"max_response": 2}, ConfigError, "3 or more"),
        ({"dropout": 1.0}, ConfigError, "below 1"),
    ],
)
def test_a_spec_that_means_nothing(changes: Any, error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        IdentifierSpec(**changes)


def test_texts_longer_than_the_encoder_are_refused(bert: str):
    with pytest.raises(ConfigError, match="256 tokens at most"):
        open_net(IdentifierSpec(bert, max_context=300))


def test_a_merged_network_is_not_saved_again(bert: str, tmp_path: Path):
    save_identifier(tmp_path, card(), [opened(IdentifierSpec(bert, rank=2, attention=4))])
    judge = load_identifier(tmp_path)
    with pytest.raises(ConfigError, match="merged"):
        save_identifier(tmp_path / "again", judge.card, judge.nets)


def test_a_low_rank_change_of_t5_is_refused(t5: str):
    with pytest.raises(Unsupported, match="rank"):
        open_net(IdentifierSpec(t5, rank=4))


@pytest.mark.parametrize(
    "changes",
    [
        {"temperatures": {"reaction": 1.0, "interpretation": 1.0}},
        {"temperatures": dict.fromkeys(MECHANISMS, 0.0)},
        {"temperatures": dict.fromkeys(MECHANISMS, "1")},
        {"offsets": dict.fromkeys(MECHANISMS, (0.0, 1.0))},
        {"offsets": dict.fromkeys(MECHANISMS, (0.0, float("nan"), 0.0))},
    ],
)
def test_numbers_that_decide_nothing(bert: str, changes: Any):
    with pytest.raises(ConfigError, match="use"):
        TrainedIdentifier(card(**changes), (NETS.setdefault(bert, opened(IdentifierSpec(bert))),))


def test_each_mechanism_is_scored_once(t5: str):
    nets = [opened(s) for s in paper_specs(t5)]
    with pytest.raises(ConfigError, match="scored once"):
        TrainedIdentifier(card(), tuple(nets[:2]))
    with pytest.raises(ConfigError, match="scored once"):
        TrainedIdentifier(card(), (*nets, nets[0]))


def test_damage_is_told(bert: str, tmp_path: Path):
    net = opened(IdentifierSpec(bert, rank=2, attention=4))
    save_identifier(tmp_path, card(), [net])
    weights, about = tmp_path / "weights.safetensors", tmp_path / "judge.json"
    good, row = weights.read_bytes(), json.loads(about.read_text())

    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="damaged"):
        load_identifier(tmp_path)
    weights.write_bytes(good)

    part = {**row["parts"][0], "attention": 5}
    about.write_text(json.dumps({**row, "parts": [part]}))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_identifier(tmp_path)

    about.write_text(json.dumps({**row, "kind": "encoder"}))
    with pytest.raises(CheckpointError, match="not of an identifier"):
        load_identifier(tmp_path)

    about.write_text(json.dumps({**row, "colour": 1}))
    with pytest.raises(ConfigError, match="colour"):
        load_identifier(tmp_path)

    about.write_text("[")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_identifier(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_identifier(tmp_path / "nowhere")
