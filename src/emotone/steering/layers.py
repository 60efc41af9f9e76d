"""Where the blocks of a model are, and what may be folded into a bias there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from emotone.errors import Unsupported
from emotone.models.packed import is_plain_linear

Site = Literal["resid", "attn_out", "mlp_out"]
SITES: tuple[Site, ...] = ("resid", "attn_out", "mlp_out")


@dataclass(frozen=True, slots=True)
class Architecture:
    """Paths inside one family of models.

    Args:
        blocks: Path of the list of blocks, from the decoder.
        attention: Path of the attention module, from a block.
        mlp: Path of the feed-forward module, from a block.
        attention_out: Path of the linear map that ends the attention, from a block.
        mlp_out: Path of the linear map that ends the feed-forward, from a block.
        resid_fold: Whether a bias on `mlp_out` reaches the block's output unchanged: true where
            the block is pre-norm with a plain residual, false where a norm follows the map.
        multiplier: Name of the config entry that scales both branches, or "".
    """

    blocks: str = "layers"
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
        attention="attention",
        attention_out="attention.dense",
        mlp_out="mlp.dense_4h_to_h",
    ),
    "phi": Architecture(attention_out="self_attn.dense", mlp_out="mlp.fc2"),
    "gpt2": Architecture(
        blocks="h",
        attention="attn",
        attention_out="attn.c_proj",
        mlp_out="mlp.c_proj",
    ),
}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside of peft's or torch.compile's wrapper; any other as it is."""
    compiled: Any = getattr(model, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return unwrapped(compiled)
    inner: Any = getattr(model, "get_base_model", None)
    return unwrapped(inner()) if callable(inner) else model  # pyright: ignore[reportArgumentType]


def text_config(model: nn.Module) -> Any:
    """Return the config in which the sizes of the blocks stand.

    In a model that also sees or hears it is a part of the model's config.
    """
    config: Any = getattr(decoder(model), "config", None) or getattr(model, "config", None)
    part: Any = getattr(config, "get_text_config", None)
    return part(decoder=True) if callable(part) else config


def width(model: nn.Module) -> int:
    """Return the size d of the activation that a block hands on."""
    return int(text_config(model).hidden_size)


def stream(model: nn.Module) -> int | None:
    """Return which of several parallel activations is the block's own, or None where there is one.

    A block of Gemma 3n hands on [streams, B, T, d]: one computed activation, and predictions of it
    in bases of their own, where a displacement would mean something else.
    """
    return getattr(text_config(model), "altup_active_idx", None)


def architecture(model: nn.Module) -> Architecture | None:
    """Return the known paths of a model's family, or None for an unknown family."""
    return ARCHITECTURES.get(getattr(text_config(model), "model_type", ""))


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the transformer blocks in order.

    Known families by the table; else the one list of modules in the decoder whose length is the
    number of layers in the config. Where there are more, the one of checkpointed layers, which is
    what transformers makes of its blocks.

    Raises:
        Unsupported: If no such list, or more than one, is found.
    """
    inner = decoder(model)
    known = architecture(model)
    if known is not None:
        return list(inner.get_submodule(known.blocks))  # pyright: ignore[reportArgumentType]
    config = text_config(model)
    count = getattr(config, "num_hidden_layers", None)
    lists = [m for m in inner.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if len(lists) > 1:
        lists = [m for m in lists if all(_is_checkpointed(block) for block in m)]
        # What also sees or hears inside of the decoder has its blocks deeper down.
        lists = [m for m in lists if any(m is child for child in inner.children())] or lists
    if len(lists) != 1:
        kind = getattr(config, "model_type", type(model).__name__)
        raise Unsupported(
            f"cannot tell the blocks of a {kind!r} model ({len(lists)} lists of {count} modules); "
            f"add its paths to ARCHITECTURES, which knows {', '.join(ARCHITECTURES)}"
        )
    return list(lists[0])


def _is_checkpointed(block: nn.Module) -> bool:
    return any(kind.__name__ == "GradientCheckpointingLayer" for kind in type(block).__mro__)


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
    if not is_plain_linear(target) and type(target).__name__ != "Conv1D":
        # Quantised maps differ in how they treat a bias, and an adapter's map holds it inside.
        return None
    weight: Any = target.weight
    if weight.is_meta or not weight.is_floating_point():
        return None  # what is offloaded is loaded anew in each pass, without our bias
    divisor = 1.0
    if site == "resid" and known.multiplier:
        divisor = float(getattr(text_config(model), known.multiplier))
    return target, divisor


def decoder(model: nn.Module) -> nn.Module:
    """Return the module under the language-model head, the one that sees ids and cache."""
    model = unwrapped(model)
    direct: Any = getattr(model, "get_decoder", None)  # OPT's head calls it past its base model
    module = direct() if callable(direct) else None
    if isinstance(module, nn.Module) and not isinstance(module, nn.Linear):  # ModernBERT's head
        return unwrapped(module)
    inner = getattr(model, "base_model", model)
    return inner if isinstance(inner, nn.Module) else model


@contextmanager
def hooked(
    modules: Sequence[nn.Module],
    hook: Callable[[int], Callable[..., Any]],
    *,
    with_kwargs: bool = False,
) -> Iterator[None]:
    """Call hook(i) after module i inside.

    Args:
        modules: Parts of a model.
        hook: Index of a module -> its forward hook.
        with_kwargs: Whether hooks are given keyword arguments too.
    """
    handles = [
        m.register_forward_hook(hook(i), with_kwargs=with_kwargs) for i, m in enumerate(modules)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
