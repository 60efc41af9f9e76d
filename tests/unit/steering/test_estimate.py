"""Directions read off activations, against what is known of them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from torch import Tensor

from emotone.errors import ConfigError
from emotone.steering.estimate import ESTIMATES, Estimate, direction
from emotone.steering.extract import ExtractSettings

EVERY: tuple[Estimate, ...] = get_args(Estimate)
#: Numbers that vary a lot and tell nothing come first.
SCALES = torch.tensor([20.0, 10.0, 1.0, 1.0, 1.0, 1.0])
SHIFT = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, -1.0])


def states(shift: Tensor, seed: int, count: int = 400) -> Tensor:
    """States of texts in two blocks, [N, 2, 6]."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, len(shift), generator=draw) * SCALES + shift


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a, b, dim=-1).min())


def test_every_estimate_is_offered():
    assert tuple(ESTIMATES) == EVERY


@pytest.mark.parametrize("estimate", EVERY)
def test_a_direction_points_to_the_emotion_in_every_block(estimate: Estimate):
    emotional, neutral = states(5 * SHIFT, 0), states(0 * SHIFT, 1)
    found = direction(emotional, neutral, estimate)
    assert found.shape == (2, 6)
    assert found.dtype == torch.float32
    assert (((emotional.mean(0) - neutral.mean(0)) * found).sum(-1) > 0).all()


def test_the_mean_is_the_difference():
    emotional, neutral = states(SHIFT, 0), states(0 * SHIFT, 1)
    assert torch.equal(direction(emotional, neutral, "mean"), emotional.mean(0) - neutral.mean(0))


def test_pca_is_the_first_axis_of_the_pairs():
    emotional, neutral = states(SHIFT, 0), states(0 * SHIFT, 1, count=300)
    found = direction(emotional, neutral, "pca")
    for block in range(2):
        differences = (emotional[:300, block] - neutral[:, block]).numpy()
        axis = TruncatedSVD(1, algorithm="arpack").fit(differences).components_[0]
        assert abs(float(np.dot(axis, found[block].numpy()))) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("estimate", ["logistic", "whitened"])
def test_what_varies_and_tells_nothing_is_left_out(estimate: Estimate):
    emotional, neutral = states(SHIFT, 0, 4000), states(0 * SHIFT, 1, 4000)
    fisher = (SHIFT / SCALES**2).expand(2, -1)
    found = direction(emotional, neutral, estimate)
    assert cosine(found, fisher) > 0.98
    assert cosine(direction(emotional, neutral, "pca"), fisher) < 0.5


def test_an_estimate_of_what_is_not_read_is_refused():
    assert ExtractSettings(method="reading", estimate="whitened").estimate == "whitened"
    with pytest.raises(ConfigError, match="estimate is 'pca' with method 'fitted'"):
        ExtractSettings(estimate="pca")
    with pytest.raises(ConfigError, match="use one of mean, pca, logistic, whitened"):
        ExtractSettings(method="reading", estimate="lda")  # pyright: ignore[reportArgumentType]
