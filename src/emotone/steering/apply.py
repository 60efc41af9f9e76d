"""Add a displacement to a model's activations while a `with` block lasts.

Three tiers do the same addition at different cost, and the cheapest exact one is chosen:

- `bias`: one displacement for all rows and columns becomes a bias of the map that ends each
  block. No extra kernel, no hook.
- `rows`: a displacement a row, one broadcast addition a block.
- `hooks`: chosen positions, or an addition that keeps the activation's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from weakref import WeakSet

import torch
from torch import Tensor, nn

from emotone.errors import SteeringError, Unsupported
from emotone.steering.attach import ATTACH, OPERATIONS, Operation, Tier
from emotone.steering.layers import Site, blocks, fold_target, unwrapped, width
from emotone.steering.positions import POSITIONS, Columns, Positions
from emotone.steering.selftest import verify

Place = Site | Literal["maps"]
"""Where something acts: a site of a block, or beside linear maps of it."""

_steered: WeakSet[nn.Module] = WeakSet()


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done to the model.

    Args:
        tier: How the addition is carried out; "none" when the displacement is zero.
        site: Where in the block.
        positions: Which columns.
        operation: How it is added.
        blocks: Indices of the steered blocks.
    """

    tier: Tier | Literal["none"]
    site: Place
    positions: Positions
    operation: Operation
    blocks: tuple[int, ...]


@contextmanager
def steering(
    model: nn.Module,
    displacement: Tensor,
    *,
    site: Site = "resid",
    positions: Positions = "all",
    operation: Operation = "add",
    tier: Tier | None = None,
    prompt_length: int | Sequence[int] | None = None,
    copies: Sequence[int] | None = None,
) -> Iterator[Applied]:
    """Steer a model for the length of a `with` block.

    Attaching is all or none, and detaching leaves the model bit for bit as it was, also after an
    exception. The first attachment of each kind is tested on the model itself
    (`emotone.steering.selftest`); at the end, blocks that never acted although the model ran
    raise. Blocks whose displacement is zero are left alone.

    Args:
        model: Any unmodified Hugging Face causal language model, or one with adapters of peft.
        displacement: What to add, in units of the activation: [L, d] for all rows, or [B, L, d]
            for each row. With beams or several returned sequences, n rows of the model in a
            group belong to one row here.
        site: Where in the block to add.
        positions: Which columns to steer.
        operation: How to add.
        tier: Force a tier; None takes the cheapest exact one.
        prompt_length: See `Columns`.
        copies: How many rows of the model belong to each row here once it runs more of them, as
            after a prompt that was read once; None for as many of each.

    Raises:
        Unsupported: If the forced tier cannot do what is asked.
        SteeringError: If the shapes differ, the values are not finite, the model is already
            steered, or the test finds that steering would not act as asked.
    """
    model = unwrapped(model)
    listed = blocks(model)
    _check(model, displacement, len(listed), positions, operation)
    chosen = _chosen(displacement)
    if not chosen:
        yield Applied("none", site, positions, operation, ())
        return
    kind = tier or _cheapest(model, displacement, listed, chosen, site, positions, operation)
    attachment = ATTACH[kind](
        model, displacement, listed, chosen, site, Columns(positions, prompt_length), operation
    )
    if attachment.counts is True:
        attachment.copies = copies
    with claimed(model):
        try:
            attachment.attach()
            verify(model, attachment, listed, chosen, site, displacement)
            attachment.start_count()
            yield Applied(kind, site, positions, operation, chosen)
            attachment.finish()
        finally:
            attachment.detach()


@contextmanager
def claimed(model: nn.Module) -> Iterator[None]:
    """Keep a model for one steering at a time.

    Raises:
        SteeringError: If another one lasts.
    """
    if model in _steered:
        raise SteeringError("the model is already steered; leave the first `with` block first")
    _steered.add(model)
    try:
        yield
    finally:
        _steered.discard(model)


def _check(
    model: nn.Module, displacement: Tensor, depth: int, positions: str, operation: str
) -> None:
    if positions not in POSITIONS:
        raise Unsupported(f"positions {positions!r} is unknown; use one of {', '.join(POSITIONS)}")
    if operation not in OPERATIONS:
        raise Unsupported(f"operation {operation!r} is unknown; use one of {', '.join(OPERATIONS)}")
    size = width(model)
    shape = tuple(displacement.shape)
    if len(shape) not in (2, 3) or shape[-2:] != (depth, size):
        raise SteeringError(
            f"the displacement has shape {shape}, the model needs [{depth}, {size}] or "
            f"[rows, {depth}, {size}]; use vectors that were made for this model"
        )
    if not torch.isfinite(displacement).all():
        raise SteeringError("the displacement holds NaN or infinity; use an undamaged vector file")


def _chosen(displacement: Tensor) -> tuple[int, ...]:
    per_block = displacement.abs().amax(dim=-1)
    if per_block.dim() == 2:
        per_block = per_block.amax(dim=0)
    return tuple(int(i) for i in per_block.nonzero()[:, 0])


def _cheapest(
    model: nn.Module,
    displacement: Tensor,
    listed: list[nn.Module],
    chosen: tuple[int, ...],
    site: Site,
    positions: Positions,
    operation: Operation,
) -> Tier:
    if positions != "all" or operation != "add":
        return "hooks"
    if displacement.dim() == 3:
        return "rows"
    if all(fold_target(model, listed[i], site) is not None for i in chosen):
        return "bias"
    return "rows"
