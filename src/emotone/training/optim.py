"""Optimisers, ECM's schedule, and their state as plain tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import CheckpointError
from emotone.training.settings import Training
from emotone.training.sharding import cut_like


def optimiser(
    parameters: Iterable[nn.Parameter], settings: Training, device: torch.device
) -> torch.optim.Optimizer:
    """Make the optimiser; fused where torch can, as that is one kernel instead of one a tensor."""
    trained = [p for p in parameters if p.requires_grad]
    fused = device.type in ("cpu", "cuda", "mps")
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused
        )
    return torch.optim.Adam(
        trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused
    )


def decayed(lr: float, decay: float, loss: float, before: Sequence[float]) -> float:
    """Lower the learning rate when the loss is above each of the last three.

    Args:
        lr: Learning rate so far.
        decay: Factor, at most 1.
        loss: Mean training loss since the last evaluation.
        before: The same of earlier evaluations, oldest first.

    Source: the released code of Zhou et al. 2018 (ECM), which decays after the third at the
        earliest.
    """
    return lr * decay if len(before) > 2 and loss > max(before[-3:]) else lr


def scheduled(lr: float, step: int, warmup: int, linear: int) -> float:
    """Learning rate of a step under a straight rise and a straight fall.

    Args:
        lr: The rate between them.
        step: Steps made before this one.
        warmup: Steps of the rise; 0 for none.
        linear: Step at which the rate is 0; 0 for no fall.
    """
    if warmup and step < warmup:
        return lr * (step + 1) / warmup
    if not linear:
        return lr
    return lr * max(0.0, (linear - step) / max(linear - warmup, 1))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def flatten(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Take the optimiser's state apart, by the names of the parameters.

    Returns:
        Tensors named "parameter/state", and what is not a tensor as {parameter: {state: value}}.
    """
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{key}"] = value
            elif value is not None:
                scalars.setdefault(name, {})[key] = value
    return tensors, scalars


def restore(
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    scalars: Mapping[str, Mapping[str, Any]],
) -> None:
    """Put back what `flatten` took apart.

    Raises:
        CheckpointError: If the state is of other parameters than these.
    """
    states: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        name, _, state = key.rpartition("/")
        states.setdefault(name, {})[state] = tensor
    for name, values in scalars.items():
        states.setdefault(name, {}).update(values)
    if strange := states.keys() - parameters.keys():
        raise CheckpointError(
            f"the optimiser's state names {min(strange)!r}, which the model lacks; resume with the"
            " settings the run began with"
        )
    optimizer.state.clear()
    for name, values in states.items():
        parameter = parameters[name]
        optimizer.state[parameter] = {
            # A fused step counter stays on the parameter's device, as do the moments.
            key: cut_like(value, parameter) if isinstance(value, Tensor) else value
            for key, value in values.items()
        }
