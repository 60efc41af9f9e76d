"""Adapters: put in, saved as peft's own folder, loaded and folded in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from emotone.errors import CheckpointError, ConfigError, Unsupported
from emotone.models.tiny import tiny_causal_lm
from emotone.training.adapters import (
    CONFIG,
    WEIGHTS,
    Adapters,
    adapter_weights,
    add_adapters,
    fold_adapters,
    load_adapters,
    merge_adapters,
    save_adapters,
)

IDS = torch.tensor([[5, 6, 7, 8, 9]])
ROUNDING = 1e-5


def adapted(adapters: Adapters | None = None, *, moved: bool = True) -> Any:
    """A tiny model with adapters that were trained a little."""
    model = tiny_causal_lm().model
    add_adapters(model, adapters or Adapters(rank=3), seed=1)
    if moved:
        draw = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for p in adapter_weights(model).values():
                p += 0.1 * torch.randn(p.shape, generator=draw)
    return model


@torch.no_grad()
def logits(model: Any) -> Tensor:
    return model(input_ids=IDS).logits


def test_new_adapters_change_nothing_but_what_learns():
    plain = tiny_causal_lm().model
    model = adapted(moved=False)
    assert type(model) is type(plain)
    assert torch.equal(logits(model), logits(plain))
    learns = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learns == set(adapter_weights(model))
    assert len(learns) == 3 * 4 * 2
    assert not any("mlp" in n for n in learns)


@pytest.mark.parametrize("adapters", [Adapters(rank=3), Adapters(2, 8.0, ("q_proj",), top=2)])
def test_what_is_saved_loads_here_and_in_peft(tmp_path: Path, adapters: Adapters):
    from peft import PeftModel

    model = adapted(adapters)
    save_adapters(model, tmp_path / "a", base="smollm2")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted([CONFIG, WEIGHTS])
    mine = tiny_causal_lm().model
    load_adapters(mine, tmp_path / "a")
    assert torch.equal(logits(mine), logits(model))
    theirs = PeftModel.from_pretrained(tiny_causal_lm().model, str(tmp_path / "a"))
    assert torch.equal(logits(theirs), logits(model))
    assert not torch.allclose(logits(model), logits(tiny_causal_lm().model), atol=1e-2)


def test_a_folder_that_peft_wrote_loads_here(tmp_path: Path):
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = LoraConfig(r=2, target_modules=["v_proj"], init_lora_weights=False)
        theirs = get_peft_model(tiny_causal_lm().model, config)
    theirs.save_pretrained(tmp_path)
    mine = tiny_causal_lm().model
    load_adapters(mine, tmp_path)
    assert torch.equal(logits(mine), logits(theirs.eval()))


def test_the_saved_config_names_the_base_and_says_the_same_each_time(tmp_path: Path):
    for name in ("a", "b"):
        save_adapters(adapted(), tmp_path / name, base="smollm2")
    first, second = ((tmp_path / n / CONFIG).read_text() for n in ("a", "b"))
    assert first == second
    said = json.loads(first)
    assert said["base_model_name_or_path"] == "smollm2"
    assert said["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert str(tmp_path) not in first


@pytest.mark.parametrize("trainable", [True, False])
def test_loaded_adapters_learn_only_if_asked(tmp_path: Path, trainable: bool):
    save_adapters(adapted(), tmp_path, base="smollm2")
    model = tiny_causal_lm().model
    load_adapters(model, tmp_path, trainable=trainable)
    learns = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learns == (set(adapter_weights(model)) if trainable else set())


def test_merged_the_model_is_plain_again_and_says_the_same():
    from emotone.steering.fingerprint import fingerprint
    from emotone.steering.layers import blocks, fold_target

    plain, model = tiny_causal_lm().model, adapted()
    assert fingerprint(model) == fingerprint(plain)
    said = logits(model)
    merge_adapters(model)
    assert (logits(model) - said).abs().max() < ROUNDING * float(said.abs().max())
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    assert not hasattr(model, "peft_config")
    assert fingerprint(model) == fingerprint(plain)
    assert fold_target(model, blocks(model)[0], "attn_out") is not None
    add_adapters(model, Adapters())  # and it can be adapted again


def test_vectors_fold_into_an_adapted_model_as_before():
    from emotone.steering.layers import blocks, fold_target

    model = adapted()
    assert fold_target(model, blocks(model)[0], "resid") is not None


def test_a_second_set_is_refused(tmp_path: Path):
    model = adapted()
    save_adapters(model, tmp_path, base="smollm2")
    with pytest.raises(Unsupported, match="has adapters already; merge them first"):
        add_adapters(model, Adapters())
    with pytest.raises(Unsupported, match="has adapters already"):
        load_adapters(model, tmp_path)


def test_maps_that_are_not_there_are_named():
    with pytest.raises(Unsupported, match="do not fit the model's maps nowhere"):
        add_adapters(tiny_causal_lm().model, Adapters(targets=("nowhere",)))
    with pytest.raises(ConfigError, match="the model has 3 blocks, not 4"):
        add_adapters(tiny_causal_lm().model, Adapters(top=4))


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_folder_that_lacks_a_file_or_holds_half_of_it_is_refused(tmp_path: Path, name: str):
    save_adapters(adapted(), tmp_path, base="smollm2")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cannot be read \(.*copy or save them again"):
        load_adapters(tiny_causal_lm().model, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}"):
        load_adapters(tiny_causal_lm().model, tmp_path)


@pytest.mark.parametrize("other", [{"width": 64}, {"blocks": 2}])
def test_adapters_of_another_model_are_refused(tmp_path: Path, other: dict[str, int]):
    save_adapters(adapted(), tmp_path, base="smollm2")
    with pytest.raises(CheckpointError, match="do not fit the model"):
        load_adapters(tiny_causal_lm(**other).model, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rank": 0}, "rank of the adapters is 0; use 1 or more"),
        ({"targets": ()}, "have no targets"),
        ({"top": -1}, "top of the adapters is -1"),
        ({"dropout": 1.0}, "dropout of the adapters is 1.0"),
    ],
)
def test_ranges_are_checked(wrong: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        Adapters(**wrong)


@pytest.mark.parametrize("rslora", [False, True])
def test_folding_equals_loading_and_merging(tmp_path, rslora):
    lm = tiny_causal_lm()
    add_adapters(lm.model, Adapters(rank=4, alpha=8.0, targets=("q_proj", "down_proj")))
    for p in adapter_weights(lm.model).values():
        torch.nn.init.normal_(p)
    save_adapters(lm.model, tmp_path, base="tiny")
    if rslora:  # another scale, which is left to peft
        config = json.loads((tmp_path / "adapter_config.json").read_text())
        (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "use_rslora": True}))
    merged, folded = tiny_causal_lm().model, tiny_causal_lm().model
    load_adapters(merged, tmp_path)
    merge_adapters(merged)
    fold_adapters(folded, tmp_path)
    weights = folded.state_dict()
    assert any(
        not torch.equal(value, weights[name])
        for name, value in tiny_causal_lm().model.state_dict().items()
    )
    for name, value in merged.state_dict().items():
        torch.testing.assert_close(weights[name], value)


def test_folding_refuses_what_is_not_there(tmp_path):
    with pytest.raises(CheckpointError):
        fold_adapters(tiny_causal_lm().model, tmp_path)
