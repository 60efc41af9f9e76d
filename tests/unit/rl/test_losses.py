"""Losses: against plain loops, what the clip does, and that parts add up to the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotone.rl.losses import explained_variance, policy_loss, value_loss
from unit.rl.batches import lengths, mask_of, noise, seeds

NAN = float("nan")
clips = st.sampled_from([0.0, 0.2, 0.5])


def batch(sizes, seed, loud=NAN):
    """Mask, new and old log-probabilities, and advantages of tokens."""
    mask = mask_of(sizes)
    return mask, *(noise(mask, seed + i, scale=0.4, loud=loud) for i in range(3))


def by_hand(new, old, advantage, clip):
    """Loss and whether it was clipped, of one token."""
    ratio = np.exp(new - old)
    plain = -advantage * ratio
    if clip == 0:
        return plain, 0.0
    held = -advantage * np.clip(ratio, 1 - clip, 1 + clip)
    return max(plain, held), float(held > plain)


@given(lengths, seeds, clips)
def test_the_policy_loss_is_the_mean_over_tokens(sizes, seed, clip):
    mask, new, old, advantages = batch(sizes, seed)
    got = policy_loss(new, old, advantages, mask, clip=clip)
    n, o, a = (x[mask].numpy() for x in (new, old, advantages))
    each = [by_hand(*x, clip) for x in zip(n, o, a, strict=True)]
    want = {
        "loss": np.mean([x[0] for x in each]),
        "clipped": np.mean([x[1] for x in each]),
        "old_kl": np.mean(o - n),
        "ratio": np.mean(np.exp(n - o)),
    }
    for name, value in got._asdict().items():
        assert value.item() == pytest.approx(want[name], abs=1e-9), name


@given(lengths, seeds, clips)
def test_the_value_loss_is_half_the_larger_squared_error(sizes, seed, clip):
    mask, values, old, returns = batch(sizes, seed)
    got = value_loss(values, old, returns, mask, clip=clip)
    v, o, r = (x[mask].numpy() for x in (values, old, returns))
    plain = (v - r) ** 2
    held = (np.clip(v, o - clip, o + clip) - r) ** 2 if clip else plain
    assert got.item() == pytest.approx(0.5 * np.maximum(plain, held).mean(), abs=1e-9)


def losses_of(kind, mask, new, old, advantages):
    """What a kind of loss gives for some rows, as a tuple that begins with the loss."""

    def of(at, count):
        if kind == "policy":
            return policy_loss(new[at], old[at], advantages[at], mask[at], tokens=count)
        return (value_loss(new[at], old[at], advantages[at], mask[at], tokens=count),)

    return of


@pytest.mark.parametrize("kind", ["policy", "value"])
@given(sizes=lengths, seed=seeds)
def test_parts_with_the_count_of_the_whole_add_up_to_it_with_their_gradients(kind, sizes, seed):
    mask, new, old, advantages = batch(sizes, seed)
    new = new.detach().requires_grad_()
    loss, count = losses_of(kind, mask, new, old, advantages), sum(sizes)
    whole = loss(slice(None), None)
    (want,) = torch.autograd.grad(whole[0], new)
    parts = [loss(slice(0, 1), torch.tensor(count)), loss(slice(1, None), float(count))]
    (got,) = torch.autograd.grad(sum(part[0] for part in parts), new)
    torch.testing.assert_close(got, want)
    for total, values in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(sum(values), total)


@pytest.mark.parametrize("kind", ["policy", "value"])
@given(sizes=lengths, seed=seeds)
def test_padding_gets_no_gradient_even_where_it_is_not_a_number(kind, sizes, seed):
    mask, new, old, advantages = batch(sizes, seed)
    new = new.detach().requires_grad_()
    loss = losses_of(kind, mask, new, old, advantages)(slice(None), None)[0]
    (grads,) = torch.autograd.grad(loss, new)
    assert (grads[~mask] == 0).all()
    assert grads.isfinite().all()


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "moves"),
    [
        (0.0, 1.0, True),
        (0.0, -1.0, True),
        (0.5, 1.0, False),  # likelier already, and it should be
        (0.5, -1.0, True),  # likelier, and it should not be
        (-0.5, -1.0, False),
        (-0.5, 1.0, True),
    ],
)
def test_the_clip_stops_only_what_has_gone_far_enough(log_ratio, advantage, moves):
    new = torch.tensor([[log_ratio]], requires_grad=True)
    mask = torch.ones(1, 1).bool()
    got = policy_loss(new, torch.zeros(1, 1), torch.tensor([[advantage]]), mask, clip=0.2)
    (grads,) = torch.autograd.grad(got.loss, new)
    assert (grads.item() != 0) == moves
    assert got.clipped.item() == (not moves)
    if moves:
        assert grads.item() * advantage < 0


@given(lengths, seeds)
def test_at_the_old_policy_the_gradient_is_reinforce(sizes, seed):
    mask, new, _, advantages = batch(sizes, seed)
    new = new.detach().requires_grad_()
    (got,) = torch.autograd.grad(policy_loss(new, new.detach(), advantages, mask).loss, new)
    torch.testing.assert_close(got, -advantages.masked_fill(~mask, 0) / mask.sum())


@given(lengths, seeds)
def test_a_value_far_from_where_it_was_is_not_pulled_further(sizes, seed):
    mask = mask_of(sizes)
    values = noise(mask, seed).requires_grad_()
    old, returns = values.detach() - 1, values.detach() + 5
    (grads,) = torch.autograd.grad(value_loss(values, old, returns, mask, clip=0.2), values)
    assert (grads == 0).all()


def test_rows_that_do_not_count_give_0():
    mask = torch.zeros(1, 2).bool()
    x = torch.full((1, 2), NAN, requires_grad=True)
    for count in (7, None):
        assert [v.item() for v in policy_loss(x, x, x, mask, tokens=count)] == [0] * 4
        assert value_loss(x, x, x, mask, tokens=count).item() == 0


@given(lengths, seeds)
def test_explained_variance_is_1_for_right_values_and_about_0_for_a_constant(sizes, seed):
    mask = mask_of(sizes)
    returns = noise(mask, seed, loud=NAN)
    n = int(mask.sum())
    assert explained_variance(returns, returns, mask).item() == 1
    mean = torch.full_like(returns, returns[mask].mean().item())
    assert explained_variance(mean, returns, mask).item() == pytest.approx(1 / n)
