"""Low-rank adapters in a causal language model: put in, saved, loaded and folded in.

The model keeps its class and the paths of its blocks, so that emotion vectors still find their
places in it. The feed-forward maps have no adapters by default, since a vector is folded into
their bias (`emotone.steering.layers.fold_target`).

What the frozen blocks below the lowest adapter compute is computed once a rollout (`FrozenCache`).

Source: Hu et al. 2021, LoRA, by peft.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import CheckpointError, ConfigError, Unsupported
from emotone.files import replacing
from emotone.models.packed import forget_packed
from emotone.training.seeding import own_randomness, reseed

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

# What peft's own wrapper sets before the names of a model's weights.
_PREFIX = "base_model.model."
_NAME = "default"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
#: Settings of peft that make an adapter more than the product of two maps.
_NOT_PLAIN = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "lora_bias")

_Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Adapters:
    """Where adapters sit and how large they are.

    Args:
        rank: Rank of each.
        alpha: The product of an adapter is scaled by alpha / rank.
        targets: Names of the linear maps that get one.
        top: Only so many of the last blocks get them; 0 for all. No gradient goes below them, so
            fewer is faster.
        dropout: Dropout before each adapter in training.
    """

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    top: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every range."""
        if self.rank < 1:
            raise ConfigError(f"rank of the adapters is {self.rank}; use 1 or more")
        if not self.targets:
            raise ConfigError("adapters have no targets; name linear maps, such as q_proj")
        if self.top < 0:
            raise ConfigError(f"top of the adapters is {self.top}; use 0 for all blocks, or more")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout of the adapters is {self.dropout}; use 0 up to below 1")


def add_adapters(model: nn.Module, adapters: Adapters, *, seed: int = 0) -> None:
    """Put new adapters into a model; they change nothing yet, and all else is frozen.

    Args:
        model: Changed in place; its class and the paths of its blocks stay.
        adapters: Which.
        seed: Seed of their weights.

    Raises:
        ConfigError: If the model has fewer blocks than `top`.
        Unsupported: If the model has adapters already, or none of the targets.
    """
    from peft import LoraConfig

    blocks = int(model.config.num_hidden_layers)  # pyright: ignore
    if adapters.top > blocks:
        raise ConfigError(f"the model has {blocks} blocks, not {adapters.top}; use top = 0 for all")
    upper = list(range(blocks - adapters.top, blocks)) if adapters.top else None
    config = LoraConfig(
        r=adapters.rank,
        lora_alpha=adapters.alpha,  # pyright: ignore[reportArgumentType]
        target_modules=list(adapters.targets),
        lora_dropout=adapters.dropout,
        layers_to_transform=upper,
        task_type="CAUSAL_LM",
    )
    device = next(model.parameters()).device
    with own_randomness(device):
        reseed(seed, device)
        _inject(model, config)
    _set_trainable(model, True)


def has_adapters(model: nn.Module) -> bool:
    """Tell whether a model has adapters."""
    return any(True for _ in adapted_layers(model))


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the path and module of each linear map that has an adapter."""
    from peft.tuners.lora import LoraLayer

    return ((name, m) for name, m in model.named_modules() if isinstance(m, LoraLayer))


def adapted_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the blocks of a model with adapters, in order; none where that cannot be told."""
    return _blocks(model)[0]


def frozen_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the blocks below the lowest adapter, in order; none where that cannot be told."""
    listed, lowest = _blocks(model)
    return listed[:lowest]


def _blocks(model: nn.Module) -> tuple[list[nn.Module], int]:
    """The list of blocks that has the adapters, and the number of the lowest of those."""
    numbers: dict[str, set[int]] = {}  # of adapted blocks, by the path of their list
    for name, _ in adapted_layers(model):
        path = name.split(".")
        at = next((i for i, part in enumerate(path) if part.isdigit()), None)
        if at is None:
            return [], 0
        numbers.setdefault(".".join(path[:at]), set()).add(int(path[at]))
    if len(numbers) != 1:
        return [], 0
    ((name, adapted),) = numbers.items()
    listed: Any = model.get_submodule(name)
    return list(listed), min(adapted)


def adapter_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the adapters' weights by their name in the model."""
    return {name: p for name, p in model.named_parameters() if "lora_" in name}


def save_adapters(model: nn.Module, folder: Path, *, base: str) -> None:
    """Save adapters as a folder that `peft.PeftModel.from_pretrained` loads too.

    Args:
        model: The model that has them.
        folder: Made if it is not there.
        base: Name of the model they belong to, as `load_causal_lm` takes it.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = _config(model).to_dict()
    config |= {"base_model_name_or_path": base, "inference_mode": True}
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    tensors = {
        _PREFIX + name.replace(f".{_NAME}.", "."): p.detach().cpu().contiguous()
        for name, p in adapter_weights(model).items()
    }
    with replacing(folder / WEIGHTS) as path:
        save_file(tensors, path, metadata={"format": "pt"})
    with replacing(folder / CONFIG) as path:
        path.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_adapters(model: nn.Module, folder: Path, *, trainable: bool = False) -> None:
    """Put saved adapters into a model.

    Args:
        model: The model they were made for; changed in place.
        folder: As `save_adapters` or peft wrote it.
        trainable: Whether they go on learning.

    Raises:
        CheckpointError: If the folder is incomplete, or belongs to another model.
        Unsupported: If the model has adapters already.
    """
    from peft import LoraConfig
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"folder {str(folder)!r} has no {name}; give a folder that holds adapters"
            )
    try:
        config = LoraConfig.from_pretrained(str(folder))
        saved = load_file(folder / WEIGHTS)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            f"the adapters in {str(folder)!r} cannot be read ({first}); copy or save them again"
        ) from error
    _inject(model, config)  # pyright: ignore[reportArgumentType]
    _fill(model, saved, folder)
    _set_trainable(model, trainable)


@torch.no_grad()
def merge_adapters(model: nn.Module) -> None:
    """Add adapters to the weights they belong to; the model is then as if it never had any."""
    for name, layer in list(adapted_layers(model)):
        layer.merge()
        base = layer.get_base_layer()
        base.requires_grad_(False)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, base)
    forget_packed(model)  # peft adds to `.data`
    if hasattr(model, "peft_config"):
        del model.peft_config


@torch.no_grad()
def fold_adapters(model: nn.Module, folder: Path) -> None:
    """Add saved adapters to a model's weights: `load_adapters` and `merge_adapters` at once.

    Plain ones, as `save_adapters` writes them, need no peft, whose import takes seconds.

    Raises:
        CheckpointError: As `load_adapters`.
        Unsupported: As `load_adapters`.
    """
    try:
        config, saved = read_adapters(folder)
        maps = {} if config.get("fan_in_fan_out") else plain_maps(config, saved, folder)
    except (CheckpointError, Unsupported):
        maps = {}
    if not maps or not all(_fits(model, path, *both) for path, both in maps.items()):
        load_adapters(model, folder)  # peft reads it, or says what is wrong
        merge_adapters(model)
        return
    for path, (down, up) in maps.items():
        weight: Any = model.get_submodule(path).weight
        weight += (up @ down).to(weight.device, weight.dtype)


def read_adapters(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the settings and the tensors of saved adapters, without peft.

    Raises:
        CheckpointError: If they cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        saved = load_file(folder / WEIGHTS)
        _ = config["lora_alpha"] / config["r"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"the adapters in {str(folder)!r} cannot be read ({error}); copy the whole folder again"
        ) from error
    return config, saved


def plain_maps(
    config: Mapping[str, Any], saved: Mapping[str, Tensor], folder: Path
) -> dict[str, tuple[Tensor, Tensor]]:
    """Take adapters apart that are products of two maps, as `save_adapters` writes them.

    Args:
        config: As `read_adapters` gave it.
        saved: This too.
        folder: Where they are from.

    Returns:
        Path of a map -> A [r, in] and B [out, r] float32, alpha / r in B.

    Raises:
        Unsupported: If they are of another kind.
    """
    downs = [name for name in saved if name.endswith(_DOWN)]
    if (
        any(config.get(key) for key in _NOT_PLAIN)
        or len(saved) != 2 * len(downs)
        or not all(name.replace(_DOWN, _UP) in saved for name in downs)
    ):
        raise Unsupported(
            f"the adapters in {str(folder)!r} are more than products of two maps; train plain ones"
        )
    scale = config["lora_alpha"] / config["r"]
    return {
        name.removeprefix(_PREFIX).removesuffix(_DOWN): (
            saved[name].float(),
            scale * saved[name.replace(_DOWN, _UP)].float(),
        )
        for name in downs
    }


def map_tensors(path: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Name the maps beside one of the model's as adapters are saved."""
    return {f"{_PREFIX}{path}{_DOWN}": down.contiguous(), f"{_PREFIX}{path}{_UP}": up.contiguous()}


def _fits(model: nn.Module, path: str, down: Tensor, up: Tensor) -> bool:
    try:
        linear = model.get_submodule(path)
    except AttributeError:
        return False
    return isinstance(linear, nn.Linear) and linear.weight.shape == (len(up), down.shape[1])


def _inject(model: nn.Module, config: Any) -> None:
    from peft import inject_adapter_in_model

    if has_adapters(model):
        raise Unsupported("the model has adapters already; merge them first, or load it anew")
    try:
        inject_adapter_in_model(config, model, adapter_name=_NAME)
    except ValueError as error:
        names = ", ".join(sorted(config.target_modules))
        raise Unsupported(
            f"adapters do not fit the model's maps {names}; name linear maps that it has"
        ) from error
    for p in adapter_weights(model).values():
        p.data = p.data.float()  # small steps vanish in bfloat16


def _set_trainable(model: nn.Module, trainable: bool) -> None:
    model.requires_grad_(False)
    for p in adapter_weights(model).values():
        p.requires_grad_(trainable)


def _config(model: Any) -> Any:
    return model.peft_config[_NAME]


@torch.no_grad()
def _fill(model: nn.Module, saved: dict[str, Tensor], folder: Path) -> None:
    own = {_PREFIX + n.replace(f".{_NAME}.", "."): p for n, p in adapter_weights(model).items()}
    wrong = sorted(own.keys() ^ saved.keys())
    wrong = wrong or [n for n, p in own.items() if p.shape != saved[n].shape]
    if wrong:
        raise CheckpointError(
            f"the adapters in {str(folder)!r} do not fit the model ({wrong[0]}); load the model"
            f" that {CONFIG} names"
        )
    for name, p in own.items():
        p.copy_(saved[name])


class FrozenCache:
    """Hidden states below the lowest adapter, which are the same however much has been learned.

    The replies of a rollout go through the model once for the policy, once for the reference and
    once an epoch; the frozen blocks need compute them the first time only.

    Args:
        blocks: The blocks below the lowest adapter, in order; none keeps nothing.
        capacity: How many texts are kept; one more empties it.
    """

    def __init__(self, blocks: Sequence[nn.Module], capacity: int = 1024) -> None:
        self._blocks = list(blocks)
        self._capacity = capacity
        self._states: dict[_Key, Tensor] | None = None
        self._tuple = False

    def clear(self) -> None:
        """Forget all, and keep texts from here on.

        A rollout begins so; a step of training is then a function of what it starts from, and a
        resumed run repeats it bit for bit.
        """
        self._states = {}

    @contextmanager
    def reused(self, ids: Tensor, mask: Tensor) -> Iterator[None]:
        """Skip the lower blocks in the pass of the model inside, if all its texts are known.

        Args:
            ids: Token ids, [B, T].
            mask: True at real tokens, [B, T].
        """
        if self._states is None or not self._usable():
            yield
            return
        keys = [tuple(row[real].tolist()) for row, real in zip(ids.cpu(), mask.cpu(), strict=True)]
        if all(key in self._states for key in keys):
            known = torch.cat([self._states[key] for key in keys])
            states = known.new_zeros(*mask.shape, known.shape[-1])
            states[mask] = known
            with self._skipping((states,) if self._tuple else states):
                yield
            return
        outputs: list[Any] = []
        handle = self._blocks[-1].register_forward_hook(lambda _m, _given, out: outputs.append(out))
        try:
            yield
        finally:
            handle.remove()
        self._keep(self._states, keys, mask, outputs[0])

    def _usable(self) -> bool:
        """Whether the lower blocks are a function of the text alone."""
        for block in self._blocks:
            for module in block.modules():
                # Hooks may move the states, and moved twice they would be wrong.
                if module._forward_hooks or module._forward_pre_hooks:
                    return False
                if module.training and _drops(module):
                    return False
        return bool(self._blocks)

    def _keep(
        self, known: dict[_Key, Tensor], keys: Sequence[_Key], mask: Tensor, output: Any
    ) -> None:
        self._tuple = isinstance(output, tuple)
        states = (output[0] if self._tuple else output).detach()
        if len(known) + len(keys) > self._capacity:
            known.clear()
        for key, row, real in zip(keys, states, mask, strict=True):
            known[key] = row[real].clone()

    @contextmanager
    def _skipping(self, states: Any) -> Iterator[None]:
        def forward(*_: Any, **__: Any) -> Any:
            return states

        with ExitStack() as stack:
            for block in self._blocks:
                own = block.__dict__.get("forward")
                block.forward = forward
                stack.callback(_restore, block, own)
            yield


def _restore(block: nn.Module, own: Any) -> None:
    if own is None:
        del block.forward
    else:
        block.forward = own


def _drops(module: nn.Module) -> bool:
    if isinstance(module, nn.Dropout):
        return module.p > 0
    return bool(getattr(module, "attention_dropout", 0.0))
