"""Estimates of a divergence, and the coefficient that holds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotone.errors import ConfigError, UnknownName
from emotone.rl.kl import adapt, mean_kl, token_kl
from unit.rl.batches import in_processes, lengths, mask_of, noise, seeds

FORMULAS = {
    "k1": lambda p, q: p - q,
    "abs": lambda p, q: np.abs(p - q),
    "k2": lambda p, q: (p - q) ** 2 / 2,
    "k3": lambda p, q: np.exp(q - p) - 1 - (q - p),
}


@pytest.mark.parametrize("estimate", FORMULAS)
@given(sizes=lengths, seed=seeds)
def test_estimates_are_their_formulas_and_0_at_padding(estimate, sizes, seed):
    mask = mask_of(sizes)
    p, q = noise(mask, seed, loud=-torch.inf), noise(mask, seed + 1, loud=-torch.inf)
    got = token_kl(p, q, mask, estimate=estimate)
    want = FORMULAS[estimate](p[mask].numpy(), q[mask].numpy())
    np.testing.assert_allclose(got[mask].numpy(), want, atol=1e-12)
    assert (got[~mask] == 0).all()


@pytest.mark.parametrize("estimate", ["k1", "k3"])
@given(seed=seeds)
def test_two_estimates_have_the_divergence_as_their_mean(estimate, seed):
    g = torch.Generator().manual_seed(seed)
    p, q = torch.randn(2, 1, 6, generator=g, dtype=torch.float64).log_softmax(-1)
    everything = torch.ones(1, 6, dtype=torch.bool)
    mean = (p.exp() * token_kl(p, q, everything, estimate=estimate)).sum()
    torch.testing.assert_close(mean, (p.exp() * (p - q)).sum())


def test_an_unknown_estimate_is_named():
    with pytest.raises(UnknownName, match=r"'k4'.*k1, abs, k2, k3"):
        token_kl(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1).bool(), estimate="k4")  # type: ignore[arg-type]


def test_the_mean_is_of_replies_summed_over_their_tokens():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    kl = torch.tensor([[1.0, 2.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert mean_kl(kl, mask) == 4  # the third row is no reply
    parts = [slice(0, 1), slice(1, 3)]
    told = in_processes(parts, lambda r, sum_over: mean_kl(kl[r], mask[r], sum_over=sum_over))
    assert told == [4, 4]


@given(st.floats(1e-4, 10), st.floats(-5, 500), st.integers(1, 512))
def test_the_coefficient_steps_as_printed(coefficient, kl, rows):
    got = adapt(coefficient, kl, rows=rows, target=6, horizon=10_000)
    want = coefficient * (1 + np.clip(kl / 6 - 1, -0.2, 0.2) * rows / 10_000)
    assert got == pytest.approx(want, rel=1e-12)
    assert isinstance(got, float)


@pytest.mark.parametrize(
    ("kl", "grows"), [(6.0, 1.0), (6.6, 1.0 + 0.1 * 32 / 10_000), (60.0, 1.00064), (-3.0, 0.99936)]
)
def test_the_coefficient_rises_above_the_target_and_falls_below(kl, grows):
    assert adapt(0.2, kl, rows=32, target=6, horizon=10_000) == pytest.approx(0.2 * grows)


@pytest.mark.parametrize(("target", "horizon"), [(0, 10), (-1, 10), (6, 0)])
def test_a_target_and_a_horizon_are_above_0(target, horizon):
    with pytest.raises(ConfigError, match="kl_adaptive = false"):
        adapt(0.2, 1.0, rows=1, target=target, horizon=horizon)
