"""Losses: against plain loops, what the clip does, and that parts add up to the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotone.rl.losses import explained, group_policy_loss, policy_loss, value_loss
from unit.rl.batches import lengths, mask_of, noise, seeds

NAN = float("nan")
clips = st.sampled_from([0.0, 0.2, 0.5])


def batch(sizes, seed, loud=NAN):
    """Mask, new and old log-probabilities, advantages of tokens and of replies."""
    mask = mask_of(sizes)
    new, old, advantages = (noise(mask, seed + i, scale=0.4, loud=loud) for i in range(3))
    return mask, new, old, advantages, noise(mask[:, :1], seed + 3)[:, 0]


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
    mask, new, old, advantages, _ = batch(sizes, seed)
    got = policy_loss(new, old, advantages, mask, clip=clip)
    n, o, a = (x[mask].numpy() for x in (new, old, advantages))
    each = [by_hand(*x, clip) for x in zip(n, o, a, strict=True)]
    want = {
        "loss": np.mean([x[0] for x in each]),
        "clipped": np.mean([x[1] for x in each]),
        "approx_kl": 0.5 * np.mean((n - o) ** 2),
        "old_kl": np.mean(o - n),
        "ratio": np.mean(np.exp(n - o)),
        "penalty": 0,
    }
    for name, value in got._asdict().items():
        assert value.item() == pytest.approx(want[name], abs=1e-9), name


@given(lengths, seeds, clips, st.sampled_from([None, 1.0, 30.0]))
def test_the_group_loss_is_the_mean_over_replies(sizes, seed, clip, divide_by):
    mask, new, old, _, advantages = batch(sizes, seed)
    reference = noise(mask, seed + 9, loud=NAN)
    got = group_policy_loss(
        new, old, advantages, mask, reference=reference, kl=0.3, clip=clip, divide_by=divide_by
    )
    losses, penalties, clipped = [], [], []
    for row, size in enumerate(sizes):
        n, o, q = (x[row, :size].numpy() for x in (new, old, reference))
        each = [by_hand(*x, advantages[row].item(), clip) for x in zip(n, o, strict=True)]
        far = np.exp(q - n) - 1 - (q - n)
        total = np.sum([x[0] for x in each]) + 0.3 * far.sum()
        losses.append(total / (divide_by or size))
        penalties.append(far.mean())
        clipped.append(np.mean([x[1] for x in each]))
    assert got.loss.item() == pytest.approx(np.mean(losses), abs=1e-9)
    assert got.penalty.item() == pytest.approx(np.mean(penalties), abs=1e-9)
    assert got.clipped.item() == pytest.approx(np.mean(clipped), abs=1e-9)


@given(lengths, seeds, clips)
def test_the_value_loss_is_half_the_larger_squared_error(sizes, seed, clip):
    mask, values, old, returns, _ = batch(sizes, seed)
    got = value_loss(values, old, returns, mask, clip=clip)
    v, o, r = (x[mask].numpy() for x in (values, old, returns))
    plain = (v - r) ** 2
    held = (np.clip(v, o - clip, o + clip) - r) ** 2 if clip else plain
    assert got.loss.item() == pytest.approx(0.5 * np.maximum(plain, held).mean(), abs=1e-9)
    assert got.clipped.item() == pytest.approx((held > plain).mean(), abs=1e-9)
    assert got.error.item() == pytest.approx(plain.mean(), abs=1e-9)
    assert got.mean.item() == pytest.approx(v.mean(), abs=1e-9)


def parts_of(kind, sizes, seed):
    """A loss of some rows, given the count of the whole; and that count."""
    mask, new, old, advantages, of_replies = batch(sizes, seed)
    new = new.detach().requires_grad_()
    if kind == "group":
        reference = noise(mask, seed + 9)
        return (
            new,
            len(sizes),
            lambda at, n: group_policy_loss(
                new[at],
                old[at],
                of_replies[at],
                mask[at],
                reference=reference[at],
                kl=0.1,
                rows=n,
            ),
        )
    made = policy_loss if kind == "policy" else value_loss
    return new, sum(sizes), lambda at, n: made(new[at], old[at], advantages[at], mask[at], tokens=n)


@pytest.mark.parametrize("kind", ["policy", "group", "value"])
@given(sizes=lengths, seed=seeds)
def test_parts_with_the_count_of_the_whole_add_up_to_it_with_their_gradients(kind, sizes, seed):
    new, count, loss = parts_of(kind, sizes, seed)
    whole = loss(slice(None), None)
    (want,) = torch.autograd.grad(whole.loss, new)
    parts = [loss(slice(0, 1), torch.tensor(count)), loss(slice(1, None), float(count))]
    (got,) = torch.autograd.grad(sum(p.loss for p in parts), new)
    torch.testing.assert_close(got, want)
    for name, values in zip(whole._fields, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(sum(values), getattr(whole, name), msg=name)


@pytest.mark.parametrize("kind", ["policy", "group", "value"])
@given(sizes=lengths, seed=seeds)
def test_padding_gets_no_gradient_even_where_it_is_not_a_number(kind, sizes, seed):
    new, _, loss = parts_of(kind, sizes, seed)
    (grads,) = torch.autograd.grad(loss(slice(None), None).loss, new)
    assert (grads[~mask_of(sizes)] == 0).all()
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
    mask, new, _, advantages, of_replies = batch(sizes, seed)
    new = new.detach().requires_grad_()
    (got,) = torch.autograd.grad(policy_loss(new, new.detach(), advantages, mask).loss, new)
    torch.testing.assert_close(got, -advantages.masked_fill(~mask, 0) / mask.sum())
    loss = group_policy_loss(new, new.detach(), of_replies, mask, divide_by=1)
    (got,) = torch.autograd.grad(loss.loss, new)
    torch.testing.assert_close(got, -of_replies[:, None] * mask / len(sizes))


@given(lengths, seeds)
def test_the_penalty_pulls_to_the_reference(sizes, seed):
    mask, new, _, _, _ = batch(sizes, seed)
    new = new.detach().requires_grad_()
    reference = noise(mask, seed + 9)
    none = torch.zeros(len(sizes), dtype=new.dtype)
    got = group_policy_loss(new, new.detach(), none, mask, reference=reference, kl=1.0)
    (grads,) = torch.autograd.grad(got.loss, new)
    assert (grads.sign() == (new - reference).sign())[mask].all()
    at_home = group_policy_loss(new, new.detach(), none, mask, reference=new.detach(), kl=1.0)
    assert at_home.loss.item() == at_home.penalty.item() == 0


@given(lengths, seeds)
def test_a_value_far_from_where_it_was_is_not_drawn_further(sizes, seed):
    mask = mask_of(sizes)
    values = noise(mask, seed).requires_grad_()
    old, returns = values.detach() - 1, values.detach() + 5
    got = value_loss(values, old, returns, mask, clip=0.2)
    (grads,) = torch.autograd.grad(got.loss, values)
    assert (grads == 0).all()
    assert got.clipped.item() == 1


def test_rows_that_do_not_count_give_0():
    mask = torch.zeros(1, 2).bool()
    x = torch.full((1, 2), NAN, requires_grad=True)
    for loss in (
        policy_loss(x, x, x, mask, tokens=7),
        group_policy_loss(x, x, x[:, 0], mask, reference=x, kl=1.0, rows=7),
        value_loss(x, x, x, mask, tokens=7),
        policy_loss(x, x, x, mask),
    ):
        assert [v.item() for v in loss] == [0] * len(loss)


@given(lengths, seeds)
def test_explained_variance_is_1_for_right_values_and_about_0_for_a_constant(sizes, seed):
    mask = mask_of(sizes)
    returns = noise(mask, seed, loud=NAN)
    n = int(mask.sum())
    assert explained(returns, returns, mask).item() == 1
    mean = torch.full_like(returns, returns[mask].mean().item())
    assert explained(mean, returns, mask).item() == pytest.approx(1 / n)
