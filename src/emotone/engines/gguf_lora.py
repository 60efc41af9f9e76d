"""Moods as GGUF adapters, which llama.cpp adds beside its maps at a scale that a request may set.

    y <- y + scale (alpha / rank) B A x             llama.cpp, `llama_adapter_lora`

alpha equals the rank, so that scale is a multiple of what was exported: 1 for a mix, the dose for
an emotion that was exported alone. Tensors are called as llama.cpp calls the maps, and rows of B
follow them: its rotary embedding of some families pairs neighbouring rows where transformers pairs
the halves of a head.

Source: llama.cpp, convert_lora_to_gguf.py and `LlamaModel.permute` of its converter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emotone.engines.folder import new_folder
from emotone.engines.mood_adapter import joined_maps, mood_record
from emotone.errors import Unsupported
from emotone.files import replacing
from emotone.steering.mood_adapters import MoodAdapters

#: `model_type` -> name of the architecture in GGUF, and whether rows of queries and keys move.
_FAMILIES: Mapping[str, tuple[str, bool]] = {
    "llama": ("llama", True),
    "mistral": ("llama", True),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
    "gemma2": ("gemma2", False),
    "gemma3_text": ("gemma3", False),
}
#: The file of the shared adapters beside those of the emotions.
SHARED = "shared"
SUFFIX = ".gguf"


def write_gguf_lora(
    adapters: MoodAdapters,
    doses: Mapping[str, float],
    path: Path,
    config: Any,
    *,
    shared: Path | None = None,
) -> None:
    """Write a mix at its doses as one file for scale 1, with the shared adapters in it.

    Args:
        adapters: Mood adapters.
        doses: Label -> dose; those of 0 are left out.
        path: The file.
        config: Of the model, as transformers has it.
        shared: See `mood_adapter.write_mood_adapter`.

    Raises:
        Unsupported: If llama.cpp names or keeps the maps of the family in a way that is not known
            here, or the adapters are those of another model.
        EmotoneError: As `mood_adapter.joined_maps`, or if the place cannot be written.
    """
    maps, rank = joined_maps(adapters, doses, shared)
    family, moved = _family(config)
    names = _names(family, config.num_hidden_layers)
    tensors: dict[str, Tensor] = {}
    for map_path, (down, up) in maps.items():
        _check_width(map_path, down, up, config, adapters.card.model)
        name = names.get_name(f"{map_path}.weight", try_suffixes=(".weight",))
        if name is None:
            raise Unsupported(
                f"llama.cpp has no map of a {config.model_type} model that is called {map_path};"
                " learn mood adapters of others"
            )
        kind = map_path.rsplit(".", 1)[-1]
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        if moved and kind in heads:
            up = _neighbours(up, heads[kind])
        tensors |= {f"{name}.lora_a": down, f"{name}.lora_b": up}
    record = mood_record(adapters, doses) | {"rank": rank, "engines": ["llamacpp"]}
    from gguf import GGUFWriter

    with replacing(path) as temporary:
        writer = GGUFWriter(temporary, family)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", float(rank))
        writer.add_name(" + ".join(f"{e} {dose:g}" for e, dose in doses.items() if dose) or SHARED)
        writer.add_license(str(record["licence"]))
        writer.add_string("emotone.record", json.dumps(record, ensure_ascii=False))
        for name, tensor in tensors.items():
            writer.add_tensor(name, tensor.contiguous().float().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def write_gguf_loras(
    adapters: MoodAdapters, place: Path, config: Any, *, shared: Path | None = None
) -> list[Path]:
    """Write a folder with a file for each emotion at dose 1, and one of the shared adapters.

    llama-server takes them all at its start, and each request says its scales.

    Returns:
        The files, the shared adapters first.

    Raises:
        EmotoneError: As `write_gguf_lora`.
    """
    record = mood_record(adapters, {}) | {"engines": ["llamacpp"]}
    with new_folder(place, record) as folder:
        names = [] if shared is None else [SHARED]
        if shared is not None:
            write_gguf_lora(adapters, {}, folder / f"{SHARED}{SUFFIX}", config, shared=shared)
        for label in adapters.labels:
            write_gguf_lora(adapters, {label: 1.0}, folder / f"{label}{SUFFIX}", config)
            names.append(label)
    return [place / f"{name}{SUFFIX}" for name in names]


def _family(config: Any) -> tuple[str, bool]:
    if config.model_type not in _FAMILIES:
        raise Unsupported(
            f"how llama.cpp keeps the maps of a {config.model_type} model is not known here; known"
            f" are {', '.join(_FAMILIES)}; its own convert_lora_to_gguf.py takes the format adapter"
        )
    return _FAMILIES[config.model_type]


def _check_width(path: str, down: Tensor, up: Tensor, config: Any, model: str) -> None:
    """Refuse a map that is another's: of the model that was named, or of the adapters'."""
    inside = config.hidden_size
    head = getattr(config, "head_dim", None) or inside // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    widths = {
        "q_proj": (inside, queries),
        "k_proj": (inside, keys),
        "v_proj": (inside, keys),
        "o_proj": (queries, inside),
        "gate_proj": (inside, config.intermediate_size),
        "up_proj": (inside, config.intermediate_size),
        "down_proj": (config.intermediate_size, inside),
    }
    own = down.shape[1], len(up)
    if widths.get(path.rsplit(".", 1)[-1], own) != own:
        raise Unsupported(
            f"{path} has adapters from {own[0]} to {own[1]} numbers, and the model that was named"
            f" has another such map; these mood adapters belong to {model}"
        )


def _names(family: str, blocks: int) -> Any:
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    arch = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == family)
    return get_tensor_name_map(arch, blocks)


def _neighbours(up: Tensor, heads: int) -> Tensor:
    """Put the two halves of each head's rows beside each other, [out, r]."""
    halves = up.reshape(heads, 2, len(up) // heads // 2, up.shape[1])
    return torch.swapaxes(halves, 1, 2).reshape(up.shape)
