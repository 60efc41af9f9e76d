"""How mood adapters are learned: what is trained is what acts, and a killed run goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from recipes.companion.adapters import Learner, learn

from emotone.errors import ConfigError
from emotone.lm.chat import prompt_ids
from emotone.models.tiny import tiny_causal_lm
from emotone.models.token_ids import text_ids
from emotone.steering.companion import CompanionSettings, Exchange
from emotone.steering.mood import Mood
from emotone.steering.mood_adapters import MoodAdapters
from emotone.steering.tiny import tiny_vectors
from emotone.training.adapters import Adapters
from emotone.types import Dialogue

ADAPTERS = Adapters(rank=2, alpha=4.0, targets=("o_proj", "down_proj"), top=2)
EXCHANGES = [
    Exchange(Dialogue.of("it rains"), {"joy": "Sing!", "anger": "Again!", "neutral": "Yes."}),
    Exchange(Dialogue.of("I won a cake"), {"joy": "Wonderful!", "anger": "No plate!"}),
]


def moods_of(lm: Any, labels: tuple[str, ...], maps: Any) -> MoodAdapters:
    card = replace(tiny_vectors(lm.model).card, norms=())
    return MoodAdapters(labels, maps, card)


def taught(steps: int, checkpoint: Any = None, **changes: Any) -> Any:
    lm = tiny_causal_lm()
    settings = CompanionSettings(
        **{"steps": steps, "batch": 2, "lr": 0.02, "warmup": 0, "save_every": 2, **changes}
    )
    before = [p.clone() for p in lm.model.parameters()]
    maps = learn(
        lm,
        EXCHANGES,
        ("joy", "anger"),
        system="S",
        settings=settings,
        adapters=ADAPTERS,
        checkpoint=checkpoint,
    )
    assert all(torch.equal(a, b) for a, b in zip(before, lm.model.parameters(), strict=True))
    return lm, maps


def test_the_likelihood_that_is_learned_is_that_under_the_moods() -> None:
    lm = tiny_causal_lm()
    learner = Learner.of(lm.model, ("fear", "joy", "anger"), ADAPTERS, seed=0)
    assert {path.split(".")[2] for path in learner.paths} == {"1", "2"}  # the top two of three
    with torch.no_grad():
        for parameter in learner.parameters.values():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    asked = [(e, label) for e in EXCHANGES for label in ("joy", "anger")]
    prompts = [prompt_ids(lm.tokenizer, e.dialogue, "S") for e, _ in asked]
    doses = [0.4, 1.2, 0.7, 0.9]
    rows = [
        (
            prompt,
            learner.labels.index(label),
            dose,
            [*text_ids(lm.tokenizer, e.replies[label]), lm.tokenizer.eos_token_id],
        )
        for prompt, dose, (e, label) in zip(prompts, doses, asked, strict=True)
    ]
    with torch.no_grad():
        ours = learner.nats(rows, 0)
        maps = learner.factors(learner.labels)
    mood = Mood(lm, moods_of(lm, learner.labels, maps), batch=4)
    nats = mood.nats(
        prompts,
        [{label: dose} for dose, (_, label) in zip(doses, asked, strict=True)],
        [e.replies[label] for e, label in asked],
    )
    parts = [float(part.sum()) for part in ours.split([count for _, count in nats])]
    assert parts == pytest.approx([n for n, _ in nats], rel=1e-4)


def test_each_emotion_learns_its_own_replies() -> None:
    lm, maps = taught(120, dose=(0.9, 1.1))
    mood = Mood(lm, moods_of(lm, ("joy", "anger"), maps), batch=4)
    prompt = prompt_ids(lm.tokenizer, EXCHANGES[0].dialogue, "S")
    for own, other, reply in (("joy", "anger", "Sing!"), ("anger", "joy", "Again!")):
        said = mood.nats([prompt] * 3, [{own: 1.0}, {other: 1.0}, {}], [reply] * 3)
        assert said[0][0] < 0.5 * min(said[1][0], said[2][0])


def test_a_killed_run_goes_on_to_the_same_maps(tmp_path: Any) -> None:
    _, whole = taught(6, tmp_path)
    newest = max((tmp_path / "checkpoints").glob("*6*"))
    shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
    _, again = taught(6, tmp_path)
    for path, both in whole.items():
        assert all(torch.equal(a, b) for a, b in zip(both, again[path], strict=True))
    with pytest.raises(ConfigError):
        taught(6, tmp_path, lr=0.1)


def test_an_emotion_that_does_not_come_stays_where_it_is() -> None:
    lm = tiny_causal_lm()
    learner = Learner.of(lm.model, ("joy", "anger"), ADAPTERS, seed=0)
    prompt = prompt_ids(lm.tokenizer, EXCHANGES[0].dialogue, "S")
    learner.nats([(prompt, 0, 1.0, [5, 6])], 0).mean().backward()
    moved = {name for name, p in learner.parameters.items() if p.grad is not None}
    assert moved == {name for name in learner.parameters if name.startswith("joy/")}
