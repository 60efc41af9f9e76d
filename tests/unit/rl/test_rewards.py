"""Rewards: scaled scores, and where they and the cost of divergence are put."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotone.rl.moments import Moments, update
from emotone.rl.rewards import reply_rewards, scale_scores, token_rewards
from unit.rl.batches import lengths, mask_of, noise, seeds

values = st.lists(st.floats(-3, 3).map(lambda x: round(x, 3)), min_size=2, max_size=9)


@given(values)
def test_scores_are_scaled_by_what_was_seen(scores):
    x = torch.tensor(scores, dtype=torch.float64)
    moments = update(Moments(), x)
    std = np.std(scores, ddof=1)
    by = std + np.finfo(np.float32).eps if std > 1e-6 else 1
    np.testing.assert_allclose(scale_scores(x, moments), (x - np.mean(scores)) / by, atol=1e-9)
    np.testing.assert_allclose(scale_scores(x, moments, normalise=False), x / by, atol=1e-9)


def test_equal_scores_are_neither_scaled_up_nor_down():
    x = torch.full((4,), 0.7)
    moments = update(Moments(), x)
    torch.testing.assert_close(scale_scores(x, moments, normalise=False), x)
    torch.testing.assert_close(scale_scores(x, moments), torch.zeros(4))


@given(lengths, seeds, st.floats(0, 2))
def test_tokens_pay_and_the_last_one_gets_the_score(sizes, seed, coefficient):
    mask = mask_of(sizes)
    kl = noise(mask, seed, loud=1e6)
    scores = noise(torch.ones(1, len(sizes), dtype=torch.bool), seed + 1)[0]
    got = token_rewards(scores, kl, mask, coefficient=coefficient)
    want = np.zeros(kl.shape)
    for row, size in enumerate(sizes):
        for t in range(size):
            want[row, t] = -coefficient * kl[row, t]
        want[row, size - 1] += scores[row]
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)
    # What a reply gets is what its tokens get.
    whole = reply_rewards(scores, kl, mask, coefficient=coefficient)
    torch.testing.assert_close(whole, got.sum(1))


def test_a_row_without_tokens_gets_nothing():
    mask = torch.tensor([[False, False], [True, False]])
    got = token_rewards(torch.tensor([5.0, 7.0]), torch.zeros(2, 2), mask, coefficient=1)
    assert got.tolist() == [[0, 0], [7, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_float64_do_not_change_the_type_of_rewards(dtype):
    kl, mask = torch.zeros(1, 2, dtype=dtype), torch.ones(1, 2).bool()
    scores = torch.ones(1, dtype=torch.float64)
    assert token_rewards(scores, kl, mask, coefficient=1).dtype == dtype
