"""The value head: one linear map, dropped out in training only, in float32 under autocast."""

from __future__ import annotations

import torch

from emotone.rl.value_head import ValueHead

STATES = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))


def filled(**settings):
    head = ValueHead(8, **settings)
    with torch.no_grad():
        head.weight.copy_(torch.linspace(-1, 1, 8))
        head.bias.fill_(0.5)
    return head


def test_it_is_a_linear_map_of_the_state():
    head = filled().eval()
    wanted = torch.einsum("btd,d->bt", STATES, head.weight) + head.bias
    assert torch.allclose(head(STATES), wanted)


def test_it_begins_by_saying_nothing_and_learns():
    head = ValueHead(8).eval()
    assert not head(STATES).any()
    (head(STATES) - 1).square().mean().backward()
    assert head.weight.grad.any()
    assert head.bias.grad.any()


def test_dropout_is_for_training_and_can_be_none():
    head = filled().train()
    assert not torch.equal(head(STATES), head(STATES))
    assert torch.equal(head.eval()(STATES), head(STATES))
    still = filled(dropout=0.0).train()
    assert torch.equal(still(STATES), still(STATES))


def test_autocast_does_not_round_values():
    head = filled().eval()
    with torch.autocast("cpu", torch.bfloat16):
        made = head(STATES)
    assert made.dtype == torch.float32
    assert torch.equal(made, head(STATES))


def test_a_detached_head_sends_no_gradient_to_the_states():
    for detach in (True, False):
        states = STATES.clone().requires_grad_()
        head = filled(detach=detach)
        head(states).sum().backward()
        assert (states.grad is None) is detach
        assert head.weight.grad is not None
