"""Every exported file is read back by who it is for, and gives the logits of steering."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from emotone.engines.adapter import copy_companion, write_bias_adapter, write_embedding_adapter
from emotone.engines.bake import bake
from emotone.engines.carriers import BIASES, ENGINES, bias_of, check_shape
from emotone.engines.control_vector import write_control_vector
from emotone.engines.lens import lens_fields, write_lens
from emotone.engines.mood import MoodOf, OneMood, one_mood
from emotone.errors import DataError, MixError, SteeringError, UnknownName, Unsupported
from emotone.models import CausalLM
from emotone.models.tiny import byte_tokenizer, tiny_causal_lm
from emotone.steering.layers import Site, blocks
from emotone.steering.published import made_for, of_paper, read_published
from emotone.steering.tiny import tiny_vectors
from emotone.training.adapters import Adapters, add_adapters, save_adapters
from unit.steering.families import family, ids

MIX = "fear:20 + joy:60"
SITES: dict[str, Site] = {"attention": "attn_out", "mlp": "mlp_out"}


def lm_of(kind: str = "llama") -> CausalLM:
    return CausalLM(family(kind), byte_tokenizer(), kind, kind, None, "cpu")  # pyright: ignore


def mood_of(model: Any, mix: str | None = MIX, **card: object) -> OneMood:
    vectors = tiny_vectors(model)
    return one_mood(replace(vectors, card=replace(vectors.card, **card)), mix)  # pyright: ignore


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=ids(), use_cache=False).logits


def steered(model: Any, mood: OneMood) -> torch.Tensor:
    """What is asked; it must be far from plain, or equality says nothing."""
    plain = logits(model)
    with mood.moods.steer(model, mood.emotion or None):
        asked = logits(model)
    assert (asked - plain).abs().max() > 0.1
    return asked


@torch.no_grad()
def pushed(model: Any, rows: dict[int, torch.Tensor]) -> torch.Tensor:
    """Add rows to the outputs of blocks by plain hooks, as engines do it."""

    def hook(row: torch.Tensor) -> Any:
        return lambda _m, _a, out: (out[0] + row, *out[1:]) if isinstance(out, tuple) else out + row

    handles = [blocks(model)[i].register_forward_hook(hook(row)) for i, row in rows.items()]
    try:
        return logits(model)
    finally:
        for handle in handles:
            handle.remove()


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a.float() - b.float()).abs().max() < 1e-3)


# -- control vectors -----------------------------------------------------------------------------


def read_gguf(path: Path) -> tuple[dict[int, torch.Tensor], dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    rows = {int(t.name.split(".")[1]): torch.tensor(t.data.copy()) for t in reader.tensors}
    return rows, {name: f.contents() for name, f in reader.fields.items()}


def test_repeng_gets_every_block(tmp_path: Path):
    model = family("llama")
    mood = mood_of(model)
    write_control_vector(tmp_path / "joy.gguf", mood, reader="repeng", family="llama")
    rows, fields = read_gguf(tmp_path / "joy.gguf")
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.model_hint"] == "llama"
    assert fields["controlvector.layer_count"] == 3
    record = json.loads(fields["emotone.record"])
    assert record["fingerprint"] == mood.moods.card.fingerprint
    assert record["dose"] == pytest.approx(mood.doses)
    assert record["licence"] == fields["general.license"] == "unknown"
    assert same(pushed(model, rows), steered(model, mood))


def test_llama_cpp_begins_with_block_1(tmp_path: Path):
    model = family("llama")
    mood = mood_of(model)
    path = tmp_path / "joy.gguf"
    with pytest.raises(Unsupported, match=r"block 0 too, by \d+% .*--without-first"):
        write_control_vector(path, mood, reader="llama.cpp", family="llama")
    assert not path.exists()
    share = write_control_vector(path, mood, reader="llama.cpp", family="llama", without_first=True)
    rows, fields = read_gguf(path)
    assert set(rows) == {1, 2}
    assert json.loads(fields["emotone.record"])["without_first"] is True
    lengths = mood.displacement.norm(dim=-1)
    assert share == pytest.approx(float(lengths[0] / lengths.sum()))
    keep = torch.tensor([[0.0], [1.0], [1.0]])
    directions = {label: row * keep for label, row in mood.moods.directions.items()}
    later = replace(mood.moods, directions=directions)
    moved = one_mood(later, mood.emotion)
    assert write_control_vector(path, moved, reader="llama.cpp", family="llama") == 0
    assert same(pushed(model, read_gguf(path)[0]), steered(model, moved))


def test_a_control_vector_comes_back_by_import(tmp_path: Path):
    lm = lm_of()
    mood = mood_of(lm.model)
    write_control_vector(tmp_path / "happy.gguf", mood, reader="repeng", family="llama")
    vectors = of_paper(lm, read_published([tmp_path / "happy.gguf"], depth=3), site="resid",
                       positions="all")  # fmt: skip
    assert made_for([tmp_path / "happy.gguf"]) == ("resid", "all")
    with vectors.steer(lm.model, raw_scale={"joy": 1.0}):
        back = logits(lm.model)
    assert same(back, steered(lm.model, mood))


# -- vllm-lens -----------------------------------------------------------------------------------


def test_vllm_lens_reads_the_vectors_by_its_own_rule(tmp_path: Path):
    model = family("qwen2")
    mood = mood_of(model)
    write_lens(tmp_path / "joy.json", mood)
    body = json.loads((tmp_path / "joy.json").read_text(encoding="utf-8"))
    assert body["emotone"]["emotion"] == MIX
    assert {k: v for k, v in body.items() if k != "emotone"} == lens_fields(mood)
    (vector,) = json.loads(body["vllm_xargs"]["apply_steering_vectors"])
    packed = vector["activations"]
    assert "compression" not in packed  # then its reader takes the bytes as they are
    values = torch.frombuffer(bytearray(base64.b64decode(packed["data"])), dtype=torch.float32)
    rows = values.reshape(packed["shape"])
    assert len(rows) == len(vector["layer_indices"])
    assert (vector["scale"], vector["norm_match"]) == (1.0, False)
    given = dict(zip(vector["layer_indices"], rows, strict=True))
    assert same(pushed(model, given), steered(model, mood))


# -- what acts on a part of the text, or inside of a block -----------------------------------------


@pytest.mark.parametrize("card", [{"site": "attn_out"}, {"site": "mlp_out"}, {"positions": "last"}])
def test_what_a_vector_cannot_carry_is_refused(tmp_path: Path, card: dict[str, str]):
    mood = mood_of(family("llama"), **card)
    reason = "acts on all positions" if "positions" in card else f"act at {card.get('site')}"
    with pytest.raises(Unsupported, match=reason):
        write_control_vector(tmp_path / "a.gguf", mood, reader="repeng", family="llama")
    with pytest.raises(Unsupported, match=reason):
        lens_fields(mood)
    assert not list(tmp_path.iterdir())


def test_no_mood_is_no_export(tmp_path: Path):
    mood = mood_of(family("llama"), None)
    with pytest.raises(Unsupported, match="add --emotion"):
        lens_fields(mood)
    with pytest.raises(Unsupported, match="add --emotion"):
        bake(lm_of(), mood_of(family("llama"), None), "vllm", tmp_path / "a")
    with pytest.raises(Unsupported, match="have no adapters; add --emotion"):
        copy_companion(mood, "", tmp_path / "a")


def test_moods_are_read_as_elsewhere():
    vectors = tiny_vectors(family("llama"))
    with pytest.raises(MixError, match="not both"):
        one_mood(vectors, "joy", {"joy": 1})
    with pytest.raises(UnknownName, match="happiness"):
        one_mood(vectors, raw={"happiness": 1})
    assert one_mood(vectors, raw={"joy": 0.5}).doses == {"joy": 0.5}
    with pytest.raises(Unsupported, match="3 blocks of width 32, and the model has 2"):
        check_shape(one_mood(vectors, "joy"), tiny_causal_lm(blocks=2, width=16).model.config)


# -- bake ----------------------------------------------------------------------------------------

BAKED = [
    *((kind, SITES[part]) for kind, part in BIASES),
    *((kind, "resid") for kind in ("llama", "granite", "smollm3", "gpt2", "gpt_neox", "phi")),
]


@pytest.mark.parametrize(("kind", "site"), BAKED)
def test_a_baked_checkpoint_is_read_by_transformers(tmp_path: Path, kind: str, site: Site):
    lm = lm_of(kind)
    mood = mood_of(lm.model, site=site)
    asked = steered(lm.model, mood)
    bake(lm, mood, "transformers", tmp_path / "baked")
    loaded, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "baked", output_loading_info=True, attn_implementation="eager"
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert same(logits(loaded.eval()), asked)
    record = json.loads((tmp_path / "baked" / "emotone.json").read_text(encoding="utf-8"))
    assert (record["emotion"], record["engine"]) == (MIX, "transformers")
    assert record["fingerprint"] == mood.moods.card.fingerprint


@pytest.mark.parametrize(
    ("kind", "site", "engine", "reason"),
    [
        ("qwen2", "resid", "transformers", "a qwen2 model has no bias at the end of its mlp"),
        ("mistral", "attn_out", "vllm", "a mistral model has no bias"),
        ("llama", "resid", "sglang", "builds down_proj without one .* transformers, vllm"),
        ("qwen3", "attn_out", "vllm", "builds o_proj without one"),
        ("granite", "attn_out", "vllm", "nobody has looked"),
    ],
)
def test_a_bias_that_is_dropped_is_refused(
    tmp_path: Path, kind: str, site: Site, engine: str, reason: str
):
    lm = lm_of(kind)
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    with pytest.raises(Unsupported, match=reason):
        bake(lm, mood_of(lm.model, site=site), engine, tmp_path / "a")
    assert not list(tmp_path.iterdir())
    assert set(lm.model.state_dict()) == set(before)


def test_bake_refuses_what_it_cannot_do(tmp_path: Path):
    lm = lm_of("gemma3_text")
    with pytest.raises(Unsupported, match="a gemma3_text model has no bias at the end of its mlp"):
        bake(lm, mood_of(lm.model), "transformers", tmp_path / "a")
    with pytest.raises(UnknownName, match="tgi"):
        bake(lm, mood_of(lm.model), "tgi", tmp_path / "a")
    with pytest.raises(Unsupported, match="made for 'last'"):
        bake(lm_of(), mood_of(family("llama"), positions="last"), "vllm", tmp_path / "a")
    with pytest.raises(SteeringError, match="another one"):
        bake(lm_of(), mood_of(family("llama", seed=1)), "vllm", tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="is there already"):
        bake(lm_of(), mood_of(family("llama")), "vllm", tmp_path / "b")


def test_every_row_of_the_table_names_known_engines():
    for (kind, part), row in BIASES.items():
        assert row.engines <= set(ENGINES)
        assert "transformers" in row.engines
        assert not row.engines & set(row.dropped)
        assert bias_of(kind, SITES[part], "transformers") is row


def test_a_checkpoint_keeps_the_type_of_its_weights(tmp_path: Path):
    lm = lm_of()
    source = tmp_path / "source"
    lm.model.to(torch.bfloat16).save_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    lm = replace(lm, model=model, path=str(source))
    mood = mood_of(lm.model, site="attn_out")
    asked = steered(lm.model, mood)
    bake(lm, mood, "vllm", tmp_path / "baked")
    with safe_open(tmp_path / "baked" / "model.safetensors", "pt") as tensors:
        assert tensors.get_tensor("model.embed_tokens.weight").dtype == torch.bfloat16
        assert tensors.get_tensor("model.layers.0.self_attn.o_proj.bias").dtype == torch.float32
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "baked", dtype=torch.float32)
    assert same(logits(loaded), asked)


# -- adapters ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:`lora_bias=True`")  # it cannot be merged, and need not be
@pytest.mark.parametrize(
    ("kind", "site"),
    [("llama", "resid"), ("qwen2", "attn_out"), ("granite", "resid"), ("gpt2", "resid"),
     ("gemma3_text", "attn_out"), ("phi", "mlp_out")],
)  # fmt: skip
def test_peft_reads_a_mood_as_biases(tmp_path: Path, kind: str, site: Site):
    model = family(kind)
    mood = mood_of(model, site=site)
    asked = steered(model, mood)
    write_bias_adapter(model, mood, "transformers", tmp_path / "mood")
    loaded = PeftModel.from_pretrained(family(kind), str(tmp_path / "mood"))
    assert same(logits(loaded.eval()), asked)
    with loaded.disable_adapter():
        assert same(logits(loaded), logits(family(kind)))
    record = json.loads((tmp_path / "mood" / "emotone.json").read_text(encoding="utf-8"))
    assert record["dose"] == pytest.approx(mood.doses)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llamacpp"])
def test_engines_that_drop_the_biases_get_none(tmp_path: Path, engine: str):
    model = family("llama")
    with pytest.raises(Unsupported, match=f"{engine} takes no bias .*--embedding"):
        write_bias_adapter(model, mood_of(model), engine, tmp_path / "a")
    with pytest.raises(Unsupported, match="not exact at site resid of a gemma2 model"):
        gemma = family("gemma2")
        write_bias_adapter(gemma, mood_of(gemma), "transformers", tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
def test_a_vector_of_the_embedding_is_an_adapter_of_rank_1(tmp_path: Path, kind: str):
    push = torch.randn(32, generator=torch.Generator().manual_seed(3))
    model = family(kind)
    handle = model.get_input_embeddings().register_forward_hook(  # pyright: ignore
        lambda _module, _args, out: out + push
    )
    asked = logits(model)
    handle.remove()
    assert not same(asked, logits(model))
    write_embedding_adapter(model, push, tmp_path / "mood", {"model": kind})
    loaded = PeftModel.from_pretrained(model, str(tmp_path / "mood")).eval()
    assert same(logits(loaded), asked)
    assert json.loads((tmp_path / "mood/adapter_config.json").read_text())["r"] == 1


def test_embeddings_that_are_scaled_are_refused(tmp_path: Path):
    for kind in ("gemma2", "gemma3_text"):
        with pytest.raises(Unsupported, match=f"a {kind} model scales its embeddings"):
            write_embedding_adapter(family(kind), torch.ones(32), tmp_path / "a", {"model": kind})
    with pytest.raises(DataError, match=r"shape \(31,\)"):
        write_embedding_adapter(family("llama"), torch.ones(31), tmp_path / "a", {"model": "a"})


def test_a_companion_gives_its_adapters_and_no_mood(tmp_path: Path):
    model = family("llama")
    mood = mood_of(model, None, adapters="abc", positions="last")
    trained = family("llama")
    add_adapters(trained, Adapters(rank=2), seed=1)
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(1))
    save_adapters(trained, tmp_path / "companion", base="tiny")
    copy_companion(mood, str(tmp_path / "companion"), tmp_path / "out")
    loaded = PeftModel.from_pretrained(model, str(tmp_path / "out")).eval()
    assert same(logits(loaded), logits(trained))
    moody = MoodOf(mood.moods, "joy", {"joy": 1.0})
    with pytest.raises(Unsupported, match="carry no mood"):
        copy_companion(moody, str(tmp_path / "companion"), tmp_path / "b")
