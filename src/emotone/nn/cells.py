"""Recurrent cells on gates that are already projected; on a GPU torch's fused kernels do them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def gru(inputs: Tensor, gates: Tensor, state: Tensor) -> Tensor:
    """Take one GRU step with the reset gate after the candidate's product.

        r = sigmoid(x_r + h_r);  u = sigmoid(x_u + h_u);  n = tanh(x_n + r * h_n)
        s' = u * s + (1 - u) * n

    Args:
        inputs: Projected input, parts r, u, n side by side, [B, 3h].
        gates: Projected state likewise, [B, 3h].
        state: The state, [B, h].

    Source: Cho et al. 2014, in the variant of cuDNN and `torch.nn.GRU`.
    """
    if inputs.is_cuda:
        # The same numbers in one kernel instead of ten; training is bound by launches there.
        fused = torch.ops.aten._thnn_fused_gru_cell(inputs, gates, state)
        return fused[0]
    x_r, x_u, x_n = inputs.chunk(3, -1)
    h_r, h_u, h_n = gates.chunk(3, -1)
    update = torch.sigmoid(x_u + h_u)
    candidate = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return candidate + update * (state - candidate)


def gru_reset_first(
    inputs: Tensor, gates: Tensor, state: Tensor, candidate: Callable[[Tensor], Tensor]
) -> Tensor:
    """Take one GRU step with the reset gate before the candidate's product.

        n = tanh(x_n + W (r * s))

    Args:
        inputs: Projected input, parts r, u, n, [B, 3h].
        gates: Projected state, parts r and u, [B, 2h].
        state: The state, [B, h].
        candidate: W, [B, h] to [B, h].

    Source: Cho et al. 2014, equation 8; TensorFlow's `GRUCell`, on which ECM's code is built.
    """
    x_r, x_u, x_n = inputs.chunk(3, -1)
    h_r, h_u = gates.chunk(2, -1)
    update = torch.sigmoid(x_u + h_u)
    new = torch.tanh(x_n + candidate(torch.sigmoid(x_r + h_r) * state))
    return new + update * (state - new)


def uniform(weight: Tensor, inputs: int) -> None:
    """Draw numbers between -sqrt(3 / n) and sqrt(3 / n) for n inputs, in place.

    Args:
        weight: Of any shape.
        inputs: n.

    Source: TensorFlow's `uniform_unit_scaling_initializer`, its default up to 0.12.
    """
    bound = math.sqrt(3 / inputs)
    nn.init.uniform_(weight, -bound, bound)


def lstm(inputs: Tensor, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Take one LSTM step.

        c' = sigmoid(f) * c + sigmoid(i) * tanh(g);  s' = sigmoid(o) * tanh(c')

    Args:
        inputs: Projected input, parts i, f, g, o side by side, [B, 4h].
        gates: Projected state likewise, [B, 4h].
        cell: The cell state, [B, h].

    Returns:
        State and cell state, [B, h] each.

    Source: Hochreiter and Schmidhuber 1997, with forget gate, as `torch.nn.LSTM`.
    """
    if inputs.is_cuda:
        state, new, _ = torch.ops.aten._thnn_fused_lstm_cell(inputs, gates, cell)
        return state, new
    i, f, g, o = (inputs + gates).chunk(4, -1)
    new = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new), new
