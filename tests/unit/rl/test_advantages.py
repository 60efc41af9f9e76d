"""Advantages: against plain loops, and what estimators promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotone.errors import ConfigError, DataError
from emotone.rl.advantages import gae, group_relative, leave_one_out
from emotone.rl.reduce import whiten
from unit.rl.batches import lengths, mask_of, noise, seeds

NAN = float("nan")


def by_hand(rewards, values, size, gamma, lam):
    """The sum of all later errors, each discounted by its distance: GAE's definition."""
    v = [*values[:size], 0.0]
    deltas = [rewards[t] + gamma * v[t + 1] - v[t] for t in range(size)]
    return [sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, size)) for t in range(size)]


@given(lengths, seeds, st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_discounted_sum_of_errors(sizes, seed, gamma, lam):
    mask = mask_of(sizes)
    rewards, values = noise(mask, seed, loud=NAN), noise(mask, seed + 1, loud=NAN)
    got = gae(rewards, values, mask, gamma=gamma, lam=lam)
    for row, size in enumerate(sizes):
        want = by_hand(rewards[row].tolist(), values[row].tolist(), size, gamma, lam)
        np.testing.assert_allclose(got.advantages[row, :size].numpy(), want, atol=1e-9)
    assert (got.advantages[~mask] == 0).all()
    assert (got.returns[~mask] == 0).all()


@given(lengths, seeds)
def test_with_lambda_1_an_advantage_is_what_came_less_the_value(sizes, seed):
    mask = mask_of(sizes)
    rewards, values = noise(mask, seed), noise(mask, seed + 1)
    got = gae(rewards, values, mask, gamma=1, lam=1)
    to_come = rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(got.advantages, (to_come - values).masked_fill(~mask, 0))
    torch.testing.assert_close(got.returns, to_come.masked_fill(~mask, 0))


@given(lengths, seeds)
def test_with_lambda_0_an_advantage_is_the_error_of_one_step(sizes, seed):
    mask = mask_of(sizes)
    rewards, values = noise(mask, seed), noise(mask, seed + 1)
    got = gae(rewards, values, mask, gamma=0.9, lam=0)
    ahead = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    torch.testing.assert_close(got.advantages, rewards + 0.9 * ahead - values)


@given(lengths, seeds)
def test_values_that_are_right_leave_no_advantage(sizes, seed):
    mask = mask_of(sizes)
    rewards = noise(mask, seed)
    to_come = rewards.flip(1).cumsum(1).flip(1)
    got = gae(rewards, to_come, mask)
    torch.testing.assert_close(got.advantages, torch.zeros_like(rewards))


@given(lengths, seeds)
def test_neither_padding_nor_neighbours_are_seen(sizes, seed):
    mask = mask_of(sizes, 5)
    rewards, values = noise(mask, seed, loud=1e6), noise(mask, seed + 1, loud=-1e6)
    together = gae(rewards, values, mask)
    for row, size in enumerate(sizes):
        part = slice(row, row + 1), slice(0, size)
        alone = gae(rewards[part], values[part], mask[part])
        torch.testing.assert_close(together.advantages[part], alone.advantages)
        torch.testing.assert_close(together.returns[part], alone.returns)


def test_padding_does_not_move_what_was_whitened():
    short, long = mask_of([2, 3], 0), mask_of([2, 3], 20)
    rewards = noise(long, 1, loud=0) + 1.0 * long
    returns = []
    for mask in (short, long):
        r = rewards[:, : mask.shape[1]]
        whitened = whiten(r, mask, shift_mean=False)
        returns.append(gae(whitened, torch.zeros_like(r), mask).returns[:, :2])
    torch.testing.assert_close(*returns)


def test_advantages_have_no_graph():
    rewards = torch.ones(1, 2, requires_grad=True)
    values = torch.ones(1, 2, requires_grad=True)
    assert not any(x.requires_grad for x in gae(rewards, values, torch.ones(1, 2).bool()))


groups = st.tuples(st.integers(2, 5), st.integers(1, 3), seeds)


@given(groups)
def test_leave_one_out_is_the_reply_less_the_mean_of_the_others(case):
    group, prompts, seed = case
    rewards = noise(torch.ones(1, group * prompts, dtype=torch.bool), seed)[0]
    got = leave_one_out(rewards, group=group)
    for i, own in enumerate(rewards.tolist()):
        start = i // group * group
        others = [rewards[j].item() for j in range(start, start + group) if j != i]
        assert got[i].item() == pytest.approx(own - np.mean(others), abs=1e-9)


@settings(max_examples=10)
@given(st.integers(2, 3), seeds)
def test_the_leave_one_out_gradient_is_the_exact_gradient_on_average(group, seed):
    """Over every group of replies that can be drawn from 3, each with its probability."""
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, generator=g, dtype=torch.float64, requires_grad=True)
    rewards = torch.randn(3, generator=g, dtype=torch.float64)
    logp = logits.log_softmax(0)
    (exact,) = torch.autograd.grad((logp.exp() * rewards).sum(), logits, retain_graph=True)
    mean = torch.zeros_like(exact)
    for drawn in itertools.product(range(3), repeat=group):
        at = torch.tensor(drawn)
        chance = logp[at].sum().exp().item()
        weights = leave_one_out(rewards[at], group=group)
        (one,) = torch.autograd.grad((weights * logp[at]).mean(), logits, retain_graph=True)
        mean += chance * one
    torch.testing.assert_close(mean, exact)


@given(groups)
def test_a_group_is_relative_to_its_own_mean_and_deviation(case):
    group, prompts, seed = case
    rewards = noise(torch.ones(1, group * prompts, dtype=torch.bool), seed)[0]
    r = rewards.numpy().reshape(prompts, group)
    centred = r - r.mean(1, keepdims=True)
    want = centred / (r.std(1, ddof=1, keepdims=True) + 1e-4)
    np.testing.assert_allclose(group_relative(rewards, group=group), want.ravel(), atol=1e-9)
    # Comparing with the others is comparing with all, but for a factor.
    one_out = leave_one_out(rewards, group=group)
    np.testing.assert_allclose(one_out, centred.ravel() * group / (group - 1), atol=1e-9)


@pytest.mark.parametrize("estimate", [leave_one_out, group_relative])
def test_a_prompts_own_level_does_not_matter_and_equal_replies_teach_nothing(estimate):
    rewards = torch.tensor([1.0, 2.0, 4.0, 1.0, 2.0, 4.0])
    moved = rewards + torch.tensor([0.0, 0, 0, 9, 9, 9])
    torch.testing.assert_close(estimate(moved, group=3), estimate(rewards, group=3))
    assert (estimate(torch.full((4,), 0.3), group=2) == 0).all()


@pytest.mark.parametrize("estimate", [leave_one_out, group_relative])
def test_groups_are_whole_and_of_two_at_least(estimate):
    with pytest.raises(ConfigError, match="group is 1"):
        estimate(torch.ones(4), group=1)
    with pytest.raises(DataError, match="5 replies are not whole groups of 2"):
        estimate(torch.ones(5), group=2)
