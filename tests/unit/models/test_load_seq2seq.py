"""Encoder-decoder models are loaded as causal ones are: by the same errors, safetensors only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emotone.errors import CheckpointError, ModelMissing, UnknownName, Unsupported
from emotone.models import locate
from emotone.models.load import load_causal_lm, load_seq2seq_lm
from emotone.models.tiny import tiny_seq2seq
from unit.models import toys as toybox


def save_t5(folder: Path) -> Path:
    made = tiny_seq2seq()
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def test_a_saved_t5_is_ready_to_answer(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture, offline: list[str]
) -> None:
    folder = save_t5(tmp_path / "mine")
    capfd.readouterr()
    loaded = load_seq2seq_lm(str(folder), "cpu")
    assert capfd.readouterr() == ("", "")
    assert offline == []
    assert (loaded.name, loaded.path, loaded.device) == ("mine", str(folder), "cpu")
    assert loaded.revision == locate(folder).revision
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert not loaded.model.training
    assert loaded.tokenizer.padding_side == "right"
    assert loaded.model.name_or_path == loaded.tokenizer.name_or_path == "mine"
    ids = loaded.tokenizer("hello", return_tensors="pt").input_ids
    assert ids[0, -1] == loaded.tokenizer.eos_token_id
    with torch.no_grad():
        said = [m(input_ids=ids, labels=ids).loss for m in (loaded.model, tiny_seq2seq().model)]
    assert torch.equal(*said)


def test_weights_in_bfloat16_are_computed_in_float32(home: Path, tmp_path: Path) -> None:
    save_t5(tmp_path)
    tiny_seq2seq().model.to(torch.bfloat16).save_pretrained(tmp_path)
    assert load_seq2seq_lm(tmp_path, "cpu").model.dtype == torch.float32


def test_each_kind_refuses_the_other(home: Path, tmp_path: Path) -> None:
    llama = toybox.save_llama(tmp_path / "llama")
    with pytest.raises(Unsupported, match="is a LlamaForCausalLM, which has no encoder and dec"):
        load_seq2seq_lm(llama, "cpu")
    with pytest.raises(Unsupported, match="is a T5ForConditionalGeneration, which writes no text"):
        load_causal_lm(save_t5(tmp_path / "t5"), "cpu")
    with pytest.raises(Unsupported, match="model 'toy' has no encoder and decoder"):
        load_seq2seq_lm("toy", "cpu")


def test_what_is_wrong_is_told_as_for_causal_models(
    home: Path, tmp_path: Path, offline: list[str]
) -> None:
    folder = save_t5(tmp_path / "mine")
    with pytest.raises(UnknownName, match="unknown device 'gpu'"):
        load_seq2seq_lm(folder, "gpu")
    with pytest.raises(UnknownName, match="unknown model 'nothing'"):
        load_seq2seq_lm("nothing", "cpu")
    with pytest.raises(ModelMissing, match="is not a folder and not in the cache"):
        load_seq2seq_lm("emotone-tests/no-such-model", "cpu", fetch=False)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"model 'mine' in .* cannot be loaded"):
        load_seq2seq_lm(folder, "cpu")
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="only pickled weights"):
        load_seq2seq_lm(folder, "cpu")
