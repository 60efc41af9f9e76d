"""Whitening: against numpy, what it leaves alone, and over processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from emotone.errors import DataError
from emotone.rl.reduce import masked_mean, masked_moments, whiten
from unit.rl.batches import in_processes, lengths, mask_of, noise, seeds

NAN = float("nan")


def close(got, want):
    torch.testing.assert_close(
        got, torch.as_tensor(want, dtype=torch.float64), rtol=1e-9, atol=1e-9
    )


@given(lengths, seeds)
def test_mean_and_variance_are_those_of_the_real_numbers(sizes, seed):
    mask = mask_of(sizes)
    x = noise(mask, seed, loud=NAN)
    real = x.numpy()[mask.numpy()]
    moments = masked_moments(x, mask)
    close(moments.mean, real.mean())
    close(moments.var, real.var(ddof=1))
    close(masked_mean(x, mask), real.mean())
    assert moments.n == len(real)


@given(lengths, seeds)
def test_whitening_is_numpys(sizes, seed):
    mask = mask_of(sizes)
    x = noise(mask, seed, scale=3, loud=NAN) + 5
    real = x.numpy()[mask.numpy()]
    unit = (real - real.mean()) / np.sqrt(real.var(ddof=1) + 1e-8)
    close(whiten(x, mask)[mask], unit)
    close(whiten(x, mask, shift_mean=False)[mask], unit + real.mean())
    for shift in (True, False):
        assert (whiten(x, mask, shift_mean=shift)[~mask] == 0).all()


@given(lengths, seeds)
def test_whitened_values_have_mean_0_and_variance_1_whatever_the_scale_was(sizes, seed):
    mask = mask_of(sizes)
    x = noise(mask, seed)
    once = whiten(x, mask)
    moments = masked_moments(once, mask)
    torch.testing.assert_close(moments.mean, torch.zeros_like(moments.mean), rtol=0, atol=1e-9)
    # Two numbers may lie so near that the 1e-8 under the root shows.
    want = masked_moments(x, mask).var / (masked_moments(x, mask).var + 1e-8)
    close(moments.var, want)
    torch.testing.assert_close(whiten(20 * x - 7, mask), once, rtol=1e-3, atol=1e-3)
    # Rewards keep their mean.
    close(masked_mean(whiten(x, mask, shift_mean=False), mask), masked_mean(x, mask))


@given(lengths, seeds)
def test_columns_of_padding_change_nothing(sizes, seed):
    wide, narrow = mask_of(sizes, 9), mask_of(sizes, 0)
    x = noise(wide, seed, loud=1e6)
    for shift in (True, False):
        got = whiten(x, wide, shift_mean=shift)[:, : narrow.shape[1]]
        close(got, whiten(x[:, : narrow.shape[1]], narrow, shift_mean=shift))


@settings(max_examples=10)
@given(lengths, seeds)
def test_processes_find_what_one_finds(sizes, seed):
    mask = mask_of(sizes)
    x = noise(mask, seed, loud=NAN)
    parts = [slice(0, 1), slice(1, None)]
    made = in_processes(
        parts,
        lambda rows, sum_over: (
            whiten(x[rows], mask[rows], sum_over=sum_over),
            masked_mean(x[rows], mask[rows], sum_over=sum_over),
        ),
    )
    close(torch.cat([whole for whole, _ in made]), whiten(x, mask))
    for _, mean in made:
        close(mean, masked_mean(x, mask))


def test_small_spreads_far_from_0_are_not_lost_in_float32():
    mask = torch.ones(1, 4, dtype=torch.bool)
    x = torch.tensor([[1000.0, 1000.25, 1000.5, 1000.75]])
    assert masked_moments(x, mask).var.item() == pytest.approx(x.numpy().astype(float).var(ddof=1))
    assert whiten(x, mask).dtype == torch.float32


def test_one_token_has_no_variance():
    mask = torch.tensor([[True, False]])
    with pytest.raises(DataError, match="2 real tokens, but the batch has 1"):
        whiten(torch.ones(1, 2), mask)


def test_nothing_real_has_mean_0():
    assert masked_mean(torch.full((1, 2), NAN), torch.zeros(1, 2, dtype=torch.bool)) == 0
