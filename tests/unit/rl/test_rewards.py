"""Rewards: running moments, scaled scores, what divergence costs, and the weight of that cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotone.errors import ConfigError
from emotone.rl.rewards import (
    RunningMoments,
    adapt_kl_weight,
    scale_scores,
    token_kl,
    token_rewards,
    update_moments,
)
from unit.rl.batches import lengths, mask_of, noise, seeds

scores = st.lists(st.floats(-3, 3).map(lambda x: round(x, 3)), min_size=1, max_size=9)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(scores, min_size=1, max_size=5))
def test_after_each_step_they_are_those_of_all_scores_so_far(steps):
    moments, seen = RunningMoments(), []
    for step in steps:
        moments = update_moments(moments, tensor(step))
        seen += step
        assert moments.mean == pytest.approx(np.mean(seen), abs=1e-9)
        assert moments.var == pytest.approx(np.var(seen), abs=1e-9)
        want = np.std(seen, ddof=1) if len(seen) > 1 else 1.0
        assert moments.std == pytest.approx(want, abs=1e-6)
        assert moments.count == len(seen)


def test_nothing_begins_at_mean_0_and_deviation_1_and_no_scores_change_nothing():
    assert (RunningMoments().mean, RunningMoments().std) == (0, 1)
    assert update_moments(RunningMoments(), tensor([])) == RunningMoments()


def test_small_spreads_far_from_0_are_kept():
    moments = RunningMoments()
    for _ in range(3):
        moments = update_moments(moments, tensor([1e6, 1e6 + 0.001]))
    assert moments.var == pytest.approx(2.5e-7, rel=1e-3)


values = st.lists(st.floats(-3, 3).map(lambda x: round(x, 3)), min_size=2, max_size=9)


@given(values)
def test_scores_are_scaled_by_what_was_seen(scores):
    x = torch.tensor(scores, dtype=torch.float64)
    moments = update_moments(RunningMoments(), x)
    std = np.std(scores, ddof=1)
    by = std + np.finfo(np.float32).eps if std > 1e-6 else 1
    np.testing.assert_allclose(scale_scores(x, moments), (x - np.mean(scores)) / by, atol=1e-9)
    np.testing.assert_allclose(scale_scores(x, moments, normalise=False), x / by, atol=1e-9)


def test_equal_scores_are_neither_scaled_up_nor_down():
    x = torch.full((4,), 0.7)
    moments = update_moments(RunningMoments(), x)
    torch.testing.assert_close(scale_scores(x, moments, normalise=False), x)
    torch.testing.assert_close(scale_scores(x, moments), torch.zeros(4))


@given(lengths, seeds, st.floats(0, 2))
def test_tokens_pay_and_the_last_one_gets_the_score(sizes, seed, weight):
    mask = mask_of(sizes)
    kl = noise(mask, seed, loud=1e6)
    scores = noise(torch.ones(1, len(sizes), dtype=torch.bool), seed + 1)[0]
    got = token_rewards(scores, kl, mask, kl_weight=weight)
    want = np.zeros(kl.shape)
    for row, size in enumerate(sizes):
        for t in range(size):
            want[row, t] = -weight * kl[row, t]
        want[row, size - 1] += scores[row]
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)


def test_a_row_without_tokens_gets_nothing():
    mask = torch.tensor([[False, False], [True, False]])
    got = token_rewards(torch.tensor([5.0, 7.0]), torch.zeros(2, 2), mask, kl_weight=1)
    assert got.tolist() == [[0, 0], [7, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_float64_do_not_change_the_type_of_rewards(dtype):
    kl, mask = torch.zeros(1, 2, dtype=dtype), torch.ones(1, 2).bool()
    scores = torch.ones(1, dtype=torch.float64)
    assert token_rewards(scores, kl, mask, kl_weight=1).dtype == dtype


@given(lengths, seeds)
def test_the_divergence_of_a_token_is_its_log_ratio_and_0_at_padding(sizes, seed):
    mask = mask_of(sizes)
    p, q = noise(mask, seed, loud=-torch.inf), noise(mask, seed + 1, loud=-torch.inf)
    got = token_kl(p, q, mask)
    assert torch.equal(got[mask], (p - q)[mask])
    assert (got[~mask] == 0).all()


@given(seeds)
def test_its_mean_is_the_divergence(seed):
    g = torch.Generator().manual_seed(seed)
    p, q = torch.randn(2, 1, 6, generator=g, dtype=torch.float64).log_softmax(-1)
    everything = torch.ones(1, 6, dtype=torch.bool)
    mean = (p.exp() * token_kl(p, q, everything)).sum()
    torch.testing.assert_close(mean, (p.exp() * (p - q)).sum())


@given(st.floats(1e-4, 10), st.floats(-5, 500), st.integers(1, 512))
def test_the_weight_steps_as_printed(weight, kl, rows):
    got = adapt_kl_weight(weight, kl, rows=rows, target=6, horizon=10_000)
    want = weight * (1 + np.clip(kl / 6 - 1, -0.2, 0.2) * rows / 10_000)
    assert got == pytest.approx(want, rel=1e-12)
    assert isinstance(got, float)


@pytest.mark.parametrize(
    ("kl", "grows"), [(6.0, 1.0), (6.6, 1.0 + 0.1 * 32 / 10_000), (60.0, 1.00064), (-3.0, 0.99936)]
)
def test_the_weight_rises_above_the_target_and_falls_below(kl, grows):
    assert adapt_kl_weight(0.2, kl, rows=32, target=6, horizon=10_000) == pytest.approx(0.2 * grows)


@pytest.mark.parametrize(("target", "horizon"), [(0, 10), (-1, 10), (6, 0)])
def test_a_target_and_a_horizon_are_above_0(target, horizon):
    with pytest.raises(ConfigError, match=r"kl\.adaptive = false"):
        adapt_kl_weight(0.2, 1.0, rows=1, target=target, horizon=horizon)
