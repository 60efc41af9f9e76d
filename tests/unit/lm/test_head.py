"""The last map, for chosen tokens, is what the model's own forward pass gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
)

from emotone.lm.head import logits
from emotone.models.tiny import tiny_causal_lm, tiny_seq2seq

IDS = torch.tensor([[5, 6, 7, 8, 9, 4]])
TOKENS = torch.tensor([[1, 5, 5], [0, 2, 39], [7, 8, 9], [3, 3, 3], [4, 1, 0], [39, 38, 37]])
SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.5,
    "pad_token_id": 0,
}


def gemma2() -> Any:
    return Gemma2ForCausalLM(Gemma2Config(**SMALL, final_logit_softcapping=2.0))


def granite() -> Any:
    small = {k: v for k, v in SMALL.items() if k != "head_dim"}
    return GraniteForCausalLM(GraniteConfig(**small, logits_scaling=4.0))


def bart() -> Any:
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=40,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            init_std=0.5,
        )
    )
    model.final_logits_bias = torch.arange(40.0)[None] / 10
    return model


def tied_t5() -> Any:
    return tiny_seq2seq().model


def untied_t5() -> Any:
    model = tiny_seq2seq().model
    model.config.scale_decoder_outputs = False
    return model


def llama() -> Any:
    return tiny_causal_lm().model


@pytest.mark.parametrize("make", [llama, tied_t5, untied_t5, gemma2, granite, bart])
def test_it_is_the_models_own(make: Any):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().eval()
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            fed = {"input_ids": IDS, "decoder_input_ids": IDS}
            read = model.get_encoder()(input_ids=IDS).last_hidden_state
            states: Tensor = model.get_decoder()(
                input_ids=IDS, encoder_hidden_states=read
            ).last_hidden_state
        else:
            fed = {"input_ids": IDS}
            states = model.base_model(input_ids=IDS).last_hidden_state
        wanted = model(**fed).logits[0].float()
        assert wanted.std() > 0.1
        assert torch.allclose(logits(model, states[0]), wanted, atol=1e-5)
        some = logits(model, states[0], TOKENS)
        assert torch.allclose(some, wanted.gather(1, TOKENS), atol=1e-5)


def test_a_layer_without_rows_to_take_is_computed_whole():
    model: Any = tied_t5()

    class Packed(torch.nn.Linear):
        pass

    states = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    wanted = logits(model, states, TOKENS)
    model.lm_head.__class__ = Packed
    assert torch.allclose(logits(model, states, TOKENS), wanted, atol=1e-5)


def test_gradients_reach_states_and_weights():
    model: Any = tied_t5()
    states = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    found = []
    for chosen in (True, False):
        model.zero_grad()
        x = states.clone().requires_grad_()
        made = logits(model, x, TOKENS) if chosen else logits(model, x).gather(1, TOKENS)
        made.pow(2).sum().backward()
        found.append((x.grad, model.lm_head.weight.grad.clone()))
    for mine, theirs in zip(*found, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)
