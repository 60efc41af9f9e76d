"""A tiny random model of every causal architecture that the installed transformers knows."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

KINDS: tuple[str, ...] = tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
VOCABULARY = 96
#: A model with more weights than this was given a size that the table below does not know.
MOST_WEIGHTS = 4_000_000

#: Small values of the entries that decide how large a model is. Each config takes those that it has
#: and does not leave open itself.
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "audio_vocab_size"), VOCABULARY),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "attention_hidden_size"), 32),
    **dict.fromkeys(("word_embed_proj_dim", "embedding_size", "text_hidden_size"), 32),
    **dict.fromkeys(("input_embedding_size", "output_embedding_size", "out_hidden_size"), 32),
    **dict.fromkeys(("lru_width", "projector_hidden_size", "vision_output_dim"), 32),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "depth"), 2
    ),
    **dict.fromkeys(("decoder_layers", "num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_global_layers", "num_blocks", "conf_num_hidden_layers"), 1),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "attention_heads"), 4),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("conf_num_attention_heads", "swa_num_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "swa_head_dim", "kv_channels", "dim_head"), 8),
    **dict.fromkeys(("attention_head_size", "global_head_dim", "query_pre_attn_scalar"), 8),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_inner", "ffn_hidden_size", "dff"), 48),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "dim_ff", "feed_forward_size"), 48),
    **dict.fromkeys(("intermediate_size_mlp", "dense_intermediate_size", "mlp_dim"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("shared_intermediate_size", "expert_ffn_hidden_size"), 16),
    **dict.fromkeys(
        ("moe_shared_expert_intermediate_size", "shared_experts_intermediate_size"), 16
    ),
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "zero_expert_num"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(("moe_num_shared_experts", "first_k_dense_replace", "num_dense_layers"), 1),
    **dict.fromkeys(("kv_lora_rank", "qk_nope_head_dim", "v_head_dim", "index_head_dim"), 8),
    **dict.fromkeys(("q_lora_rank", "o_lora_rank", "router_hidden_size", "adapter_rank"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim", "index_n_heads"), 4),
    "index_topk": 64,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 128),
    **dict.fromkeys(("max_target_positions", "context_length", "max_source_positions"), 128),
    **dict.fromkeys(("original_max_position_embeddings", "sliding_window", "window_size"), 128),
    **dict.fromkeys(("sliding_window_size", "attention_window_size", "keep_window_size"), 128),
    **dict.fromkeys(("state_size", "mamba_d_state", "ssm_state_size"), 4),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), 4),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 16),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "mamba_ngroups"), 1),
    **dict.fromkeys(("chunk_size", "mamba_chunk_size"), 8),
    "mamba_d_ssm": 64,
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), 8),
    **dict.fromkeys(("hidden_size_per_layer_input", "laurel_rank"), 8),
    **dict.fromkeys(("num_kv_shared_layers", "block_multiple_of"), 1),
    **dict.fromkeys(("image_size", "crop_size"), 16),
    "patch_size": 8,
    **dict.fromkeys(("num_mel_bins", "input_feat_size", "n_mel_bins"), 16),
    **dict.fromkeys(("pronunciation_vocab_size", "shape_vocab_size", "codebook_size"), VOCABULARY),
    **dict.fromkeys(("pronunciation_embed_dim", "shape_embed_dim"), 16),
    **dict.fromkeys(("ngram_vocab_size_base", "encoder_hash_byte_group_vocab"), 128),
    "make_ngram_vocab_size_divisible_by": 1,
    "split_ngram_parts": 2,
    "ffn_round_up_to_multiple_of": 8,
    "initializer_range": 0.2,
    "init_std": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "is_decoder": True,
}
_HALVES = {"layer_types": ["linear_attention", "full_attention"]}
_CONV = {"layer_types": ["conv", "full_attention"]}
_SSD = {"num_heads": 4, "head_dim": 16}
#: What the table of sizes cannot know: which block is of which sort, and sizes that must agree.
_OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("qwen3_next", "olmo_hybrid", "kimi_linear"), _HALVES),
    **dict.fromkeys(("qwen3_5_text", "qwen3_5_moe_text", "qwen4_exp_text"), _HALVES),
    **dict.fromkeys(("lfm2", "lfm2_moe", "lfm3"), _CONV),
    "mamba2": _SSD,
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "zamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": _HALVES,
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"]},
    "nemotron_h": {"layers_block_type": ["linear_attention", "full_attention"]},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    **{key: {"num_kv_shared_layers": 0} for key in ("gemma4_text", "gemma4_unified_text")},
    **{
        key: {"head_dim": 8}
        for key in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral", "nemotron")
    },
    "zaya": {"num_experts_per_tok": 1},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "bailing_hybrid": {"layer_group_size": 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [8, 16],
        "axial_pos_embds_dim": [16, 16],
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
        "num_buckets": 4,
    },
}


def tiny_config(kind: str) -> Any:
    """Return a config of two small blocks."""
    return CONFIG_MAPPING[kind](**_entries(CONFIG_MAPPING[kind]))


def _entries(config_class: Any) -> dict[str, Any]:
    declared = {name for base in config_class.__mro__ for name in inspect.get_annotations(base)}
    special = {"pad_token_id", "bos_token_id", "eos_token_id", "is_decoder", "num_key_value_heads"}
    chosen = {
        name: size
        for name, size in _SIZES.items()
        if name in declared and (name in special or getattr(config_class, name, None) is not None)
    }
    if getattr(config_class, "num_key_value_heads", None) is None:
        chosen.pop("num_key_value_heads", None)
    if "qk_rope_head_dim" in declared:  # latent attention: keys of each head are made from one
        chosen |= {"num_key_value_heads": 4} if "num_key_value_heads" in chosen else {}
        chosen |= {"head_dim": 4} if "head_dim" in chosen else {}  # the part that is rotated
    if getattr(config_class, "sub_configs", None):
        default = config_class()
        for name in config_class.sub_configs:
            part = getattr(default, name, None)
            if part is not None:
                chosen[name] = {**_entries(type(part)), "model_type": part.model_type}
    return {**chosen, **_OWN.get(getattr(config_class, "model_type", ""), {})}


def tiny_model(kind: str) -> torch.nn.Module:
    """Return a random model of an architecture, in float32 and evaluation mode.

    Raises:
        ValueError: If it would not be tiny.
    """
    config = tiny_config(kind)
    with torch.device("meta"):
        weights = sum(p.numel() for p in _build(config).parameters())
    if weights > MOST_WEIGHTS:
        raise ValueError(f"the tiny config has {weights:,} weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _build(config).float().eval()
        for parameter in model.parameters():  # what begins with nothing would pass nothing on
            if parameter.is_floating_point() and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def _build(config: Any) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager")
