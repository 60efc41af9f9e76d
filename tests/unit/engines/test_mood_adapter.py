"""A mix of mood adapters as a folder: peft reads back what acts here, with the shared adapters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from peft import PeftModel
from safetensors.torch import load_file
from typer.testing import CliRunner

from emotone.cli.export import export
from emotone.emotions import EmotionMix
from emotone.engines.mood_adapter import write_mood_adapter
from emotone.errors import CheckpointError, DataError, UnknownName, Unsupported
from emotone.files import sha256
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.find import give_adapters, open_moods
from emotone.steering.mood_adapters import MoodAdapters
from emotone.training.adapters import (
    CONFIG,
    WEIGHTS,
    Adapters,
    adapter_weights,
    add_adapters,
    save_adapters,
)
from unit.steering.test_mood_adapters import logits, tiny_moods

MIX = "joy:60 + fear:20"


@pytest.fixture
def companion(tmp_path: Path) -> Path:
    """A folder of shared adapters, in other maps too, with mood adapters beside them."""
    lm = tiny_causal_lm()
    add_adapters(lm.model, Adapters(rank=3, alpha=6.0, targets=("q_proj", "down_proj")))
    with torch.no_grad():
        for weight in adapter_weights(lm.model).values():
            weight.copy_(torch.randn_like(weight) * 0.1)
    folder = tmp_path / "companion"
    save_adapters(lm.model, folder, base="tiny")
    moods = tiny_moods(tiny_causal_lm().model)
    card = replace(moods.card, adapters=sha256(folder / WEIGHTS))
    replace(moods, card=card).save(folder / "moods.safetensors")
    return folder


def loaded(place: Path) -> Any:
    return PeftModel.from_pretrained(tiny_causal_lm().model, str(place))


def here(companion: Path, mix: str | None) -> torch.Tensor:
    """Logits of what steers here: the shared adapters merged, the moods by hooks."""
    lm, moods = tiny_causal_lm(), open_moods(str(companion))
    give_adapters(lm.model, moods, str(companion))
    with moods.steer(lm.model, mix):
        return logits(lm.model)


def opened(companion: Path) -> tuple[MoodAdapters, dict[str, float]]:
    moods = open_moods(str(companion))
    assert isinstance(moods, MoodAdapters)
    return moods, moods.doses(EmotionMix.parse(MIX, moods.taxonomy))


def test_peft_reads_back_the_mix_with_the_shared_adapters(companion: Path, tmp_path: Path) -> None:
    moods, doses = opened(companion)
    write_mood_adapter(moods, doses, tmp_path / "mix", shared=companion)
    theirs = logits(loaded(tmp_path / "mix"))
    ours = here(companion, MIX)
    assert (theirs - ours).abs().max() < 1e-4
    assert (ours - here(companion, None)).abs().max() > 0.1
    assert (ours - here(companion, "joy:60")).abs().max() > 0.01
    tensors = load_file(tmp_path / "mix" / WEIGHTS)
    config = json.loads((tmp_path / "mix" / CONFIG).read_text())
    assert (config["r"], config["lora_alpha"], config["lora_bias"]) == (7, 7, False)
    assert {len(t) for name, t in tensors.items() if "lora_A" in name} == {7}  # 3 + 2 + 2
    assert {t.shape[1] for name, t in tensors.items() if "lora_B" in name} == {7}
    record = json.loads((tmp_path / "mix" / "emotone.json").read_text())
    assert record["dose"] == pytest.approx(doses)
    assert record["moods"] == moods.digest()


def test_the_shared_adapters_alone_are_the_reply_without_a_mood(
    companion: Path, tmp_path: Path
) -> None:
    moods, _ = opened(companion)
    write_mood_adapter(moods, {"joy": 0.0}, tmp_path / "plain", shared=companion)
    assert (logits(loaded(tmp_path / "plain")) - here(companion, None)).abs().max() < 1e-4


def test_moods_alone_are_for_a_model_that_has_the_rest(companion: Path, tmp_path: Path) -> None:
    moods, doses = opened(companion)
    write_mood_adapter(moods, doses, tmp_path / "alone")
    lm = tiny_causal_lm()
    give_adapters(lm.model, moods, str(companion))
    theirs: Any = PeftModel.from_pretrained(lm.model, str(tmp_path / "alone"))
    assert (logits(theirs) - here(companion, MIX)).abs().max() < 1e-4


def test_what_cannot_be_written_is_refused_in_words(companion: Path, tmp_path: Path) -> None:
    moods, doses = opened(companion)
    with pytest.raises(Unsupported, match="without a mood changes nothing"):
        write_mood_adapter(moods, {}, tmp_path / "x")
    with pytest.raises(UnknownName, match="mood adapter 'hope'"):
        write_mood_adapter(moods, {"hope": 1.0}, tmp_path / "x")
    bare = replace(moods, card=replace(moods.card, adapters=""))
    with pytest.raises(CheckpointError, match="were learned without adapters"):
        write_mood_adapter(bare, doses, tmp_path / "x", shared=companion)
    other = replace(moods, card=replace(moods.card, adapters="0" * 64))
    with pytest.raises(CheckpointError, match="were learned on others"):
        write_mood_adapter(other, doses, tmp_path / "x", shared=companion)
    with pytest.raises(CheckpointError, match="cannot be read"):
        write_mood_adapter(moods, doses, tmp_path / "x", shared=tmp_path)
    config = json.loads((companion / CONFIG).read_text())
    (companion / CONFIG).write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(Unsupported, match="more than products of two maps"):
        write_mood_adapter(moods, doses, tmp_path / "x", shared=companion)
    assert not (tmp_path / "x").exists()
    write_mood_adapter(moods, doses, tmp_path / "x")
    with pytest.raises(DataError, match="there already"):
        write_mood_adapter(moods, doses, tmp_path / "x")


def test_the_command_writes_a_mix_and_no_other_format(companion: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(export)
    # Nothing is asked of the model: all that a folder holds is in the files of the moods.
    told = ["smollm2", "--vectors", str(companion), "--emotion", MIX, "--output"]
    asked = CliRunner().invoke(app, ["adapter", *told, str(tmp_path / "mix")])
    assert asked.exit_code == 0, asked.output
    assert (logits(loaded(tmp_path / "mix")) - here(companion, MIX)).abs().max() < 1e-4
    raw = ["adapter", "smollm2", "--vectors", str(companion), "--raw", "joy=0.5", "-o"]
    assert CliRunner().invoke(app, [*raw, str(tmp_path / "raw")]).exit_code == 0
    both = CliRunner().invoke(app, [*raw, str(tmp_path / "y"), "--emotion", MIX])
    assert "not both" in str(both.exception)
    refused = CliRunner().invoke(app, ["repeng", *told, str(tmp_path / "joy.gguf")])
    assert "export the format adapter or gguf-lora" in str(refused.exception)
