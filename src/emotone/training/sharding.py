"""Weights that are cut over the processes of a run, for models that one card does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emotone.models.packed import unpack_linear_maps


def shard(model: nn.Module, blocks: Sequence[nn.Module], device: torch.device) -> None:
    """Cut a model's weights over the processes, in place; a pass gathers those of one block.

    Every process must then take part in every pass, and its optimiser sees its part only.

    Args:
        model: Called by its `forward` alone; may still be on the CPU, and larger than a card.
        blocks: Those of its modules that are cut and gathered by themselves.
        device: Where this process computes.

    Source: Zhao et al. 2023 (FSDP); torch's `fully_shard` ("FSDP2").
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    unpack_linear_maps(model)  # weights that come and go cannot be laid out ahead
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for module in (*blocks, model):
        fully_shard(module, mesh=mesh)


@torch.no_grad()
def gather_learned(model: nn.Module) -> None:
    """Give every process the learned weights of a sharded model whole, in place.

    What is frozen stays cut, so the model computes nothing any more: save what it has learned.
    """
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.requires_grad:
                setattr(module, name, nn.Parameter(whole(parameter)))


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor without its gradient, gathered if it is cut: then all processes must ask."""
    values: Any = tensor.detach()
    return values.full_tensor() if hasattr(values, "full_tensor") else values


def is_cut(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether this process holds only a part of some tensor."""
    return any(hasattr(tensor, "full_tensor") for tensor in tensors.values())


def cut_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return this process's part of a whole tensor where another of its shape is cut."""
    like: Any = other
    if not hasattr(like, "full_tensor") or tensor.shape != other.shape:
        return tensor.to(other.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(other.device), like.device_mesh, like.placements)
