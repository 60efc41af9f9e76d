"""No damaged byte of a checkpoint becomes a wrong weight."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from emotone.errors import CheckpointError, RunError
from emotone.training import checkpoint
from unit.training import toy

FILES = ["model.safetensors", "optimizer.safetensors", "best.safetensors", "state.json"]
FILES += ["complete.json"]
SIX = {"epochs": 6, "patience": 0, "keep": 2}
SEVEN = {**SIX, "epochs": 7}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of 60 steps whose two checkpoints both hold weights of an earlier evaluation."""
    out = tmp_path_factory.mktemp("run")
    toy.train(out, toy.spoiling(), **SIX)
    for place in checkpoint.steps(out / "checkpoints"):
        assert sorted(p.name for p in place.iterdir()) == sorted(FILES)
    return out


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def flip(path: Path, at: int) -> None:
    blob = bytearray(path.read_bytes())
    blob[at] ^= 0x20
    path.write_bytes(blob)


def truncate(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


def test_the_newest_whole_one_is_taken(copy):
    newest, older = checkpoint.steps(copy / "checkpoints")
    said: list[str] = []
    assert checkpoint.newest(copy / "checkpoints", said.append) == newest
    flip(newest / "model.safetensors", -1)
    assert checkpoint.newest(copy / "checkpoints", said.append) == older
    assert len(said) == 1
    assert str(newest / "model.safetensors") in said[0]


def same_marker(path: Path, whole: bytes) -> bool:
    """Whether a harmed marker still says the same, such as with another blank."""
    try:
        return path.name == checkpoint.MARKER and json.loads(path.read_bytes()) == json.loads(whole)
    except ValueError:
        return False


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", [flip, truncate, None])
def test_every_harm_to_every_file_is_found(copy, file, harm):
    newest, _ = checkpoint.steps(copy / "checkpoints")
    if harm is None:
        (newest / file).unlink()
        with pytest.raises(CheckpointError, match=file):
            checkpoint.verify(newest)
        return
    whole = (newest / file).read_bytes()
    chance = random.Random(file)
    for at in [0, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(40))]:
        harm(newest / file, at)
        if same_marker(newest / file, whole):
            checkpoint.verify(newest)
        else:
            with pytest.raises(CheckpointError) as error:
                checkpoint.verify(newest)
            assert str(newest) in str(error.value)
            assert "\n" not in str(error.value)
        (newest / file).write_bytes(whole)


def test_a_damaged_one_is_passed_over_and_the_run_ends_the_same(copy, tmp_path, capsys):
    whole, _ = toy.train(tmp_path / "whole", toy.spoiling(), **SEVEN)
    newest, older = checkpoint.steps(copy / "checkpoints")
    flip(newest / "optimizer.safetensors", 200)
    again, _ = toy.train(copy, toy.spoiling(seed=9), **SEVEN)
    said = capsys.readouterr().err
    assert f"passed over a damaged checkpoint: {newest / 'optimizer.safetensors'}" in said
    assert f"going on from {older}" in said
    a, b = checkpoint.weights(whole), checkpoint.weights(again)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert [p.name for p in checkpoint.steps(copy / "checkpoints")] == [
        "step-00000070",
        "step-00000060",
    ]
    checkpoint.verify(newest)  # written anew


def test_a_damaged_one_that_was_named_is_an_error(copy):
    newest, _ = checkpoint.steps(copy / "checkpoints")
    truncate(newest / "state.json", 40)
    with pytest.raises(CheckpointError, match=r"state\.json is damaged"):
        toy.train(copy, toy.spoiling(), **SIX, resume=str(newest))


def test_with_every_one_damaged_nothing_begins_anew(copy):
    for place in checkpoint.steps(copy / "checkpoints"):
        (place / "complete.json").unlink()
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole"):
        toy.train(copy, toy.spoiling(), **SIX)


def test_what_a_killed_save_left_goes_with_the_next(copy):
    left = copy / "checkpoints" / ".step-00000070.123.part"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    toy.train(copy, toy.spoiling(), **SEVEN)
    assert not left.exists()
    assert not list((copy / "checkpoints").glob(".*.part"))


def save(folder: Path, step: int, keep: int = 2) -> Path:
    values = {"a": torch.full((2,), float(step))}
    return checkpoint.save(
        folder, step, model=values, optimizer={}, best=None, state={"step": step}, keep=keep
    )


def test_the_newest_stay_and_an_abandoned_future_goes(tmp_path):
    for step in (5, 10, 15):
        save(tmp_path, step)
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-00000015", "step-00000010"]
    assert checkpoint.read_tensors(save(tmp_path, 12), "model.safetensors")["a"][0] == 12
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-00000012", "step-00000010"]
    (tmp_path / "step-00000012" / "model.safetensors").write_bytes(b"")
    checkpoint.verify(save(tmp_path, 12))
    checkpoint.verify(save(tmp_path, 123456789))


def test_old_ones_go_only_after_the_new_one_is_there(tmp_path, monkeypatch):
    save(tmp_path, 5, keep=1)
    real = os.replace

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="No space left on device"):
        save(tmp_path, 10, keep=1)
    monkeypatch.setattr(os, "replace", real)
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-00000005"]
    assert not list(tmp_path.glob(".*.part"))
    checkpoint.verify(tmp_path / "step-00000005")


def test_weights_of_another_model_are_refused():
    values = checkpoint.weights(toy.Toy())
    with pytest.raises(CheckpointError, match="of another model"):
        checkpoint.put(checkpoint.tensors(toy.Toy(width=16)), values, "it")
    del values["scale"]
    with pytest.raises(CheckpointError, match="scale"):
        checkpoint.put(checkpoint.tensors(toy.Toy()), values, "it")


def test_tied_weights_are_written_once_and_stay_tied():
    one, other = toy.model(seed=1), toy.model(seed=2)
    values = checkpoint.weights(one)
    assert "output.weight" not in values
    checkpoint.put(checkpoint.tensors(other), values, "it")
    assert torch.equal(other.output.weight, one.embedding.weight)
    assert other.output.weight is other.embedding.weight
