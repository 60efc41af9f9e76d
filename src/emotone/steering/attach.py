"""The two ways a displacement is tied to a model: as biases, and as hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from emotone.errors import SteeringError, Unsupported
from emotone.steering.layers import Site, decoder, fold_target, site_module
from emotone.steering.positions import Columns
from emotone.steering.record import hidden

Operation = Literal["add", "keep_norm"]
"""`add` the displacement, or add it and scale back to the activation's own length."""

OPERATIONS: tuple[Operation, ...] = ("add", "keep_norm")
Tier = Literal["bias", "rows", "hooks"]
TIERS: tuple[Tier, ...] = ("bias", "rows", "hooks")


class BiasAttachment:
    """The displacement as a bias of the map that ends each block.

    `state_dict()`, and all that saves by it, gives the model's own weights meanwhile.
    """

    operation: Operation = "add"
    #: A bias cannot miss a pass, so there is nothing to count.
    counts: Literal[False] = False

    def __init__(
        self,
        model: nn.Module,
        displacement: Tensor,
        listed: list[nn.Module],
        chosen: tuple[int, ...],
        site: Site,
        columns: Columns,
        operation: Operation,
    ) -> None:
        if displacement.dim() != 2 or columns.positions != "all" or operation != "add":
            raise Unsupported(
                "tier 'bias' adds one displacement at all positions; leave the tier open"
            )
        self._chosen = chosen
        self._maps: list[tuple[nn.Module, nn.Parameter | None, float]] = []
        for index in chosen:
            target = fold_target(model, listed[index], site)
            if target is None:
                raise Unsupported(
                    f"tier 'bias' is not exact at site {site!r} of this model; leave the tier open"
                )
            linear, divisor = target
            self._maps.append((linear, linear.bias, divisor))  # pyright: ignore
        self._model = model
        self._displacement = displacement
        self._own: list[nn.Parameter] = []
        self._handles: list[Any] = []

    def attach(self) -> None:
        """Put the biases in place."""
        for linear, bias, _ in self._maps:
            weight = linear.weight
            width = self._displacement.shape[-1]
            own = torch.zeros(width, dtype=weight.dtype, device=weight.device)  # pyright: ignore
            parameter = nn.Parameter(own, requires_grad=False)
            self._own.append(parameter)
            linear.register_parameter("bias", parameter)
            if bias is not None:
                parameter.data.copy_(bias.data)
            self._handles += [
                linear.register_state_dict_post_hook(_saves(bias)),
                linear.register_load_state_dict_pre_hook(_refuse_weights),
            ]
        # Asked before any part of the model is loaded.
        self._handles.append(self._model.register_load_state_dict_pre_hook(_refuse_weights))
        self.set(self._displacement)

    def set(self, displacement: Tensor) -> None:
        """Change what is added, [L, d], in place."""
        for index, own, (_, bias, divisor) in zip(self._chosen, self._own, self._maps, strict=True):
            value = displacement[index].to(own.device, torch.float32) / divisor
            own.data.copy_(value if bias is None else bias.data.float() + value)

    def detach(self) -> None:
        """Put the model's own biases back, the very same objects."""
        for linear, bias, _ in self._maps[: len(self._own)]:
            linear.register_parameter("bias", bias)
        self._own.clear()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def start_count(self) -> None:
        """Count nothing."""

    def finish(self) -> None:
        """Raise if somebody replaced a bias in the meantime."""
        for (linear, _, _), own in zip(self._maps, self._own, strict=True):
            if linear.bias is not own:
                raise SteeringError(
                    "a steered map lost its bias while steering lasted; "
                    "do not load or swap weights inside the `with` block"
                )


def _saves(bias: nn.Parameter | None) -> Callable[..., None]:
    """Return a hook by which a state dict holds a map's own bias, or none, in place of a push."""

    def hook(_module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
        pushed = state.pop(f"{prefix}bias")
        if bias is not None:
            state[f"{prefix}bias"] = bias if isinstance(pushed, nn.Parameter) else bias.detach()

    return hook


def _refuse_weights(*_: Any) -> None:
    raise SteeringError(
        "weights are loaded into a model that is steered; leave the `with` block first"
    )


class HookAttachment:
    """The displacement added by a forward hook on each chosen block."""

    #: It counts how often each block acted, since a hook that is never called says nothing.
    counts: Literal[True] = True

    def __init__(
        self,
        model: nn.Module,
        displacement: Tensor,
        listed: list[nn.Module],
        chosen: tuple[int, ...],
        site: Site,
        columns: Columns,
        operation: Operation,
    ) -> None:
        self._decoder = decoder(model)
        self._modules = [site_module(model, listed[i], site) for i in chosen]
        self._chosen = chosen
        self._columns = columns
        self.operation = operation
        reference = next(model.parameters())
        self._dtype, self._device = reference.dtype, reference.device
        self._rows = torch.empty(0)
        self._spread: Tensor | None = None
        self._handles: list[Any] = []
        self._fired = [0] * len(chosen)
        self._passes = 0
        self.everywhere = False
        #: Rows of the model that belong to each row of the displacement; None for as many of each.
        self.copies: Sequence[int] | None = None
        self.set(displacement)

    def set(self, displacement: Tensor) -> None:
        """Change what is added, [L, d] or [B, L, d]."""
        self._displacement = displacement
        rows = displacement if displacement.dim() == 3 else displacement[None]
        # One row of memory a block: [L, B, 1, d], so that a hook only takes an index.
        self._rows = (
            rows[:, list(self._chosen)].to(self._device, self._dtype).transpose(0, 1).unsqueeze(2)
        )
        self._spread = None

    def attach(self) -> None:
        """Register every hook."""
        self._handles.append(
            self._decoder.register_forward_pre_hook(self._before, with_kwargs=True)
        )
        for slot, module in enumerate(self._modules):
            self._handles.append(module.register_forward_hook(self._hook(slot)))

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._passes += 1
        self._columns.before_forward(module, args, kwargs)

    def _hook(self, slot: int) -> Callable[[nn.Module, Any, Any], Any]:
        plain = self._columns.positions == "all" and self.operation == "add"

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            state = hidden(output)
            if state.dtype != self._dtype:  # Mamba keeps its residual stream in float32
                self._dtype = state.dtype
                self.set(self._displacement)
            push = self._for_rows(state.shape[0])[slot]
            self._fired[slot] += 1
            moved = state + push if plain else self._general(state, push)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return hook

    def _general(self, state: Tensor, push: Tensor) -> Tensor:
        mask = None if self.everywhere else self._columns.mask(state.shape[1], state.device)
        if mask is not None and not mask.any():
            return state
        moved = state + push
        if self.operation == "keep_norm":
            own = state.float().norm(dim=-1, keepdim=True)
            new = moved.float().norm(dim=-1, keepdim=True).clamp_min(1e-12)
            moved = (moved.float() * (own / new)).to(state.dtype)
        return moved if mask is None else torch.where(mask, moved, state)

    def _for_rows(self, count: int) -> Tensor:
        given = self._rows.shape[1]
        if given in (1, count):
            return self._rows
        if self._spread is None or self._spread.shape[1] != count:
            copies = self.copies or [count // given] * given
            if sum(copies) != count:
                raise SteeringError(
                    f"the model runs {count} rows, the mixes are for {given}; "
                    "give one mix, or as many mixes as prompts"
                )
            rows = torch.tensor(copies, device=self._device)
            self._spread = self._rows.repeat_interleave(rows, dim=1)
        return self._spread

    def detach(self) -> None:
        """Remove every hook that was registered."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def start_count(self) -> None:
        """Count from here."""
        self._fired = [0] * len(self._fired)
        self._passes = 0

    def fired(self) -> list[int]:
        """Return how often each chosen block acted."""
        return list(self._fired)

    def finish(self) -> None:
        """Raise if the model ran and a chosen block did not act."""
        silent = [i for i, n in zip(self._chosen, self._fired, strict=True) if n == 0]
        if self._passes and silent:
            raise SteeringError(
                f"the model ran {self._passes} passes, but blocks {silent} were never steered; "
                "use a model whose blocks are called as modules"
            )


Attachment = BiasAttachment | HookAttachment

ATTACH: dict[Tier, type[BiasAttachment] | type[HookAttachment]] = {
    "bias": BiasAttachment,
    "rows": HookAttachment,
    "hooks": HookAttachment,
}
