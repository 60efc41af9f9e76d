"""Mood adapters for llama.cpp: beside its maps, in its order of rows, they do what they do here.

llama.cpp itself is not here: its sum is done in NumPy from what its own reader reads, on weights in
the order in which its converter keeps them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer
from gguf import GGUFReader
from typer.testing import CliRunner

from emotone.cli.export import export
from emotone.engines.gguf_lora import write_gguf_lora, write_gguf_loras
from emotone.errors import Unsupported
from emotone.models.tiny import tiny_causal_lm
from unit.engines.test_mood_adapter import MIX, companion, here, logits, opened

__all__ = ["companion"]
#: Names in GGUF of the maps that have adapters here.
MAPS = {
    "attn_q": "self_attn.q_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_down": "mlp.down_proj",
}


def pairs(matrix: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's converter turns queries and keys."""
    rows = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, *matrix.shape[1:])
    return rows.swapaxes(1, 2).reshape(matrix.shape)


def unpaired(matrix: np.ndarray, heads: int) -> np.ndarray:
    rows = matrix.reshape(heads, matrix.shape[0] // heads // 2, 2, *matrix.shape[1:])
    return rows.swapaxes(1, 2).reshape(matrix.shape)


def added(model: Any, files: dict[Path, float]) -> Any:
    """Add adapters at their scales as llama.cpp does, to its weights; they come back as a model."""
    for file, scale in files.items():
        reader = GGUFReader(file)
        alpha = float(reader.fields["adapter.lora.alpha"].contents())
        tensors = {t.name: torch.from_numpy(np.array(t.data)) for t in reader.tensors}
        for name, down in tensors.items():
            if not name.endswith(".lora_a"):
                continue
            up = tensors[name.removesuffix("a") + "b"]
            _, block, kind, *_ = name.split(".")
            weight = model.get_submodule(f"model.layers.{block}.{MAPS[kind]}").weight
            delta = (scale * alpha / len(down) * (up @ down)).numpy()
            heads = model.config.num_attention_heads
            kept = weight.detach().numpy()
            moved = (
                unpaired(pairs(kept, heads) + delta, heads) if kind == "attn_q" else kept + delta
            )
            weight.data = torch.from_numpy(moved)
    return model


def test_a_mix_acts_as_it_does_here(companion: Path, tmp_path: Path):
    moods, doses = opened(companion)
    lm = tiny_causal_lm()
    file = tmp_path / "mix.gguf"
    write_gguf_lora(moods, doses, file, lm.model.config, shared=companion)
    theirs = logits(added(lm.model, {file: 1.0}))
    assert (theirs - here(companion, MIX)).abs().max() < 1e-4
    assert (theirs - here(companion, None)).abs().max() > 0.1
    reader = GGUFReader(file)
    kinds = {k: reader.fields[k].contents() for k in ("general.type", "adapter.type")}
    assert kinds == {"general.type": "adapter", "adapter.type": "lora"}
    assert reader.fields["general.architecture"].contents() == "llama"
    record = json.loads(str(reader.fields["emotone.record"].contents()))
    assert record["dose"] == pytest.approx(doses)
    assert record["moods"] == moods.digest()


def test_a_file_an_emotion_takes_its_dose_as_scale(companion: Path, tmp_path: Path):
    moods, doses = opened(companion)
    lm = tiny_causal_lm()
    files = write_gguf_loras(moods, tmp_path / "each", lm.model.config, shared=companion)
    assert [f.stem for f in files] == ["shared", *moods.labels]
    scales = {f: doses.get(f.stem, 1.0 if f.stem == "shared" else 0.0) for f in files}
    theirs = logits(added(lm.model, scales))
    assert (theirs - here(companion, MIX)).abs().max() < 1e-4
    assert json.loads((tmp_path / "each/emotone.json").read_text())["engines"] == ["llamacpp"]


def test_rows_of_queries_move_as_in_llama_cpp(companion: Path, tmp_path: Path):
    """A family whose rows stay has other numbers in the same file."""
    moods, doses = opened(companion)
    config = tiny_causal_lm().model.config
    still = SimpleNamespace(**{**vars(config), "model_type": "qwen2"})
    data = []
    for name, of in (("a", config), ("b", still)):
        write_gguf_lora(moods, doses, tmp_path / name, of, shared=companion)
        data.append({t.name: np.array(t.data) for t in GGUFReader(tmp_path / name).tensors})
    moved = {name for name in data[0] if not np.array_equal(data[0][name], data[1][name])}
    assert {name.split(".")[2] for name in moved} == {"attn_q"}
    for name in moved:
        assert np.array_equal(data[0][name], pairs(data[1][name], config.num_attention_heads))


def test_what_llama_cpp_would_not_understand_is_refused(companion: Path, tmp_path: Path):
    moods, doses = opened(companion)
    config = tiny_causal_lm().model.config
    with pytest.raises(Unsupported, match="a mamba model is not known here; known are llama"):
        write_gguf_lora(moods, doses, tmp_path / "x", SimpleNamespace(model_type="mamba"))
    card = replace(moods.card, norms=())
    odd = replace(
        moods, maps={"model.layers.1.own.map": next(iter(moods.maps.values()))}, card=card
    )
    with pytest.raises(Unsupported, match=r"has no map .* called model\.layers\.1\.own\.map"):
        write_gguf_lora(odd, doses, tmp_path / "x", config)
    wide = SimpleNamespace(**{**vars(config), "model_type": "llama", "intermediate_size": 999})
    with pytest.raises(Unsupported, match="these mood adapters belong to"):
        write_gguf_lora(moods, doses, tmp_path / "x", wide, shared=companion)
    assert not (tmp_path / "x").exists()


def test_the_command_writes_one_or_each(companion: Path, tmp_path: Path):
    app = typer.Typer()
    app.command()(export)
    lm = tiny_causal_lm()
    lm.model.save_pretrained(tmp_path / "tiny")

    def run(*more: object) -> Any:
        told = ["gguf-lora", str(tmp_path / "tiny"), *map(str, more)]
        return CliRunner().invoke(app, told)

    moods = "--vectors", companion
    asked = run(*moods, "-e", MIX, "-o", tmp_path / "mix.gguf")
    assert asked.exit_code == 0, asked.output
    theirs = logits(added(lm.model, {tmp_path / "mix.gguf": 1.0}))
    assert (theirs - here(companion, MIX)).abs().max() < 1e-4
    assert run(*moods, "--each", "-o", tmp_path / "each").exit_code == 0
    assert (tmp_path / "each/joy.gguf").is_file()
    refused = run(*moods, "--each", "-e", MIX, "-o", tmp_path / "y")
    assert "--each goes with gguf-lora, without a mood" in str(refused.exception)
    vectors = run("-e", MIX, "-o", tmp_path / "y")
    assert "gguf-lora holds mood adapters" in str(vectors.exception)
