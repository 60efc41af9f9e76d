"""Vectors of a base model on the same model with low-rank adapters."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model, inject_adapter_in_model

from emotone.errors import SteeringError
from emotone.steering.apply import steering
from emotone.steering.fingerprint import fingerprint
from emotone.steering.layers import blocks, decoder, fold_target
from unit.steering.families import family, ids, push

EARLY = ("q_proj", "v_proj")
ENDING = ("q_proj", "down_proj")


def adapted(model: torch.nn.Module, how: str, targets: tuple[str, ...]) -> torch.nn.Module:
    """A copy of a model with random adapters, which are merged, injected or wrapped around it."""
    config = LoraConfig(
        r=2, target_modules=list(targets), init_lora_weights=False, task_type="CAUSAL_LM"
    )
    model = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(3)
        warnings.simplefilter("ignore")
        if how == "injected":
            return inject_adapter_in_model(config, model).eval()
        wrapped = get_peft_model(model, config).eval()
    return wrapped.merge_and_unload() if how == "merged" else wrapped


@pytest.fixture(scope="module")
def base() -> torch.nn.Module:
    return family("llama")


@pytest.mark.parametrize("how", ["merged", "injected", "wrapped"])
@pytest.mark.parametrize("targets", [EARLY, ENDING])
def test_an_adapted_model_has_the_fingerprint_of_its_base_and_other_replies(base, how, targets):
    model = adapted(base, how, targets)
    assert len(blocks(model)) == 3
    assert fingerprint(model) == fingerprint(base)
    with torch.inference_mode():
        mine, theirs = model(ids()).logits, base(ids()).logits
    assert not torch.allclose(mine, theirs, atol=1e-3)


def test_other_embeddings_or_norms_are_another_model(base):
    for name in ("model.embed_tokens.weight", "model.layers.2.input_layernorm.weight"):
        other = copy.deepcopy(base)
        other.get_parameter(name).data[0] += 0.5
        assert fingerprint(other) != fingerprint(base)


@pytest.mark.parametrize("how", ["injected", "wrapped"])
def test_a_map_with_an_adapter_is_not_folded_and_one_without_is(base, how):
    for targets, tier in ((ENDING, "rows"), (EARLY, "bias")):
        model = adapted(base, how, targets)
        folded = [fold_target(model, block, "resid") for block in blocks(model)]
        assert all((target is None) == (tier == "rows") for target in folded)
        with steering(model, push()) as applied:
            assert applied.tier == tier


def test_a_merged_model_is_folded_as_the_plain_one(base):
    with steering(adapted(base, "merged", ENDING), push()) as applied:
        assert applied.tier == "bias"


@pytest.mark.parametrize("how", ["injected", "wrapped"])
@pytest.mark.parametrize("rows", [None, 2])
def test_steering_moves_an_adapted_model_as_it_moves_the_merged_one(base, how, rows):
    merged, model = adapted(base, "merged", ENDING), adapted(base, how, ENDING)
    plain = model(ids()).logits
    with steering(merged, push(rows)), torch.inference_mode():
        wanted = merged(ids()).logits
    with steering(model, push(rows)), torch.inference_mode():
        found = model(ids()).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-2)
    assert torch.equal(model(ids()).logits, plain)


def test_steering_counts_passes_at_the_wrapped_decoder(base):
    model = adapted(base, "wrapped", ENDING)
    assert decoder(model) is model.get_base_model().model
    # Columns are counted by the decoder's hook, so a chosen column needs it to fire.
    with steering(model, push(), positions="last"), torch.inference_mode():
        found = model(ids()).logits
    merged = adapted(base, "merged", ENDING)
    with steering(merged, push(), positions="last"), torch.inference_mode():
        wanted = merged(ids()).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_the_model_inside_a_wrapper_is_not_steered_twice(base):
    model = adapted(base, "wrapped", EARLY)
    inner = steering(model.get_base_model(), push())
    with steering(model, push()), pytest.raises(SteeringError, match="already steered"), inner:
        pass
