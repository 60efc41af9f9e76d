"""Encoders: the states of torch's own cells, row by row, whatever stands beside or behind them."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emotone.nn.encoder import Encoded, Encoder

D, H = 4, 3
VARIANTS = list(itertools.product(("gru", "lstm"), (True, False), (1, 2)))


def encoder(cell, bidirectional: bool, layers: int, seed: int = 0) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Encoder(D, H, layers, cell=cell, bidirectional=bidirectional)
    return made.double().eval()


def tokens(lengths: list[int], seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), max(lengths), D, generator=g, dtype=torch.float64)


def by_cells(module: Encoder, row: Tensor) -> tuple[Tensor, Tensor]:
    """States [S, m] and last states [L, m] of one row, by torch's cells in a loop."""
    rnn = module.rnn
    inputs, last = row, []
    for layer in range(module.layers):
        ways = []
        for way in range(2 if rnn.bidirectional else 1):
            cell = (nn.GRUCell if rnn.mode == "GRU" else nn.LSTMCell)(inputs.shape[1], H).double()
            end = f"_l{layer}{'_reverse' if way else ''}"
            cell.load_state_dict({k: getattr(rnn, k + end) for k in cell.state_dict()})
            state, made = None, []
            for x in reversed(inputs) if way else inputs:
                state = cell(x[None], state)
                made.append((state[0] if isinstance(state, tuple) else state)[0])
            last_one = made[-1]
            ways.append((torch.stack(made[::-1] if way else made), last_one))
        inputs = torch.cat([states for states, _ in ways], -1)
        last.append(torch.cat([state for _, state in ways]))
    return inputs, torch.stack(last)


@pytest.mark.parametrize(("cell", "bidirectional", "layers"), VARIANTS)
def test_states_are_those_of_torch_s_cells_in_a_loop(cell, bidirectional, layers):
    lengths = [4, 1, 3]
    module, embedded = encoder(cell, bidirectional, layers), tokens(lengths)
    found = module(embedded, torch.tensor(lengths))
    assert module.width == H * (2 if bidirectional else 1)
    assert found.mask.tolist() == [[s < n for s in range(4)] for n in lengths]
    for i, n in enumerate(lengths):
        states, last = by_cells(module, embedded[i, :n])
        torch.testing.assert_close(found.states[i, :n], states)
        torch.testing.assert_close(found.last[i], last)


def same(one: Encoded, i: int, other: Encoded, j: int, n: int) -> None:
    torch.testing.assert_close(one.states[i, :n], other.states[j, :n], rtol=0, atol=1e-12)
    torch.testing.assert_close(one.last[i], other.last[j], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("cell", "bidirectional", "layers"), VARIANTS)
@given(lengths=st.lists(st.integers(1, 7), min_size=2, max_size=5), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=10)
def test_padding_and_neighbours_change_nothing(cell, bidirectional, layers, lengths, seed):
    module, embedded = encoder(cell, bidirectional, layers, seed), tokens(lengths, seed)
    together = module(embedded, torch.tensor(lengths))
    louder = torch.cat([embedded, torch.full_like(embedded, 1e3)], 1)
    padded = module(louder, torch.tensor(lengths))
    back = module(embedded.flip(0), torch.tensor(lengths[::-1]))
    for i, n in enumerate(lengths):
        same(together, i, module(embedded[i : i + 1, :n], torch.tensor([n])), 0, n)
        same(together, i, padded, i, n)
        same(together, i, back, len(lengths) - 1 - i, n)
