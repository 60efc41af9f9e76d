"""The judge of sense: likelihoods by hand, and what its folder holds."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emotone.errors import CheckpointError, ModelMissing
from emotone.judges import sense_judge_of
from emotone.judges.calibration import softmax
from emotone.judges.card import WEIGHTS, Head, JudgeCard, read_card, write_card
from emotone.judges.sense import LIKELIHOODS, likelihoods, load_sense_judge
from emotone.judges.trunk import TrunkSpec, low_rank_change, open_trunk
from emotone.models.load import load_causal_lm
from emotone.models.tiny import tiny_causal_lm

CHAT = {"opening": "user: ", "between": " reply: ", "suffix": "!"}
PAIRS = [("so late", "again?"), ("", "hm"), ("we won", ""), ("a much longer post than that", "ok")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("chat")
    lm = tiny_causal_lm()
    lm.model.save_pretrained(place)
    lm.tokenizer.save_pretrained(place)
    return place


def spec_of(model: Path, **more: object) -> TrunkSpec:
    return TrunkSpec(
        str(model), layers=2, max_tokens=20, max_post=30, pooling="mean+last", frozen=1, rank=2,
        alpha=4.0, **CHAT, **more,
    )  # fmt: skip


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """A judge with random parts."""
    spec = spec_of(model)
    trunk = open_trunk(spec)
    draw = torch.Generator().manual_seed(3)
    for name, value in trunk.named_parameters():
        if "lora_" in name:
            value.data = torch.randn(value.shape, generator=draw) * 0.2
    weights = low_rank_change(trunk)
    for what, size in (("heads.sense.weight", (3, trunk.width)), ("heads.sense.bias", (3,))):
        weights[what] = torch.randn(size, generator=draw)
    weights["both.weight"] = torch.randn(3, 3 + len(LIKELIHOODS), generator=draw) * 0.1
    weights["both.bias"] = torch.randn(3, generator=draw)
    save_file(weights, tmp_path / WEIGHTS)
    settings = {"trunk": asdict(spec), "human_median": 0.4}
    head = Head("sense", ("0", "1", "2"), 2.0)
    checksum = hashlib.sha256((tmp_path / WEIGHTS).read_bytes()).hexdigest()
    write_card(
        tmp_path, JudgeCard("toy", "sense", "score", "en", 1, (head,), checksum, settings, {})
    )
    return tmp_path


def test_likelihoods_by_hand(model: Path) -> None:
    lm = load_causal_lm(str(model), "cpu")
    trunk = open_trunk(spec_of(model), trained=False)
    features = likelihoods(lm, trunk, PAIRS)
    assert features.shape == (len(PAIRS), len(LIKELIHOODS))
    end = lm.tokenizer("!", add_special_tokens=False)["input_ids"]
    for (post, reply), row in zip(PAIRS, features, strict=True):
        nats = []
        for text in (post, ""):
            prompt = lm.tokenizer(f"user: {text} reply: ", add_special_tokens=False)["input_ids"]
            ids = [*lm.tokenizer(reply, add_special_tokens=False)["input_ids"], *end]
            with torch.no_grad():
                logits = lm.model(torch.tensor([prompt + ids[:-1]])).logits[0, len(prompt) - 1 :]
            nats.append(-logits.log_softmax(-1)[range(len(ids)), ids])
        after, alone = nats
        gain = float(alone.mean() - after.mean())
        expected = [after.mean(), after.max(), after.sum(), alone.mean(), gain, gain * len(after),
                    math.log(len(after))]  # fmt: skip
        np.testing.assert_allclose(row, [float(x) for x in expected], rtol=1e-4, atol=1e-4)


def test_trunk_and_likelihoods_go_into_one_regression(folder: Path) -> None:
    judge = load_sense_judge(folder)
    chances = judge.content(PAIRS)
    assert chances.shape == (len(PAIRS), 3)
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(judge.content(PAIRS[::-1])[::-1], chances, atol=1e-4)
    assert judge.content([]).shape == (0, 3)
    features = np.concatenate([judge.read(PAIRS), likelihoods(judge.lm, judge.trunk, PAIRS)], 1)
    tensors = load_file(folder / WEIGHTS)
    logits = features @ tensors["both.weight"].numpy().T + tensors["both.bias"].numpy()
    expected = softmax(logits / 2.0)
    expected[2] = (1, 0, 0)  # a blank reply is no language
    np.testing.assert_allclose(chances, expected, rtol=1e-4)
    long = "word " * 3000
    assert np.isfinite(judge.content([("so late", long)])).all(), "it is read as far as it is cut"
    assert judge.human_median == 0.4


def test_damaged_parts_are_said_in_one_sentence(folder: Path) -> None:
    card, tensors = read_card(folder), load_file(folder / WEIGHTS)
    del tensors["both.bias"]
    save_file(tensors, folder / WEIGHTS)
    checksum = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    write_card(folder, replace(card, weights=checksum))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_sense_judge(folder)


def test_a_language_has_its_judge_or_is_refused_in_one_sentence() -> None:
    assert [sense_judge_of(lang) for lang in ("en", "zh")] == ["en-sense", "zh-sense"]
    with pytest.raises(ModelMissing, match="no judge of sense for 'fr', only for en, zh; name"):
        sense_judge_of("fr")
