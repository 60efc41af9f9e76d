"""Where the blocks of a model are, and what may be folded into a bias there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from emotone.errors import Unsupported

Site = Literal["resid", "attn_out", "mlp_out"]
SITES: tuple[Site, ...] = ("resid", "attn_out", "mlp_out")


@dataclass(frozen=True, slots=True)
class Architecture:
    """Paths inside one family of models.

    Args:
        blocks: Path of the list of blocks, from the model.
        attention: Path of the attention module, from a block.
        mlp: Path of the feed-forward module, from a block.
        attention_out: Path of the linear map that ends the attention, from a block.
        mlp_out: Path of the linear map that ends the feed-forward, from a block.
        resid_fold: Whether a bias on `mlp_out` reaches the block's output unchanged: true where
            the block is pre-norm with a plain residual, false where a norm follows the map.
        multiplier: Name of the config entry that scales both branches, or "".
    """

    blocks: str = "model.layers"
    attention: str = "self_attn"
    mlp: str = "mlp"
    attention_out: str = "self_attn.o_proj"
    mlp_out: str = "mlp.down_proj"
    resid_fold: bool = True
    multiplier: str = ""


_PLAIN = Architecture()
_POST_NORM = Architecture(resid_fold=False)

#: By `config.model_type`. Read off the blocks of transformers 5.23; each fold is also measured
#: when steering attaches, so a wrong row here raises instead of steering wrongly.
ARCHITECTURES: dict[str, Architecture] = {
    "llama": _PLAIN,
    "mistral": _PLAIN,
    "qwen2": _PLAIN,
    "qwen3": _PLAIN,
    "smollm3": _PLAIN,
    "granite": Architecture(multiplier="residual_multiplier"),
    "gemma": _PLAIN,
    "gemma2": _POST_NORM,
    "gemma3_text": _POST_NORM,
    "olmo2": _POST_NORM,
    "gpt_neox": Architecture(
        blocks="gpt_neox.layers",
        attention="attention",
        attention_out="attention.dense",
        mlp_out="mlp.dense_4h_to_h",
    ),
    "phi": Architecture(attention_out="self_attn.dense", mlp_out="mlp.fc2"),
    "gpt2": Architecture(
        blocks="transformer.h",
        attention="attn",
        attention_out="attn.c_proj",
        mlp_out="mlp.c_proj",
    ),
}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside of peft's wrapper, with its adapters; any other model as it is."""
    inner: Any = getattr(model, "get_base_model", None)
    return inner() if callable(inner) else model  # pyright: ignore[reportReturnType]


def architecture(model: nn.Module) -> Architecture | None:
    """Return the known paths of a model's family, or None for an unknown family."""
    kind = getattr(getattr(model, "config", None), "model_type", "")
    return ARCHITECTURES.get(kind)


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the transformer blocks in order.

    Known families by the table; else the one list of modules whose length is the number of
    layers in the config.

    Raises:
        Unsupported: If no such list, or more than one, is found.
    """
    model = unwrapped(model)
    known = architecture(model)
    if known is not None:
        return list(model.get_submodule(known.blocks))  # pyright: ignore[reportArgumentType]
    count = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if len(lists) != 1:
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise Unsupported(
            f"cannot tell the blocks of a {kind!r} model ({len(lists)} lists of {count} modules); "
            f"add its paths to ARCHITECTURES, which knows {', '.join(ARCHITECTURES)}"
        )
    return list(lists[0])


def site_module(model: nn.Module, block: nn.Module, site: Site) -> nn.Module:
    """Return the module whose output is the activation at a site of a block.

    Raises:
        Unsupported: If the site is inside the block and the family is unknown.
    """
    if site == "resid":
        return block
    known = architecture(model)
    if known is None:
        raise Unsupported(f"site {site!r} needs a known family of models; use site 'resid'")
    return block.get_submodule(known.attention if site == "attn_out" else known.mlp)


def fold_target(model: nn.Module, block: nn.Module, site: Site) -> tuple[nn.Module, float] | None:
    """Say which linear map can carry a constant push at a site, and by what to divide it.

    A bias b on that map moves the activation at the site by `b * divisor`, exactly.

    Returns:
        The map and the divisor, or None where folding is not exact.
    """
    known = architecture(model)
    if known is None or (site == "resid" and not known.resid_fold):
        return None
    try:
        target = block.get_submodule(known.attention_out if site == "attn_out" else known.mlp_out)
    except AttributeError:  # a mixture-of-experts block has no single map
        return None
    if type(target) is not nn.Linear and type(target).__name__ != "Conv1D":
        # Quantised maps differ in how they treat a bias, and an adapter's map holds it inside.
        return None
    divisor = 1.0
    if site == "resid" and known.multiplier:
        divisor = float(getattr(model.config, known.multiplier))  # pyright: ignore
    return target, divisor


def decoder(model: nn.Module) -> nn.Module:
    """Return the module under the language-model head, the one that sees ids and cache."""
    model = unwrapped(model)
    direct: Any = getattr(model, "get_decoder", None)  # OPT's head calls it past its base model
    if callable(direct) and isinstance(module := direct(), nn.Module):
        return module
    inner = getattr(model, "base_model", model)
    return inner if isinstance(inner, nn.Module) else model
