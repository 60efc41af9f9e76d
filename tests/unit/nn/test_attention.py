"""Attention: sums, padding, neighbours, and the printed formulas on cases done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emotone.nn.attention import Additive, General, project

M, Q = 4, 3
KINDS = ("additive", "general")


def attention(kind: str, seed: int = 0) -> Additive | General:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Additive(M, 5, Q) if kind == "additive" else General(M, Q)
    return made.double()


def batch(lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Query, values and mask of some rows; what lies behind a row's end is loud."""
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    values = torch.randn(len(lengths), max(lengths), M, generator=g, dtype=torch.float64)
    values[~mask] *= 1e3
    return torch.randn(len(lengths), Q, generator=g, dtype=torch.float64), values, mask


@pytest.mark.parametrize("kind", KINDS)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_weights_sum_to_1_over_real_tokens_and_are_0_on_padding(kind, lengths, seed):
    query, values, mask = batch(lengths, seed)
    module = attention(kind, seed)
    context, weights = module(query, project(module, values, mask))
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[:, 0]))
    assert (weights[mask] >= 0).all()
    assert (weights[~mask] == 0).all()
    want = torch.einsum("bs,bsm->bm", weights, values)
    torch.testing.assert_close(context, want)


@pytest.mark.parametrize("kind", KINDS)
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=5), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_a_row_neither_sees_its_padding_nor_its_neighbours(kind, lengths, seed):
    query, values, mask = batch(lengths, seed)
    module = attention(kind, seed)
    together, _ = module(query, project(module, values, mask))
    for row, size in enumerate(lengths):
        part = slice(row, row + 1)
        memory = project(module, values[part, :size], mask[part, :size])
        alone, _ = module(query[part], memory)
        torch.testing.assert_close(together[part], alone, rtol=0, atol=1e-9)


def test_general_attention_by_hand():
    # W_a = [[1, 0], [0, 2]]; s = (1, 1); h_1 = (ln 2, 0), h_2 = (0, ln 2 / 2): scores ln 2, ln 2
    module = General(2, 2).double()
    module.key.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    values = torch.tensor([[[math.log(2), 0.0], [0.0, math.log(2) / 2]]], dtype=torch.float64)
    memory = project(module, values, torch.tensor([[True, True]]))
    context, weights = module(torch.ones(1, 2, dtype=torch.float64), memory)
    assert weights.tolist() == [[0.5, 0.5]]
    assert context[0].tolist() == pytest.approx([math.log(2) / 2, math.log(2) / 4])
    # s = (1, 0): scores ln 2 and 0, so weights 2/3 and 1/3
    _, weights = module(torch.tensor([[1.0, 0.0]], dtype=torch.float64), memory)
    assert weights[0].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_additive_attention_is_its_formula():
    query, values, mask = batch([3, 2], 5)
    module = attention("additive", 5)
    assert isinstance(module, Additive)
    assert module.query is not None
    _, weights = module(query, project(module, values, mask))
    w_h, b, w_q = module.key.weight, module.key.bias, module.query.weight
    for row, size in enumerate((3, 2)):
        hidden = [torch.tanh(w_h @ h + w_q @ query[row] + b) for h in values[row, :size]]
        scores = torch.stack([module.score.weight[0] @ h for h in hidden])
        torch.testing.assert_close(weights[row, :size], scores.softmax(0))


def test_a_decoder_may_project_its_query_itself():
    query, values, mask = batch([3, 2], 6)
    module = attention("additive", 6)
    assert isinstance(module, Additive)
    assert module.query is not None
    memory = project(module, values, mask)
    for one, other in zip(
        module(query, memory), module.attend(module.query(query), memory), strict=True
    ):
        assert torch.equal(one, other)
    bare = Additive(M, 5)
    assert bare.query is None
    assert len(list(bare.parameters())) == 3
