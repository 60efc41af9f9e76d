"""A training that begins from another model has its words and weights, and goes on from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from emotone.data import synthetic
from emotone.data.vocab import Vocabulary
from emotone.errors import CheckpointError, ModelMissing
from emotone.recurrent.config import Data, Sizes
from emotone.recurrent.folder import start_from
from emotone.systems import ecm
from emotone.training import Training

SIZES = Sizes(embedding=12, encoder_hidden=8, hidden=16, dropout=0.0, blank=0.0)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[ecm.Config, Path]:
    """A config, and the folder that a few steps with it wrote."""
    pool = tmp_path_factory.mktemp("pool")
    synthetic.write(pool, 300)
    data = Data(pool / "train.jsonl", pool / "dev.jsonl", lang="en", taxonomy="ekman")
    how = Training(epochs=1, max_steps=6, batch=32, patience=0, device="cpu", threads=1)
    parts = ecm.Parts(width=8, memory=8, words=pool / "ememory.json")
    config = ecm.Config(data=data, sizes=SIZES, parts=parts, training=how)
    return config, ecm.train(config, tmp_path_factory.mktemp("runs") / "first")


def test_words_and_weights_are_those_of_the_start(first: tuple[ecm.Config, Path], tmp_path: Path):
    config, start = first
    data = replace(config.data, limit=40)  # fewer words, were they taken from the pairs
    slow = replace(config.training, lr=1e-12, max_steps=1)
    out = ecm.train(replace(config, start=start, data=data, training=slow), tmp_path / "second")
    assert Vocabulary.load(out / "vocab.json") == Vocabulary.load(start / "vocab.json")
    before, after = (load_file(f / "weights.safetensors") for f in (start, out))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-8, msg=name)


def test_a_part_that_the_start_lacks_begins_at_random(
    first: tuple[ecm.Config, Path], tmp_path: Path
):
    _, start = first
    values = load_file(start / "weights.safetensors")
    whole = len(values)
    folder = tmp_path / "plain"
    folder.mkdir()
    kept = {n: v for n, v in values.items() if not n.startswith(("embedding", "internal"))}
    save_file(kept, folder / "weights.safetensors")
    network = ecm.load(str(start), device="cpu").network
    assert start_from(network, folder) == len(kept) < whole  # pyright: ignore[reportArgumentType]


def test_a_start_that_cannot_be_is_one_sentence(first: tuple[ecm.Config, Path], tmp_path: Path):
    config, start = first
    with pytest.raises(ModelMissing, match=r"holds no weights\.safetensors; name the folder"):
        ecm.train(replace(config, start=tmp_path), tmp_path / "out")
    network = ecm.load(str(start), device="cpu").network
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="is damaged"):
        start_from(network, tmp_path)  # pyright: ignore[reportArgumentType]
    save_file({"other": torch.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"nothing in .* fits this network"):
        start_from(network, tmp_path)  # pyright: ignore[reportArgumentType]
