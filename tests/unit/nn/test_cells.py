"""One step of each cell against torch's cells and the printed equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from emotone.nn.cells import gru, gru_reset_first, lstm

B, D, H = 5, 4, 3


def case(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, state, cell = (torch.randn(B, n, generator=g, dtype=torch.float64) for n in (D, H, H))
    return x, state, cell


def projected(cell: nn.GRUCell | nn.LSTMCell, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    return (
        linear(x, cell.weight_ih, cell.bias_ih),
        linear(state, cell.weight_hh, cell.bias_hh),
    )


@pytest.mark.parametrize("seed", range(3))
def test_gru_is_torch_s(seed: int):
    x, state, _ = case(seed)
    cell = nn.GRUCell(D, H).double()
    torch.testing.assert_close(gru(*projected(cell, x, state), state), cell(x, state))


@pytest.mark.parametrize("seed", range(3))
def test_lstm_is_torch_s(seed: int):
    x, state, memory = case(seed)
    cell = nn.LSTMCell(D, H).double()
    made = lstm(*projected(cell, x, state), memory)
    for one, other in zip(made, cell(x, (state, memory)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_reset_first_is_the_printed_equation(seed: int):
    x, state, _ = case(seed)
    inputs, gates = nn.Linear(D, 3 * H).double(), nn.Linear(H, 2 * H).double()
    candidate = nn.Linear(H, H).double()
    made = gru_reset_first(inputs(x), gates(state), state, candidate)
    for row in range(B):
        x_r, x_u, x_n = inputs(x)[row].split(H)
        h_r, h_u = gates(state)[row].split(H)
        r, u = torch.sigmoid(x_r + h_r), torch.sigmoid(x_u + h_u)
        n = torch.tanh(x_n + candidate.weight @ (r * state[row]) + candidate.bias)
        torch.testing.assert_close(made[row], u * state[row] + (1 - u) * n)


def test_the_two_orders_of_the_reset_gate_agree_where_it_is_open():
    x, state, _ = case(9)
    cell = nn.GRUCell(D, H).double()
    with torch.no_grad():
        cell.bias_ih[:H] = 40.0  # r = 1 to the last digit
    inputs, gates = projected(cell, x, state)
    candidate = nn.Linear(H, H).double()
    with torch.no_grad():
        candidate.weight.copy_(cell.weight_hh[2 * H :])
        candidate.bias.copy_(cell.bias_hh[2 * H :])
    first = gru_reset_first(inputs, gates[:, : 2 * H], state, candidate)
    torch.testing.assert_close(first, gru(inputs, gates, state))


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_gates_keep_states_finite(size: float):
    x, state, memory = (t.float() for t in case(4))
    gates = torch.full((B, 4 * H), size)
    wide = gates[:, : 3 * H]
    assert gru(wide, wide, state).isfinite().all()
    assert gru_reset_first(wide, wide[:, : 2 * H], state, nn.Identity()).isfinite().all()
    assert all(t.isfinite().all() for t in lstm(gates, gates, memory))
    del x
