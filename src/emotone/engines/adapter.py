"""Moods as adapters of peft, where an adapter can be a constant.

Behind a linear map an adapter adds B A x. To be the same D for every x, A x would have to be 1 for
every x, and after an RMS norm no A does that. Two adapters are exact:

    a bias on B, A = B = 0        at the map that ends a block or its attention; peft alone loads it
    A = 1 for every token, B = D  at the token embedding, before the first block; rank 1, also for
                                  vLLM and SGLang

Source: peft 0.21, `LoraConfig(lora_bias=True)` and `lora.layer.Embedding`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotone.engines.carriers import ENGINES, check_everywhere
from emotone.engines.folder import new_folder
from emotone.engines.mood import OneMood
from emotone.errors import DataError, Unsupported, unknown_name
from emotone.models.packed import is_plain_linear
from emotone.steering.layers import blocks, fold_target
from emotone.steering.vector_file import shipped_file, shipped_names
from emotone.training.adapters import CONFIG, WEIGHTS


def write_bias_adapter(model: Any, mood: OneMood, engine: str, place: Path) -> None:
    """Write a mood as an adapter of zeros with biases; scale 1 is its dose.

    Args:
        model: The plain model that it is for.
        mood: The mood.
        engine: What will load it; "transformers" is peft.
        place: A new folder.

    Raises:
        UnknownName: If the engine is unknown.
        Unsupported: If the engine would drop the biases, or they would not be exact.
        SteeringError: If the vectors belong to another model.
        DataError: If the place cannot be written.
    """
    check_everywhere(mood, "an adapter")
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if engine != "transformers":
        raise Unsupported(
            f"{engine} takes no bias in an adapter, and without one no adapter adds the same to"
            " every token behind an RMS norm; use transformers with peft, bake the mood, or give a"
            " vector of the token embedding with --embedding"
        )
    mood.moods.check_model(model)
    site = mood.moods.card.site
    names = {module: name for name, module in model.named_modules()}
    tensors: dict[str, Tensor] = {}
    targets: list[str] = []
    kinds: set[bool] = set()
    for block, row in zip(blocks(model), mood.displacement, strict=True):
        if not row.any():
            continue
        target = fold_target(model, block, site)
        if target is None:
            raise Unsupported(
                f"an adapter's bias is not exact at site {site} of a {model.config.model_type}"
                " model, where a norm or several experts follow the map; take vectors of another"
                " site"
            )
        linear, divisor = target
        weight: Any = linear.weight
        turned = not is_plain_linear(linear)  # GPT-2's maps hold their weight the other way round
        width_in, width_out = weight.shape if turned else weight.shape[::-1]
        prefix = f"base_model.model.{names[linear]}"
        tensors[f"{prefix}.lora_A.weight"] = torch.zeros(1, width_in)
        tensors[f"{prefix}.lora_B.weight"] = torch.zeros(width_out, 1)
        tensors[f"{prefix}.lora_B.bias"] = (row / divisor).float().contiguous()
        targets.append(names[linear])
        kinds.add(turned)
    config = {"lora_bias": True, "target_modules": targets, "fan_in_fan_out": kinds == {True}}
    _write(place, tensors, config, mood.record() | {"engines": ["transformers with peft"]})


def write_embedding_adapter(model: Any, push: Tensor, place: Path, record: dict[str, Any]) -> None:
    """Write a vector that is added to every token's embedding, as an adapter of rank 1.

    Args:
        model: The plain model that it is for.
        push: What is added to what the first block reads, [d].
        place: A new folder.
        record: What it is.

    Raises:
        DataError: If the vector has another width, or the place cannot be written.
        Unsupported: If what is added to an embedding reaches the first block as something else.
    """
    embedding: Any = model.get_input_embeddings()
    tokens, width = embedding.weight.shape
    if tuple(push.shape) != (width,) or not torch.isfinite(push).all() or not push.any():
        raise DataError(
            f"the vector of the embedding has shape {tuple(push.shape)}; give finite numbers that"
            f" are not all 0, one for each of the model's {width} dimensions"
        )
    _check_reaches(model, push)
    name = next(n for n, module in model.named_modules() if module is embedding)
    prefix = f"base_model.model.{name}"
    tensors = {
        f"{prefix}.lora_embedding_A": torch.ones(1, tokens),
        f"{prefix}.lora_embedding_B": push.float()[:, None].contiguous(),
    }
    engines = ["transformers with peft", "vllm", "sglang"]
    _write(place, tensors, {"target_modules": [name]}, record | {"engines": engines})


@torch.inference_mode()
def _check_reaches(model: Any, push: Tensor) -> None:
    """Refuse a model that scales or norms its embeddings before the first block, by trying it."""
    embedding: Any = model.get_input_embeddings()
    # As long as an embedding, so that a short type shows it.
    test = push * (embedding.weight.float().abs().max().cpu() / push.abs().max())
    read: list[Tensor] = []
    handle = blocks(model)[0].register_forward_pre_hook(
        lambda _module, args, kwargs: read.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    ids = torch.tensor([[1, 2, 3]], device=embedding.weight.device)
    try:
        model(input_ids=ids, use_cache=False)
        added = embedding.register_forward_hook(lambda _module, _args, out: out + test.to(out))
        try:
            model(input_ids=ids, use_cache=False)
        finally:
            added.remove()
    finally:
        handle.remove()
    plain, pushed = (state.float() for state in read)
    moved, largest = pushed - plain, float(test.abs().max())
    near = torch.allclose(moved, test.to(moved).expand_as(moved), rtol=0, atol=2e-2 * largest)
    if not near or type(embedding) is not nn.Embedding:
        raise Unsupported(
            f"a {model.config.model_type} model scales its embeddings, so that an adapter there"
            " would add something else; bake the mood, or export another format"
        )


def copy_companion(mood: OneMood, source: str, place: Path) -> None:
    """Copy the adapters of a companion, which carry no mood of their own.

    Args:
        mood: Of the companion's vectors, without doses.
        source: Name or place of its vectors, as they were opened.
        place: A new folder.

    Raises:
        Unsupported: If a mood is asked, or the vectors have no adapters.
        DataError: If the place cannot be written.
    """
    if any(mood.doses.values()):
        raise Unsupported(
            "a companion's adapters carry no mood, and its vectors act on a part of the text, as no"
            " adapter does; leave --emotion out for the adapters alone"
        )
    if not mood.moods.card.adapters:
        raise Unsupported(
            f"the vectors of {mood.moods.card.model} have no adapters; add --emotion 'joy:60'"
        )
    file = shipped_file(source) if source in shipped_names() else Path(source)
    beside = file if file.is_dir() else file.parent
    with new_folder(place, mood.record()) as folder:
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(beside / name, folder / name)


def _write(
    place: Path, tensors: dict[str, Tensor], config: dict[str, Any], record: dict[str, Any]
) -> None:
    from peft import LoraConfig
    from safetensors.torch import save_file

    settings = LoraConfig(r=1, lora_alpha=1, task_type="CAUSAL_LM", **config).to_dict()
    settings |= {"base_model_name_or_path": record["model"], "inference_mode": True}
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()}
    with new_folder(place, record) as folder:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(plain, indent=2, sort_keys=True) + "\n"
        (folder / CONFIG).write_text(text, encoding="utf-8")
