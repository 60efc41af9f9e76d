"""A mood as biases in a copy of a checkpoint: for whoever loads it, the model is always so.

    y = W x + b, b = D_l / r        the map that ends block l, or its attention; r scales branches

This is the tier `bias` of `emotone.steering.attach`, made to stay. Families differ in whether their
classes have such a bias, and engines in whether they load it: `emotone.engines.carriers`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from emotone.engines.carriers import bias_of, check_everywhere
from emotone.engines.folder import new_folder
from emotone.engines.mood import OneMood
from emotone.errors import Unsupported
from emotone.steering.layers import blocks, fold_target

if TYPE_CHECKING:
    from emotone.models import CausalLM


@torch.no_grad()
def bake(lm: CausalLM, mood: OneMood, engine: str, place: Path) -> None:
    """Write a copy of a model that is in a mood, or one with its adapters merged and no mood.

    Args:
        lm: The model, with the adapters that its vectors need merged in; it gets the biases too.
        mood: The mood; without doses nothing is baked.
        engine: What will load the copy.
        place: A new folder.

    Raises:
        Unsupported: If the bias would not act there, or would not be exact.
        SteeringError: If the vectors belong to another model.
        DataError: If the place cannot be written.
    """
    mood.moods.check_model(lm.model)
    if not mood.moods.card.adapters:  # merged ones are no numbers of a short type
        lm.model.to(dtype=_stored_dtype(lm))  # pyright: ignore
    if any(mood.doses.values()):
        _set_biases(lm.model, mood, engine)
    elif not mood.moods.card.adapters:
        check_everywhere(mood, "a checkpoint")
    record = mood.record() | {"baked": True, "engine": engine}
    with new_folder(place, record) as folder:
        lm.model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)


def _stored_dtype(lm: CausalLM) -> torch.dtype:
    """Return the type that the checkpoint has on the disk, else that of the loaded model."""
    loaded = next(lm.model.parameters()).dtype
    if lm.path is None:
        return loaded
    config = json.loads((Path(lm.path) / "config.json").read_text(encoding="utf-8"))
    return getattr(torch, str(config.get("dtype") or config.get("torch_dtype")), loaded)


def _set_biases(model: Any, mood: OneMood, engine: str) -> None:
    check_everywhere(mood, "a bias")
    site = mood.moods.card.site
    family = str(model.config.model_type)
    bias = bias_of(family, site, engine)
    targets = [fold_target(model, block, site) for block in blocks(model)]
    if any(target is None for target in targets):
        raise Unsupported(
            f"a bias is not exact at site {site} of a {family} model, where a norm or several"
            " experts follow the map; take vectors of another site"
        )
    if bias.flag:
        setattr(model.config, bias.flag, True)
        _add_zeros(model)
    for row, target in zip(mood.displacement, targets, strict=True):
        linear, divisor = target  # pyright: ignore[reportGeneralTypeIssues]
        own: Any = linear.bias
        if own is None:
            raise Unsupported(f"this transformers gives a {family} model no bias there; update it")
        # In float32 whatever the weights have: what loads it casts it once.
        linear.bias = nn.Parameter(own.float() + row.to(own.device) / divisor, requires_grad=False)


def _add_zeros(model: Any) -> None:
    """Give a model the biases that its class makes under its config, all 0."""
    with torch.device("meta"):
        twin = type(model)(model.config)
    for name, parameter in twin.named_parameters():
        path, _, last = name.rpartition(".")
        module = model.get_submodule(path)
        if last == "bias" and getattr(module, "bias", None) is None:
            device = module.weight.device
            zeros = torch.zeros(parameter.shape, dtype=torch.float32, device=device)
            module.register_parameter("bias", nn.Parameter(zeros, requires_grad=False))
