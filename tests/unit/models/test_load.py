from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emotone import models
from emotone.errors import CheckpointError, ModelMissing, UnknownName, Unsupported
from emotone.models.template import PLAIN_STOP
from unit.models import toys as toybox


def test_tiny_llama_is_ready_to_answer(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture, offline: list[str]
) -> None:
    import torch

    folder = toybox.save_llama(tmp_path / "mine")
    capfd.readouterr()
    loaded = models.load_causal_lm(str(folder), "cpu")
    assert capfd.readouterr() == ("", "")
    assert offline == []
    assert (loaded.name, loaded.path, loaded.device) == ("mine", str(folder), "cpu")
    assert loaded.revision == models.locate(folder).revision
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert not loaded.model.training
    assert loaded.tokenizer.padding_side == "left"
    assert loaded.tokenizer.pad_token == "<pad>"
    assert loaded.stop == ()
    batch = loaded.tokenizer(["a", "abc"], padding=True, return_tensors="pt")
    assert batch.input_ids[0].tolist()[:2] == [0, 0]
    replies = loaded.model.generate(**batch, max_new_tokens=3, do_sample=False)
    assert replies.shape[0] == 2


def test_weights_in_bfloat16_are_computed_in_float32_on_a_cpu(home: Path, tmp_path: Path) -> None:
    import torch

    toybox.save_llama(tmp_path)
    toybox.tiny_llama().to(torch.bfloat16).save_pretrained(tmp_path)
    assert models.load_causal_lm(tmp_path, "cpu").model.dtype == torch.float32


def test_catalogue_model_carries_the_published_checksum(ready: Path) -> None:
    loaded = models.load_causal_lm("toy", "cpu", fetch=False)
    assert (loaded.name, loaded.revision) == ("toy", models.entry("toy").revision)


def test_missing_pad_token_becomes_the_end_token(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path, pad=False)
    loaded = models.load_causal_lm(folder, "cpu")
    assert loaded.tokenizer.pad_token == "</s>"
    assert loaded.model.config.pad_token_id == 2
    assert loaded.model.generation_config is not None
    assert loaded.model.generation_config.pad_token_id == 2


def test_plain_template_has_one_line_per_turn(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path, chat_template=None)
    loaded = models.load_causal_lm(folder, "cpu")
    assert loaded.stop == (PLAIN_STOP,) == ("\n",)
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "My dog\r\n\ndied. "},
        {"role": "assistant", "content": "Oh\nno."},
        {"role": "user", "content": "Yes."},
    ]
    text = loaded.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == ("Be kind.\n\nUser: My dog   died.\nAssistant: Oh no.\nUser: Yes.\nAssistant:")


def test_plain_template_begins_as_the_tokenizer_does(home: Path, tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    folder = toybox.save_llama(tmp_path, chat_template=None)
    tokenizer = toybox.byte_tokenizer(chat_template=None)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.save_pretrained(folder)
    loaded = models.load_causal_lm(folder, "cpu").tokenizer
    text = loaded.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert text == "<s>User: a\n"


def test_own_template_is_kept_and_its_hash_follows_it(home: Path, tmp_path: Path) -> None:
    loaded = models.load_causal_lm(toybox.save_llama(tmp_path), "cpu").tokenizer
    assert loaded.chat_template == toybox.CHATML
    first = models.chat_template_hash(loaded)
    assert len(first) == 16
    assert int(first, 16) >= 0
    loaded.chat_template += " "
    assert models.chat_template_hash(loaded) != first


def test_what_is_saved_later_names_no_folder(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path / "secret-place")
    loaded = models.load_causal_lm(folder, "cpu")
    assert loaded.model.name_or_path == loaded.tokenizer.name_or_path == "secret-place"
    loaded.model.save_pretrained(tmp_path / "out")
    loaded.tokenizer.save_pretrained(tmp_path / "out")
    for path in (tmp_path / "out").glob("*.json"):
        assert str(tmp_path) not in path.read_text()


def test_lacking_weights_are_refused(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path)
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(CheckpointError, match=r"lack model\.layers\.2\..* and 8 more"):
        models.load_causal_lm(folder, "cpu")


def test_weights_cut_at_the_end_are_refused(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path / "mine")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model 'mine' in .* cannot be loaded"):
        models.load_causal_lm(folder, "cpu")


def test_damaged_config_is_refused(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path / "mine")
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"model 'mine' in .* cannot be loaded"):
        models.load_causal_lm(folder, "cpu")


def test_pickles_beside_a_config_are_refused(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="only pickled weights"):
        models.load_causal_lm(folder, "cpu")


def test_code_of_a_model_is_never_run(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path / "mine")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass C: pass\n")
    path = folder / "config.json"
    values = json.loads(path.read_text()) | {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"},
    }
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        models.load_causal_lm(folder, "cpu")
    assert not (tmp_path / "sprung").exists()


def test_encoder_is_no_language_model(home: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="'toy-encoder' writes no text; use one of toy, toy-gguf"):
        models.load_causal_lm("toy-encoder")
    assert not home.exists()
    with pytest.raises(Unsupported, match="is a BertModel, which writes no text"):
        models.load_causal_lm(toybox.save_encoder(tmp_path), "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:", ""])
def test_unknown_device_is_told_before_anything_is_fetched(home: Path, device: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown device {device!r}"):
        models.load_causal_lm("toy", device)
    assert not home.exists()


@pytest.mark.parametrize("device", ["cuda:99", "mps:99", "cpu:99"])
def test_absent_device_is_told(ready: Path, device: str) -> None:
    with pytest.raises(Unsupported, match=f"{device!r} is not on this machine"):
        models.load_causal_lm("toy", device)


def test_hub_model_without_network_is_one_sentence(home: Path, offline: list[str]) -> None:
    name = "emotone-tests/no-such-model"
    with pytest.raises(ModelMissing, match=f"{name!r} is not a folder and not in the cache"):
        models.load_causal_lm(name, "cpu", fetch=False)
    with pytest.raises(
        ModelMissing, match=f"{name!r} is not a folder here and the model hub cannot"
    ):
        models.load_causal_lm(name, "cpu")
    assert offline == []  # the suite runs with HF_HUB_OFFLINE=1, which emotone has to respect


def test_settings_of_transformers_are_restored(home: Path, ready: Path) -> None:
    from transformers.utils import logging as hf

    level = hf.get_verbosity()
    hf.set_verbosity(logging.INFO)
    hf.enable_progress_bar()
    try:
        models.load_causal_lm("toy", "cpu")
        assert hf.get_verbosity() == logging.INFO
        assert hf.is_progress_bar_enabled()
    finally:
        hf.set_verbosity(level)


def test_the_room_is_light() -> None:
    heavy = [
        "torch",
        "transformers",
        "numpy",
        "safetensors",
        "gguf",
        "huggingface_hub",
        "rich",
        "typer",
    ]
    code = (
        "import sys, emotone.models as m; m.known(); m.installed();"
        f"print([n for n in {heavy} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": toybox.PYTHONPATH},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def from_hub(tmp_path_factory: pytest.TempPathFactory) -> list[list[str | None]]:
    """What a process gets from a hub with a whole model and one of pickles, one name after another.

    The last two are asked for when the hub is gone.
    """
    place = tmp_path_factory.mktemp("hub")
    for name in ("toy", "pickled"):
        toybox.save_llama(place / "org" / name)
    pickled = place / "org" / "pickled"
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    environment = {
        **os.environ,
        "PYTHONPATH": toybox.PYTHONPATH,
        "HF_HOME": str(place / "hf"),
        "EMOTONE_HOME": str(place / "home"),
    }
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
        environment.pop(name, None)
    names = ("org/absent", "org/pickled", "org/toy", "-", "org/toy", "org/absent")
    done = subprocess.run(
        [sys.executable, "-m", "unit.models.hub", str(place / "org"), *names],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_hub_model_is_fetched_once_and_then_comes_from_the_cache(from_hub) -> None:
    absent, _, first, second, unreachable = from_hub
    commit = "c0ffee" + "0" * 34
    assert absent[0] == unreachable[0] == "ModelMissing"
    assert str(absent[1]).startswith("'org/absent' is not a folder here and the model hub does not")
    assert first == second == ["org/toy", commit, None]
    assert "the model hub cannot be reached" in str(unreachable[1])


def test_hub_model_with_pickles_only_is_refused(from_hub) -> None:
    kind, message = from_hub[1]
    assert kind == "CheckpointError"
    assert "'org/pickled' on the hub has no safetensors" in str(message)
