"""What a state is worth: the critic that shares a policy's trunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ValueHead(nn.Module):
    """Dropout and one linear map from the last state to a number.

    Source: trl 0.9.6, `ValueHead`, as EmpRL (arXiv 2408.02976) uses it. Its gradient flows into
    the trunk there; `detach` keeps it out. Its weights are drawn there; here they begin at 0, for
    a critic that knows nothing and says 0 makes an advantage the return alone, and one that says
    something at random buries it in noise until it has learned.

    Args:
        width: Size of a state.
        dropout: Share of a state that is dropped in training.
        detach: Whether the gradient stops at the state.
    """

    def __init__(self, width: int, *, dropout: float = 0.1, detach: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(1))
        self._dropout = nn.Dropout(dropout)
        self._detach = detach

    def forward(self, states: Tensor) -> Tensor:
        """Values of states, [..., d] -> [...], float32 whatever autocast says."""
        if self._detach:
            states = states.detach()
        with torch.autocast(states.device.type, enabled=False):
            return self._dropout(states.float()) @ self.weight + self.bias
