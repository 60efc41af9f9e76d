"""A tiny identifier learns levels that only both texts together decide."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes.judges import fit_empathy
from recipes.judges.epitome import Pair
from recipes.judges.fit_empathy import Settings, fit, logits_of, rows_of

from emotone.errors import ConfigError
from emotone.judges.identifier import level_logits
from emotone.judges.identifier_net import IdentifierSpec
from emotone.types import MECHANISMS
from unit.judges.toy_encoders import save_bert

#: Mechanism -> the word of the response without which the level is 0, and the word of the context
#: that lifts the level from 1 to 2.
RULES = {
    "reaction": ("sorry", "lost"),
    "interpretation": ("know", "sad"),
    "exploration": ("why", "job"),
}
FILLERS = ("i", "you", "the", "my", "it", "was", "today", "tea", "bus", "so", "a", "cat")


def pair(draw: random.Random) -> Pair:
    context = [draw.choice(FILLERS) for _ in range(draw.randint(2, 6))]
    response = [draw.choice(FILLERS) for _ in range(draw.randint(2, 6))]
    levels, spans = [], []
    for said, felt in RULES.values():
        level = draw.choice((0, 1, 2))
        if level:
            response.insert(draw.randint(0, len(response)), said)
        if level == 2 or (level == 0 and draw.random() < 0.5):
            context.insert(draw.randint(0, len(context)), felt)
        levels.append(level)
    text = " ".join(response)
    for (said, _), level in zip(RULES.values(), levels, strict=True):
        start = f" {text} ".find(f" {said} ")
        spans.append(((start, start + len(said)),) if level else ())
    return Pair(" ".join(context), text, tuple(levels), tuple(spans), 0, 0)


def pairs(count: int, seed: int) -> list[Pair]:
    draw = random.Random(seed)
    return [pair(draw) for _ in range(count)]


def accuracy(logits: dict[str, np.ndarray], tested: list[Pair]) -> dict[str, float]:
    gold = np.array([p.levels for p in tested])
    return {m: float((logits[m].argmax(-1) == gold[:, i]).mean()) for i, m in enumerate(MECHANISMS)}


def spec(folder: Path, **changes: object) -> IdentifierSpec:
    return IdentifierSpec(
        str(folder), rationale=True, attention=16, max_context=24, max_response=24,
        **{"rank": 8, "alpha": 16.0, **changes},  # pyright: ignore
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "mean+rationale"])
def test_learns_a_rule_over_both_texts(tmp_path: Path, pooling: str):
    save_bert(tmp_path, width=64)
    settings = Settings(
        spec(tmp_path, rank=None, pooling=pooling, dropout=0.0), rate=1e-3, head_rate=3e-3,
        epochs=16, batch=32, seed=5, context_gradient=True,
    )  # fmt: skip
    net = fit(pairs(1500, 1), settings, progress=False)
    fresh = pairs(400, 2)
    right = accuracy(level_logits(net, [(p.context, p.response) for p in fresh]), fresh)
    assert min(right.values()) > 0.95, right
    # Without its context level 2 cannot be told from level 1.
    blind = accuracy(level_logits(net, [("it was", p.response) for p in fresh]), fresh)
    assert max(blind.values()) < 0.8, blind


def test_frozen_blocks_run_once_give_the_same_scores(tmp_path: Path):
    save_bert(tmp_path, blocks=3)
    settings = Settings(spec(tmp_path, frozen=1, layers=2), epochs=1, seed=3)
    train = pairs(48, 3)
    net = fit(train, settings, progress=False)
    kept = logits_of(net, rows_of(net, train))
    served = level_logits(net.float(), [(p.context, p.response) for p in train])
    for m in MECHANISMS:  # bfloat16 in training, float32 in service
        np.testing.assert_allclose(kept[m], served[m], atol=0.06)
        assert np.corrcoef(kept[m].ravel(), served[m].ravel())[0, 1] > 0.999


def test_training_repeats_by_seed(tmp_path: Path):
    save_bert(tmp_path)
    train = pairs(40, 4)

    def trained(seed: int) -> np.ndarray:
        net = fit(train, Settings(spec(tmp_path), epochs=1, seed=seed), progress=False)
        return level_logits(net.float(), [(p.context, p.response) for p in train])["reaction"]

    first = trained(1)
    np.testing.assert_array_equal(first, trained(1))
    assert np.abs(first - trained(2)).max() > 1e-3


def test_a_training_that_was_stopped_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch):
    (tmp_path / "bert").mkdir()
    save_bert(tmp_path / "bert", blocks=3)
    settings = Settings(spec(tmp_path / "bert", frozen=1), epochs=2, seed=3, batch=8)
    learned = pairs(40, 4)
    straight = fit(learned, settings, progress=False)
    calls: list[int] = []

    real = fit_empathy.loss_of

    def loss_of(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 7:  # in the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(fit_empathy, "loss_of", loss_of)
    with pytest.raises(SystemExit) as left:
        fit(learned, settings, out=tmp_path / "run", progress=False)
    assert left.value.code == 143
    resumed = fit(learned, settings, out=tmp_path / "run", progress=False)
    assert len(calls) == 10
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with pytest.raises(ConfigError, match="pairs"):
        fit(learned[1:], settings, out=tmp_path / "run", progress=False)
