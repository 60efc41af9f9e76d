"""From a name to EmpRL: folders of a run, plain models, and names that are wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from emotone import systems
from emotone.emotions import EmotionMix
from emotone.errors import CheckpointError, ModelMissing, UnknownName, Unsupported
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.tiny import tiny_vectors
from emotone.systems import emprl
from emotone.training.adapters import WEIGHTS
from emotone.types import Decoding, Dialogue
from unit.emprl import stages

SHORT = Decoding(max_tokens=6, seed=3)
POST = Dialogue.of("My dog died.")


def said(system: emprl.EmpRL, mood: EmotionMix | None = None) -> tuple[str, float | None]:
    (reply,) = system.reply([POST], [mood], decoding=SHORT)
    return reply.text, None if reply.logprob is None else round(reply.logprob, 3)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.chat_model(tmp_path_factory.mktemp("models") / "chat")


@pytest.fixture(scope="module")
def adapted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.adapted(tmp_path_factory.mktemp("run") / "ppo", base)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stages.t5(tmp_path_factory.mktemp("run") / "small")


def test_adapters_are_merged_into_their_base_and_the_card_says_how_it_reads(adapted, base):
    system = emprl.load(str(adapted))
    names = [name for name, _ in system._lm.model.named_modules()]
    assert not any("lora" in name for name in names)
    untrained = emprl.load(str(base))
    assert said(system) != said(untrained)
    assert system._card.system == "Be kind."
    (reply,) = system.reply([POST], [None], decoding=SHORT)
    assert reply.model == f"{adapted.parent.name}/ppo"
    assert reply.applied["stage"] == "ppo"
    assert reply.applied["judges"] == ["empathy-reward"]


def test_what_is_loaded_says_what_the_policy_said(adapted):
    lm = stages.adapted_model()
    system = emprl.load(str(adapted))
    ids = torch.tensor([system._prompt(POST)])
    with torch.inference_mode():
        wanted, found = lm.model(ids).logits, system._lm.model(ids).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_vectors_of_the_base_go_with_the_adapted_model(adapted, tmp_path):
    plain = emprl.load(str(adapted))
    joy = EmotionMix.parse("joy")
    with pytest.raises(Unsupported, match=r"no emotion vectors.*reply\.vectors=FILE"):
        said(plain, joy)
    vectors = tiny_vectors(tiny_causal_lm().model)
    vectors.save(tmp_path / "v.safetensors")
    opened = systems.load(
        "emprl", str(adapted), overrides=[f"reply.vectors={tmp_path / 'v.safetensors'}"]
    )
    assert isinstance(opened, emprl.EmpRL)
    assert opened.capabilities.taxonomy is not None
    assert said(opened) == said(plain)
    assert said(opened, joy) != said(plain)


def test_a_t5_s_folder_answers_and_reads_as_its_card_says(t5):
    system = emprl.load(str(t5))
    assert system.capabilities.taxonomy is None
    assert system._card.separator == " | "
    (reply,) = system.reply([POST], [None], decoding=SHORT)
    assert reply.model == "small"
    assert reply.applied["judges"] == []  # before reinforcement nobody gave a reward


def test_models_as_they_are_answer_untrained(t5, base, tmp_path):
    plain = tmp_path / "t5"
    plain.mkdir()
    for file in t5.iterdir():
        if file.name != "config.toml":
            (plain / file.name).write_bytes(file.read_bytes())
    system = emprl.load(str(plain))
    assert said(system) == said(emprl.load(str(t5)))
    assert system._card.stage == ""
    chat = emprl.load(str(base))
    assert chat._card.kind == "causal"
    assert said(chat)[1] is not None


def test_a_run_s_folder_is_refused_with_the_name_of_a_stage(adapted):
    with pytest.raises(ModelMissing, match=r"whole run; name a stage in it, such as .*ppo"):
        emprl.load(str(adapted.parent))


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises((UnknownName, ModelMissing), match="emprl-nothing"):
        emprl.load("emprl-nothing")
    with pytest.raises(UnknownName, match="smolm2"):
        emprl.load("smolm2")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        emprl.load(str(tmp_path))


def test_a_hub_model_out_of_reach_and_a_damaged_config_are_named(t5, tmp_path):
    for name, hub in (("t5-base", "google-t5/t5-base"), ("org/name", "org/name")):
        with pytest.raises(ModelMissing, match=f"'{hub}' is not a folder here and the model hub"):
            emprl.load(name)
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "model.safetensors").write_bytes((t5 / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"config\.json of model .* cannot be read"):
        emprl.load(str(tmp_path))


def test_folders_of_other_systems_and_damaged_ones_are_refused(adapted, tmp_path):
    (tmp_path / "config.toml").write_text("[sizes]\nhidden = 3\n")
    with pytest.raises(CheckpointError, match="not a folder of EmpRL"):
        emprl.load(str(tmp_path))
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in adapted.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / WEIGHTS).write_bytes((adapted / WEIGHTS).read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="cannot be read"):
        emprl.load(str(broken))
    (broken / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=f"has no {WEIGHTS}"):
        emprl.load(str(broken))


def test_settings_of_replies_reach_the_system(t5):
    system = systems.load("emprl", str(t5), overrides=["reply.candidates=7", "reply.batch=2"])
    assert isinstance(system, emprl.EmpRL)
    assert dataclasses.asdict(system._settings) == {"candidates": 7, "vectors": "", "batch": 2}
