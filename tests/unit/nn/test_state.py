"""Re-indexing a state moves all of it, whatever it is made of."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotone.nn.state import select


class Inner(NamedTuple):
    hidden: torch.Tensor
    cell: torch.Tensor | None


class Outer(NamedTuple):
    layers: tuple[Inner, ...]
    mask: torch.Tensor
    nothing: tuple[()]


def outer(rows: int) -> Outer:
    x = torch.arange(rows * 3.0).view(rows, 3)
    return Outer((Inner(x, None), Inner(-x, x[:, None] + 100)), x[:, 0] > 2, ())


@given(st.lists(st.integers(0, 3), max_size=9))
def test_every_tensor_is_re_indexed_and_the_structure_stays(rows):
    old, wanted = outer(4), torch.tensor(rows, dtype=torch.long)
    new = select(old, wanted)
    assert type(new) is Outer
    assert [type(layer) for layer in new.layers] == [Inner, Inner]
    assert new.layers[0].cell is None
    assert new.nothing == ()
    assert torch.equal(new.mask, old.mask[wanted])
    for made, had in zip(new.layers, old.layers, strict=True):
        assert torch.equal(made.hidden, had.hidden[wanted])
    assert torch.equal(new.layers[1].cell, old.layers[1].cell[wanted])  # pyright: ignore


def test_what_goes_in_is_not_changed_by_what_comes_out():
    old = outer(4)
    select(old, torch.arange(4)).mask.zero_()
    assert torch.equal(old.mask, outer(4).mask)


def test_a_tensor_alone_and_none_are_states():
    assert select(None, torch.tensor([0])) is None
    assert select(torch.tensor([5, 6]), torch.tensor([1, 1])).tolist() == [6, 6]


@pytest.mark.parametrize(
    ("state", "what"),
    [([torch.zeros(2)], "list"), ((torch.zeros(2), 3), "int"), (torch.tensor(1.0), "without rows")],
)
def test_what_would_stay_behind_is_refused(state, what):
    with pytest.raises(TypeError, match=f"a state holds .*{what}.*; use tensors"):
        select(state, torch.tensor([0]))
