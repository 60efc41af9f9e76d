"""Model folders: what was saved answers alike, and what is damaged is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from emotone import config as configs
from emotone.errors import CheckpointError, ModelMissing, UnknownName, Unsupported
from emotone.recurrent.config import Replies
from emotone.recurrent.folder import LARGE, pack, pack_folder, save_folder, unpack
from emotone.recurrent.responder import Recurrent, tiny_corpus, tiny_sizes
from emotone.systems import a_seq2seq, ecm, emo_seq
from emotone.types import Decoding, Dialogue

SYSTEMS: dict[str, tuple[Any, Any, tuple[str, str | None]]] = {
    "a_seq2seq": (a_seq2seq, a_seq2seq.Config(sizes=tiny_sizes()), ("en", None)),
    "ecm": (
        ecm,
        ecm.Config(sizes=tiny_sizes(), parts=ecm.Parts(width=8, memory=8)),
        ("zh", "nlpcc"),
    ),
    "emo_seq": (emo_seq, emo_seq.Config(sizes=tiny_sizes()), ("en", "ekman")),
    "emo_seq, untied": (
        emo_seq,
        emo_seq.Config(sizes=replace(tiny_sizes(), tied=False)),
        ("en", "ekman"),
    ),
}
SHORT = Decoding(max_tokens=10, seed=4)
POSTS = [Dialogue.of(text) for text in ("i am happy .", "good", "我 很 开心 。")]


def saved(name: str, out: Path) -> Recurrent:
    """Write a model folder of random weights; return the responder it came from."""
    module, config, words = SYSTEMS[name]
    corpus = tiny_corpus(*words)
    system = name.partition(",")[0]
    made = Recurrent.of(system, out.name, module.build, config, corpus)
    save_folder(out, system, made.network, config, corpus, {"pairs": 3})  # pyright: ignore
    return made


def answers(responder: Recurrent) -> list[Any]:
    greedy = replace(SHORT, strategy="greedy")
    return [
        [(r.text, r.logprob, r.tokens) for r in responder.reply(POSTS, [None] * 3, decoding=how)]
        for how in (SHORT, greedy)
    ]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_loaded_model_answers_as_the_saved_one(name: str, tmp_path: Path):
    module, config, _ = SYSTEMS[name]
    before = saved(name, tmp_path / "m")
    after = module.load(str(tmp_path / "m"), device="cpu")
    assert answers(after) == answers(before)
    assert (after.lang, after.capabilities) == (before.lang, before.capabilities)
    assert configs.load(module.Config, tmp_path / "m" / "config.toml") == config
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text("utf-8"))
    assert (manifest["system"], manifest["model"], manifest["pairs"]) == (before._system, "m", 3)


@pytest.mark.parametrize("name", SYSTEMS)
def test_tables_that_are_one_are_stored_once(name: str, tmp_path: Path):
    before = saved(name, tmp_path / "m")
    stored = load_file(tmp_path / "m" / "weights.safetensors")
    numbers = sum(v.numel() for v in stored.values())
    kept: Any = before.network
    buffers = sum(b.numel() for b in kept.buffers() if b.dtype == torch.float32)
    assert numbers == sum(p.numel() for p in kept.parameters()) + buffers


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_packed_model_is_a_quarter_and_says_nearly_the_same(name: str, tmp_path: Path):
    module, *_ = SYSTEMS[name]
    saved(name, tmp_path / "m")
    path = tmp_path / "m" / "weights.safetensors"
    plain = load_file(path)
    save_file(pack(plain, small=True), path)
    after = module.load(str(tmp_path / "m"), device="cpu")
    for key, value in after.network.state_dict().items():
        if key in plain:
            bound = 1e-3 if plain[key].numel() < LARGE else float(plain[key].abs().max()) / 254
            assert (value - plain[key]).abs().max() <= bound + 1e-6, key


def test_what_the_caller_says_of_replies_counts_and_nothing_else(tmp_path: Path):
    saved("ecm", tmp_path / "m")
    asked = ecm.Config(replies=Replies(candidates=2), parts=ecm.Parts(width=99))
    loaded = ecm.load(str(tmp_path / "m"), device="cpu", config=asked)
    (reply,) = loaded.reply(POSTS[:1], [None], decoding=SHORT)
    assert reply.applied["candidates"] == 2


# -- packing --------------------------------------------------------------------------------------


@given(
    rows=st.integers(1, 6),
    wide=st.integers(700, 4200),
    size=st.floats(1e-6, 1e4),
    seed=st.integers(0),
)
@settings(deadline=None, max_examples=30)
def test_an_int8_number_is_within_half_a_step_of_its_row(rows: int, wide: int, size, seed):
    made = size * torch.randn(rows, wide, generator=torch.Generator().manual_seed(seed % 2**32))
    made[0] = 0.0  # a row of zeros stays one
    packed = pack({"w": made}, small=True)
    back = unpack(packed)["w"]
    assert back.dtype == torch.float32
    if made.numel() < LARGE:
        half = made.half()
        assert torch.equal(back, half.float())
        return
    assert packed["w.int8"].dtype == torch.int8
    step = made.abs().amax(1, keepdim=True) / 127
    assert ((back - made).abs() <= step / 2 * (1 + 1e-4)).all()
    assert not back[0].any()


def test_what_is_not_packed_comes_back_bit_for_bit():
    tensors = {"w": torch.randn(80, 80), "b": torch.randn(5), "n": torch.arange(3)}
    back = unpack(pack(tensors, small=False))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[k], v) for k, v in tensors.items())


# -- damage ---------------------------------------------------------------------------------------


def load(folder: Path) -> Recurrent:
    return ecm.load(str(folder), device="cpu")


def edit(path: Path, **changes: Any) -> None:
    found = json.loads(path.read_text("utf-8"))
    for key, value in changes.items():
        if value is None:
            del found[key]
        else:
            found[key] = value
    path.write_text(json.dumps(found), "utf-8")


@pytest.mark.parametrize("file", ["weights.safetensors", "vocab.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "gone"])
def test_a_damaged_file_is_named(file: str, damage: str, tmp_path: Path):
    saved("ecm", tmp_path / "m")
    path = tmp_path / "m" / file
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "half": data[: len(data) // 2], "noise": b"\xff\x00" * 9}[damage]
        )
    with pytest.raises(CheckpointError, match=file) as caught:
        load(tmp_path / "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sizes]\nhiden = 3\n", "unknown key 'hiden'"),
        ("[sizes", "config.toml"),
        ("\xff", "cannot read"),
    ],
)
def test_a_config_that_cannot_be_read_is_said(text: str, said: str, tmp_path: Path):
    saved("ecm", tmp_path / "m")
    (tmp_path / "m" / "config.toml").write_text(text, "latin-1")
    with pytest.raises(CheckpointError, match=said) as caught:
        load(tmp_path / "m")
    assert str(tmp_path / "m") in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"taxonomy": "moods"},
        {"taxonomy": 3},
        {"lang": "fr"},
        {"lang": None},
        {"emotion_words": [["nobody"]] * 6},
        {"emotion_words": [["开心"]]},
        {"emotion_words": 5},
        {"emotion_words": [[5]] * 6},
    ],
)
def test_a_manifest_of_nonsense_is_named(changes: dict[str, Any], tmp_path: Path):
    saved("ecm", tmp_path / "m")
    edit(tmp_path / "m" / "manifest.json", **changes)
    with pytest.raises(CheckpointError, match="m"):
        load(tmp_path / "m")


def test_an_emotional_model_without_emotions_is_damaged(tmp_path: Path):
    saved("ecm", tmp_path / "m")
    path = tmp_path / "m" / "manifest.json"
    path.write_text(path.read_text("utf-8").replace('"nlpcc"', "null"), "utf-8")
    with pytest.raises(CheckpointError, match="m"):
        load(tmp_path / "m")


def test_weights_of_other_sizes_are_refused(tmp_path: Path):
    saved("ecm", tmp_path / "m")
    path = tmp_path / "m" / "config.toml"
    config = configs.load(ecm.Config, path)
    path.write_text(configs.dump(replace(config, sizes=replace(config.sizes, hidden=16))), "utf-8")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors does not fit its config"):
        load(tmp_path / "m")
    stored = load_file(tmp_path / "m" / "weights.safetensors")
    stored.pop("core.bias")
    path.write_text(configs.dump(config), "utf-8")
    save_file(stored, tmp_path / "m" / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"'core\.bias' differs"):
        load(tmp_path / "m")


def test_scales_that_are_missing_or_wrong_are_damage(tmp_path: Path):
    saved("ecm", tmp_path / "m")
    path = tmp_path / "m" / "weights.safetensors"
    plain = load_file(path)
    name = "core.source.weight"
    for scale in (None, torch.ones(2)):
        stored = {k: v for k, v in plain.items() if k != name}
        stored[f"{name}.int8"] = torch.zeros_like(plain[name], dtype=torch.int8)
        if scale is not None:
            stored[f"{name}.scale"] = scale
        save_file(stored, path)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
            load(tmp_path / "m")


def test_a_folder_of_another_system_is_refused(tmp_path: Path):
    saved("emo_seq", tmp_path / "m")
    with pytest.raises(CheckpointError, match="is a model of 'emo_seq', not of ecm"):
        load(tmp_path / "m")


def test_a_folder_without_a_model_is_missing(tmp_path: Path):
    with pytest.raises(ModelMissing, match=r"a folder without config\.toml"):
        load(tmp_path)
    with pytest.raises(ModelMissing, match=r"there is no folder .*no-such-model"):
        load(tmp_path / "no-such-model")


@pytest.mark.parametrize("name", SYSTEMS)
def test_words_that_may_not_be_given_away_are_taken_out(name: str, tmp_path: Path):
    module, *_ = SYSTEMS[name]
    before = saved(name, tmp_path / "m")
    words = before._corpus.vocabulary.words
    gone = words[6]
    pack_folder(tmp_path / "m", tmp_path / "small", words=set(words) - {gone})
    after = module.load(str(tmp_path / "small"), device="cpu")
    left = after._corpus.vocabulary.words
    assert left == tuple(w for w in words if w != gone)
    rows = before.network.core.source.weight[[i for i, w in enumerate(words) if w != gone]]
    torch.testing.assert_close(after.network.core.source.weight, rows, rtol=0, atol=0.05)
    assert len(after.network.core.bias) == len(left)
    assert after.reply(POSTS, [None] * 3, decoding=SHORT)[0].model == str(tmp_path / "small")
    assert json.loads((tmp_path / "small" / "manifest.json").read_text("utf-8"))["model"] == "small"


def test_a_device_that_is_not_here_is_one_sentence(tmp_path: Path):
    saved("ecm", tmp_path / "m")
    with pytest.raises(Unsupported, match="'cuda:99' is not on this machine"):
        ecm.load(str(tmp_path / "m"), device="cuda:99")
    with pytest.raises(UnknownName, match="unknown device 'gpu'"):
        ecm.load(str(tmp_path / "m"), device="gpu")
