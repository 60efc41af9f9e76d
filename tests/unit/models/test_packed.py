"""Weights in blocks: the same products, other bits, and never a weight of yesterday."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from emotone.models import packed


class _Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def model(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 96, bias=bias), nn.Tanh(), nn.Linear(96, 40, bias=bias))


@pytest.fixture
def available() -> None:
    if not packed._available():
        pytest.skip("this build of torch has no oneDNN")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (8, 48), (3, 5, 48), (300, 48), (2, 0, 48)])
def test_packed_maps_compute_what_plain_ones_do(shape: tuple[int, ...], bias: bool):
    ours, plain = frozen(model(bias)), model(bias)
    rows = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(ours(rows), plain(rows), rtol=1e-5, atol=1e-5)


def test_a_row_has_the_same_bits_whatever_stands_beside_it(available: None):
    ours = frozen(model())
    rows = torch.randn(33, 48)
    with torch.inference_mode():
        together = ours(rows)
        for many in (1, 2, 7, 8, 32):
            assert torch.equal(ours(rows[:many]), together[:many])


def frozen(one: nn.Module) -> nn.Module:
    packed.pack_linear_maps(one.requires_grad_(False))
    return one


def test_weights_changed_in_place_are_read_as_they_are_now(available: None):
    ours, rows = frozen(model()), torch.randn(4, 48)
    with torch.inference_mode():
        before = ours(rows)
    twice = {k: v * 2 for k, v in ours.state_dict().items()}
    ours.load_state_dict(twice)
    plain = model()
    plain.load_state_dict(twice)
    with torch.inference_mode():
        torch.testing.assert_close(ours(rows), plain(rows), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(ours(rows), before)


def test_what_is_changed_behind_its_back_is_read_when_it_is_told(available: None):
    ours, rows = frozen(model(bias=False)), torch.randn(4, 48)
    with torch.inference_mode():
        assert ours(rows).any()
    for parameter in ours.parameters():
        parameter.data.zero_()
    packed.forget_packed(ours)
    with torch.inference_mode():
        assert not ours(rows).any()


def test_what_learns_is_never_packed():
    """A fused optimiser leaves no trace that a weight has changed."""
    ours, plain = model(), model()
    packed.pack_linear_maps(ours)
    rows = torch.randn(4, 48)
    for one in (ours, plain):
        optimizer = torch.optim.Adam(one.parameters(), lr=0.1, fused=True)
        for _ in range(2):
            with torch.no_grad():
                one(rows)
            one(rows).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        assert torch.equal(ours(rows), plain(rows))


def test_only_the_push_has_a_gradient_where_all_weights_are_frozen():
    ours = frozen(model())
    push = torch.zeros(48, requires_grad=True)
    ours(torch.randn(4, 48) + push).sum().backward()
    assert push.grad is not None
    assert push.grad.any()


def test_a_copy_reads_its_own_weights(available: None):
    ours = frozen(model())
    rows = torch.randn(4, 48)
    with torch.inference_mode():
        before = ours(rows)
    copied = copy.deepcopy(ours)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(0)
        assert not copied(rows).any()
        assert torch.equal(ours(rows), before)


def test_quantised_maps_and_large_models_are_left_alone():
    mixed = nn.Sequential(nn.Linear(4, 4), _Doubled(4, 4), nn.Linear(4, 4).half())
    assert packed.pack_linear_maps(mixed) == int(packed._available())
    assert "forward" not in vars(mixed[1])
    assert packed.pack_linear_maps(model(), most_bytes=1000) == 0


def test_saved_weights_do_not_know_of_it():
    ours, plain = frozen(model()), model()
    with torch.inference_mode():
        ours(torch.randn(1, 48))
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert all(type(m) is type(p) for m, p in zip(ours.modules(), plain.modules(), strict=True))
