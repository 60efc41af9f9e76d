"""The two ways a displacement is tied to a model: as biases, and as hooks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from emotone.errors import SteeringError, Unsupported
from emotone.steering.layers import Site, decoder, fold_target, site_module, stream
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


class CountedHooks:
    """Hooks tied to a model, and how often each acted: one that is never called says nothing.

    Args:
        slots: How many act.
        columns: Which columns of a pass are steered, and what was refused.
    """

    counts: Literal[True] = True

    def __init__(self, slots: int, columns: Columns) -> None:
        self._columns = columns
        self._handles: list[Any] = []
        self._fired = [0] * slots
        #: How often the decoder ran.
        self.passes = 0
        #: Rows of the model that belong to each row of the push; None for as many of each.
        self.copies: Sequence[int] | None = None

    def detach(self) -> None:
        """Remove every hook that was registered."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def start_count(self) -> None:
        """Count from here."""
        self._fired = [0] * len(self._fired)
        self.passes = 0

    def fired(self) -> list[int]:
        """Return how often each acted."""
        return list(self._fired)

    def silent(self) -> list[int]:
        """Return those that never acted though the model ran; raise if a pass was refused."""
        if self._columns.refusal is not None:
            raise self._columns.refusal
        return [i for i, n in enumerate(self._fired) if n == 0] if self.passes else []


class HookAttachment(CountedHooks):
    """The displacement added by a forward hook on each chosen block."""

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
        self._model, self._decoder = model, decoder(model)
        self._modules = [site_module(model, listed[i], site) for i in chosen]
        self._chosen = chosen
        super().__init__(len(chosen), columns)
        self.operation = operation
        self._stream = stream(model) if site == "resid" else None
        reference = next(model.parameters())
        self._dtype, self._device = reference.dtype, reference.device
        self.everywhere = False
        self.set(displacement)

    def set(self, displacement: Tensor) -> None:
        """Change what is added, [L, d] or [B, L, d]."""
        rows = displacement if displacement.dim() == 3 else displacement[None]
        # One row of memory a block, [L, B, 1, d], so that a hook only takes an index.
        self._rows = rows[:, list(self._chosen)].transpose(0, 1).unsqueeze(2)
        device = "cpu" if self._device.type == "meta" else self._device
        self._pushes = list(self._rows.to(device, self._dtype))

    def attach(self) -> None:
        """Register every hook."""
        forget_compiled()
        for module, before in ((self._model, self._enter), (self._decoder, self._before)):
            self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        for slot, module in enumerate(self._modules):
            self._handles.append(module.register_forward_hook(self._hook(slot)))

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._columns.before_model(module, args, kwargs)

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.passes += 1
        self._columns.before_forward(module, args, kwargs)

    def _hook(self, slot: int) -> Callable[[nn.Module, Any, Any], Any]:
        plain = self._columns.positions == "all" and self.operation == "add"

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            every = hidden(output)
            state = every if self._stream is None else every[self._stream]
            push = self._push(slot, state)
            self._fired[slot] += 1
            moved = state + push if plain else self._general(state, push)
            if self._stream is not None:
                moved = torch.stack([*every[: self._stream], moved, *every[self._stream + 1 :]])
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

    def _push(self, slot: int, state: Tensor) -> Tensor:
        """Return what is added to a block's state [B, T, d], as [1 or B, 1, d]."""
        push, count = self._pushes[slot], state.shape[0]
        # Embeddings may be in another type than blocks, and blocks on several devices.
        if (
            push.dtype != state.dtype
            or push.device != state.device
            or push.shape[0] not in (1, count)
        ):
            push = self._for_rows(slot, count).to(state.device, state.dtype)
            self._pushes[slot] = push
        return push

    def _for_rows(self, slot: int, count: int) -> Tensor:
        try:
            return rows_for(self._rows[slot], count, self.copies)
        except SteeringError as error:
            self._columns.refuse(str(error), SteeringError)

    def finish(self) -> None:
        """Raise if a pass was refused, or the model ran and a chosen block did not act."""
        if silent := self.silent():
            raise SteeringError(
                f"the model ran {self.passes} passes, but blocks"
                f" {[self._chosen[i] for i in silent]} were never steered; "
                "use a model whose blocks are called as modules"
            )


def rows_for(rows: Tensor, count: int, copies: Sequence[int] | None) -> Tensor:
    """Give each row that a model runs the push that it belongs to.

    Args:
        rows: A push for each row that was asked, or one for all, along the first axis.
        count: Rows that the model runs.
        copies: How many of them belong to each that was asked; None for as many of each.

    Returns:
        `rows` of one or of `count` pushes.

    Raises:
        SteeringError: If the numbers do not fit.
    """
    given = len(rows)
    if given in (1, count):
        return rows
    copies = copies or [count // given] * given
    if sum(copies) != count:
        raise SteeringError(
            f"the model runs {count} rows, the mixes are for {given}; "
            "give one mix, or as many mixes as prompts"
        )
    return rows.repeat_interleave(torch.tensor(copies, device=rows.device), dim=0)


def forget_compiled() -> None:
    """Let torch.compile look at its modules again: what it compiled before knows no hooks."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None and dynamo.convert_frame.input_codes.seen:
        dynamo.reset()


Attachment = BiasAttachment | HookAttachment

ATTACH: dict[Tier, type[BiasAttachment] | type[HookAttachment]] = {
    "bias": BiasAttachment,
    "rows": HookAttachment,
    "hooks": HookAttachment,
}
