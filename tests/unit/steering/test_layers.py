"""Where the blocks are, also in wrappers, and what may be folded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from emotone.errors import Unsupported
from emotone.steering.apply import steering
from emotone.steering.layers import blocks, decoder, fold_target, stream, unwrapped, width
from parity.tiny_architectures import tiny_model
from unit.steering.families import family, ids, push


@pytest.fixture(scope="module")
def mistral3() -> nn.Module:
    from transformers import AutoConfig, AutoModelForImageTextToText

    text = {
        "model_type": "mistral",
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.2,
    }
    # As many blocks that see as blocks that write: the two lists must not be mistaken.
    vision = {
        "model_type": "pixtral",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    config = AutoConfig.for_model("mistral3", text_config=text, vision_config=vision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForImageTextToText.from_config(config).eval()


def test_a_wrapper_with_sizes_in_its_text_config_is_steered_as_its_language_model(mistral3):
    assert width(mistral3) == 32
    assert len(blocks(mistral3)) == 3
    assert blocks(mistral3)[0] is decoder(mistral3).layers[0]
    plain = mistral3(input_ids=ids()).logits
    with steering(mistral3, push()) as applied:
        folded = mistral3(input_ids=ids()).logits
    with steering(mistral3, push(2)) as mixed:
        assert not torch.allclose(mistral3(input_ids=ids()).logits, plain, atol=1e-2)
    with steering(mistral3, push(), tier="hooks"):
        hooked = mistral3(input_ids=ids()).logits
    assert (applied.tier, mixed.tier) == ("bias", "rows")
    torch.testing.assert_close(folded, hooked, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(folded, plain, atol=1e-2)


@pytest.mark.parametrize("positions", ["generated", "last"])
def test_a_wrapper_that_hands_on_embeddings_knows_its_prompt_without_a_cache(mistral3, positions):
    def say(cache):
        return mistral3.generate(
            ids(1), max_new_tokens=5, min_new_tokens=5, do_sample=False, use_cache=cache
        )

    with steering(mistral3, push(size=0.8), positions=positions), torch.inference_mode():
        assert torch.equal(say(True), say(False))


@pytest.mark.parametrize("kind", ["gemma3", "gemma4", "qwen3_5"])
def test_families_that_also_see_have_the_blocks_of_their_decoder(kind):
    model = tiny_model(kind)
    assert len(blocks(model)) == 2
    assert width(model) == 32
    assert all(any(block is m for m in decoder(model).modules()) for block in blocks(model))


def test_only_gemma3n_has_parallel_activations():
    assert stream(tiny_model("gemma3n_text")) == 0
    assert stream(family("llama")) is None


def test_two_lists_of_the_same_length_are_told_apart_by_their_blocks():
    model = family("stablelm")
    model.model.others = nn.ModuleList(nn.Identity() for _ in range(3))
    assert blocks(model) == list(model.model.layers)
    model.model.others = nn.ModuleList(model.model.layers)
    with pytest.raises(
        Unsupported, match=r"cannot tell the blocks of a 'stablelm' model \(2 lists"
    ):
        blocks(model)


def test_a_compiled_model_is_the_model_inside():
    model = family("llama")
    wrapper = nn.Module()
    wrapper._orig_mod = model  # as torch.compile's OptimizedModule holds it
    assert unwrapped(wrapper) is model
    assert blocks(wrapper) == list(model.model.layers)


def test_what_is_offloaded_or_holds_whole_numbers_carries_no_bias():
    for dtype, device in ((torch.float32, "meta"), (torch.int8, "cpu")):
        model = family("llama")
        block = blocks(model)[0]
        assert fold_target(model, block, "resid") is not None
        weight = torch.zeros(32, 48, dtype=dtype, device=device)
        block.mlp.down_proj.weight = nn.Parameter(weight, requires_grad=False)
        assert fold_target(model, block, "resid") is None
