"""Tiny random models of several families, to prove that steering is exact on each."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM

_COMMON = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
_EXTRA = {
    "gemma3_text": {"head_dim": 8, "sliding_window": 64},
    "gemma2": {"head_dim": 8, "sliding_window": 64},
    "qwen3": {"head_dim": 8},
    "granite": {"residual_multiplier": 0.22},
    "phi": {"num_key_value_heads": 4},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
}
FOLDED = ("llama", "mistral", "qwen2", "qwen3", "granite", "phi")
UNFOLDED = ("gemma2", "gemma3_text", "olmo2")
FAMILIES = (*FOLDED, *UNFOLDED, "gpt2", "gpt_neox")


def family(kind: str, seed: int = 0, **changes: object) -> torch.nn.Module:
    if kind == "gpt2":
        config = AutoConfig.for_model(
            "gpt2",
            vocab_size=300,
            n_embd=32,
            n_layer=3,
            n_head=4,
            n_positions=256,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            initializer_range=0.2,
        )
    else:
        config = AutoConfig.for_model(kind, **{**_COMMON, **_EXTRA.get(kind, {}), **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def push(rows: int | None = None, seed: int = 1, size: float = 0.3) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    shape = (3, 32) if rows is None else (rows, 3, 32)
    return torch.randn(shape, generator=draw) * size


def ids(rows: int = 2, width: int = 7, seed: int = 2) -> torch.Tensor:
    return torch.randint(3, 300, (rows, width), generator=torch.Generator().manual_seed(seed))


def snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def untouched(model: torch.nn.Module, before: dict[str, torch.Tensor]) -> bool:
    after = model.state_dict()
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    same = set(after) == set(before) and all(torch.equal(after[k], before[k]) for k in before)
    return same and hooks == 0
