"""Preference training: the better of a companion's own replies becomes likelier than the worse."""

from __future__ import annotations

import math

import pytest
import torch

from emotone.errors import DataError
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.companion import CompanionSettings
from emotone.steering.prefer import Preference, Rated, prefer
from emotone.training.adapters import Adapters, add_adapters, save_adapters
from emotone.types import Dialogue

POSTS = [
    (
        Dialogue.of("it rains"),
        [
            Rated("joy", 1.0, "Sing!", 3),
            Rated("joy", 1.0, "The cat, the cat", 0),
            Rated("anger", 1.0, "Again!", 3),
            Rated("anger", 1.0, "Lovely.", 1),
        ],
    ),
    (
        Dialogue.of("I won a cake"),
        [
            Rated("joy", 1.0, "Well done!", 2),
            Rated("joy", 1.0, "Rain.", 1),
            Rated("neutral", 0.0, "Good.", 2),
        ],
    ),
]
LABELS = ("joy", "anger")


def preferred(steps, posts=POSTS, **kwargs):
    lm = tiny_causal_lm()
    add_adapters(lm.model, Adapters(rank=4, alpha=8.0, targets=("q_proj", "up_proj")))
    start = {label: torch.zeros(3, lm.model.config.hidden_size) for label in LABELS}
    return lm, prefer(
        lm.model,
        lm.tokenizer,
        posts,
        LABELS,
        torch.ones(3),
        system="S",
        settings=CompanionSettings(steps=steps, batch=2, lr=1e-2, push_lr=0.05, save_every=5),
        start=start,
        **kwargs,
    )


def rows(folder):
    import json

    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_better_reply_wins_and_the_best_become_likelier(tmp_path):
    preferred(60, checkpoint=tmp_path)
    log = [row for row in rows(tmp_path) if "preference" in row]
    assert log[0]["preference"] == pytest.approx(math.log(2), rel=1e-5)  # nothing has moved yet
    assert log[0]["right"] == 0
    assert log[-1]["preference"] < 0.3 * math.log(2)
    assert log[-1]["right"] == 1
    assert log[-1]["loss"] < log[0]["loss"]


def test_without_an_anchor_the_loss_is_the_preference_alone(tmp_path):
    preferred(3, preference=Preference(anchor=0.0), checkpoint=tmp_path)
    for row in rows(tmp_path):
        assert row.get("loss") == row.get("preference")


def test_a_killed_run_goes_on_against_the_companion_before_it(tmp_path):
    lm, whole = preferred(10)
    with pytest.MonkeyPatch.context() as patch:
        import emotone.steering.companion as companion

        schedule = companion.scheduled

        def killed(rate, step, *rest):
            if step == 7:
                raise KeyboardInterrupt
            return schedule(rate, step, *rest)

        patch.setattr(companion, "scheduled", killed)
        with pytest.raises(KeyboardInterrupt):
            preferred(10, checkpoint=tmp_path / "run")
    again, resumed = preferred(10, checkpoint=tmp_path / "run")
    for label in LABELS:
        assert torch.equal(whole[label], resumed[label])
    save_adapters(lm.model, tmp_path / "a", base="tiny")
    save_adapters(again.model, tmp_path / "b", base="tiny")
    weights = "adapter_model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()


def test_replies_that_are_all_alike_teach_nothing():
    alike = [(d, [r._replace(score=1) for r in rated]) for d, rated in POSTS]
    with pytest.raises(DataError, match="no post has two rated replies"):
        preferred(1, alike)
