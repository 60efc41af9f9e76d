"""`emotone export` and `emotone verify`, end to end on the tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from emotone.cli.export import export as export_command
from emotone.cli.verify import verify as verify_command
from emotone.models import CausalLM, load_causal_lm
from emotone.steering.layers import Site
from emotone.steering.tiny import tiny_vectors
from emotone.steering.vectors import EmotionVectors
from unit.engines.double import Double, serving, writer

app = typer.Typer()
app.command("export")(export_command)
app.command("verify")(verify_command)
MIX = "joy:60 + fear:20"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a model, and vectors beside it."""
    lm = writer()
    place = tmp_path / "tiny"
    lm.model.save_pretrained(place)
    lm.tokenizer.save_pretrained(place)
    save_vectors(tmp_path)
    return place


def save_vectors(folder: Path, site: Site = "resid", positions: Any = "all") -> Path:
    vectors = tiny_vectors(writer().model)
    card = replace(vectors.card, site=site, positions=positions, notes={"licence": "Apache-2.0"})
    replace(vectors, card=card).save(folder / "vectors.safetensors")
    return folder / "vectors.safetensors"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def export(model: Path, format_: str, output: Path, *more: object) -> Any:
    vectors = model.parent / "vectors.safetensors"
    return run("export", format_, model, "-o", output, "--vectors", vectors, *more)


def test_a_control_vector_says_what_it_is(model: Path, tmp_path: Path):
    done = export(model, "gguf-control-vector", tmp_path / "joy.gguf", "-e", MIX, "--without-first")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/joy.gguf\n")
    assert "of the mood, that of block 0, is left out" in done.stderr
    assert "licence of the vectors: Apache-2.0" in done.stderr
    fields = gguf.GGUFReader(tmp_path / "joy.gguf").fields
    assert fields["controlvector.model_hint"].contents() == "llama"
    assert fields["general.license"].contents() == "Apache-2.0"
    assert "fingerprint" in json.loads(fields["emotone.record"].contents())


def test_export_repeng_and_lens(model: Path, tmp_path: Path):
    assert export(model, "repeng", tmp_path / "joy.gguf", "-e", "joy:60").exit_code == 0
    assert len(gguf.GGUFReader(tmp_path / "joy.gguf").tensors) == 3
    assert export(model, "vllm-lens", tmp_path / "joy.json", "--raw", "joy=0.5").exit_code == 0
    body = json.loads((tmp_path / "joy.json").read_text(encoding="utf-8"))
    assert body["emotone"]["dose"] == {"joy": 0.5}


def test_what_cannot_act_is_refused_with_its_reason(model: Path, tmp_path: Path):
    out = tmp_path / "a"
    for arguments, reason in {
        ("gguf", "joy"): "unknown format 'gguf'",
        ("repeng", "glee:60"): "glee",
        ("bake", MIX, "--engine", "sglang"): "builds down_proj without one",
        ("adapter", MIX, "--engine", "vllm"): "vllm takes no bias in an adapter",
        ("repeng", MIX, "--without-first"): "--without-first is for gguf-control-vector alone",
        ("repeng", MIX, "--embedding", "a"): "--embedding goes with the format adapter",
    }.items():
        format_, mix, *more = arguments
        done = export(model, format_, out, "-e", mix, *more)
        assert done.exit_code != 0
        assert reason in str(done.exception), arguments
        assert not out.exists()
    save_vectors(tmp_path, positions="last")
    assert "made for 'last'" in str(export(model, "repeng", out, "-e", "joy").exception)


def served(folder: Path, vectors: EmotionVectors, **settings: Any) -> Double:
    """A double of an engine that serves a folder."""
    lm: CausalLM = load_causal_lm(folder, device="cpu")
    return Double(lm, vectors, **settings)


def proved(double: Double, model: Path, folder: Path, *more: object) -> Any:
    vectors = model.parent / "vectors.safetensors"
    folder.mkdir()
    with serving(double, folder) as url:
        return run(
            "verify", url, "-m", model, "-e", MIX, "--vectors", vectors, "--tokens", 8, *more
        )


def test_a_baked_mood_is_proved_and_its_loss_is_seen(model: Path, tmp_path: Path):
    """An engine that drops down_proj.bias without a word serves the plain model."""
    assert export(model, "bake", tmp_path / "baked", "-e", MIX, "--engine", "vllm").exit_code == 0
    vectors = EmotionVectors.load(tmp_path / "vectors.safetensors")
    always = ("--plain-name", "tiny", "--mood-name", "tiny")
    baked = served(tmp_path / "baked", vectors)
    acts = proved(baked, model, tmp_path / "a", *always)
    assert (acts.exit_code, acts.stdout) == (0, "acts\n")
    with torch.no_grad():
        for name, weight in baked.lm.model.named_parameters():
            if name.endswith("down_proj.bias"):
                weight.zero_()
    dropped = proved(baked, model, tmp_path / "b", *always, "--json")
    assert dropped.exit_code == 1
    assert json.loads(dropped.stdout)["says"] == "silently plain"


def test_a_wrong_scale_differs_by_so_much(model: Path, tmp_path: Path):
    vectors = EmotionVectors.load(tmp_path / "vectors.safetensors")
    done = proved(served(model, vectors, scale=0.5), model, tmp_path / "a")
    assert done.exit_code == 2
    assert done.stdout.startswith("differs by 0.")
    assert "of the mood acts)" in done.stdout
    assert "log-probabilities" in done.stderr


def test_verify_without_a_mood_and_without_a_server(model: Path, tmp_path: Path):
    vectors = EmotionVectors.load(tmp_path / "vectors.safetensors")
    (tmp_path / "a").mkdir()
    with serving(served(model, vectors), tmp_path / "a") as url:
        done = run("verify", url, "-m", model, "--tokens", 4)
        assert (done.exit_code, done.stdout) == (0, "agrees\n")
        raw = run("verify", url, "-m", model, "--raw", "joy=1", "--vectors",
                  tmp_path / "vectors.safetensors")  # fmt: skip
        assert "add --mood-name" in str(raw.exception)
    nobody = run("verify", f"unix:{tmp_path}/nobody", "-m", model)
    assert getattr(nobody.exception, "exit_code", None) == 3


def test_an_embedding_becomes_an_adapter(model: Path, tmp_path: Path):
    save_file({"joy": torch.ones(1, 32)}, tmp_path / "e.safetensors")
    done = run("export", "adapter", model, "-o", tmp_path / "mood", "--raw", "joy=2",
               "--embedding", tmp_path / "e.safetensors")  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/mood\n")
    assert json.loads((tmp_path / "mood/emotone.json").read_text())["dose"] == {"joy": 2.0}
