"""What a state is worth: the critic that shares a policy's trunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ValueHead(nn.Module):
    """Dropout and one linear map from the last state to a number.

    Source: trl 0.9.6, `ValueHead`, as EmpRL (arXiv 2408.02976) uses it. Its gradient flows into
    the trunk there; `detach` keeps it out.

    Args:
        width: Size of a state.
        dropout: Share of a state that is dropped in training.
        detach: Whether the gradient stops at the state.
        seed: Seed of the weights, drawn as torch draws those of a linear map.
    """

    def __init__(
        self, width: int, *, dropout: float = 0.1, detach: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        bound = width**-0.5
        self.weight = nn.Parameter((2 * torch.rand(width, generator=draw) - 1) * bound)
        self.bias = nn.Parameter((2 * torch.rand(1, generator=draw) - 1) * bound)
        self._dropout = nn.Dropout(dropout)
        self._detach = detach

    def forward(self, states: Tensor) -> Tensor:
        """Values of states, [..., d] -> [...], float32 whatever autocast says."""
        if self._detach:
            states = states.detach()
        with torch.autocast(states.device.type, enabled=False):
            return self._dropout(states.float()) @ self.weight + self.bias
