"""Directions read off activations: what tells an emotion from neutral texts, block by block.

    mean       v = m_e - m_n
    pca        v = argmax_|v|=1 sum_i (v . (h_i^e - h_i^n))^2, towards the emotion
    logistic   v = S^-1 w,  p(e | h) = sigmoid(w . S^-1 (h - m) + b)
    whitened   v = C^-1 (m_e - m_n)

h_i^e and h_i^n are the mean states of the i-th text of each kind, m their means, S the deviation of
each number, C the covariance within the kinds, shrunk as Ledoit and Wolf do. `whitened` is Fisher's
direction. What reads an emotion best need not be what makes a model write it
(docs/systems/directions.md).

Source: Dong et al. 2025 (mean); Zou et al. 2023, representation engineering (pca, pairs of texts);
Fisher 1936; Ledoit and Wolf 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Estimate = Literal["mean", "pca", "logistic", "whitened"]


def direction(emotional: Tensor, neutral: Tensor, estimate: Estimate) -> Tensor:
    """Estimate an emotion's direction in each block.

    Args:
        emotional: Mean states of texts in the emotion, [N, L, d].
        neutral: Those of texts without, [M, L, d]. `pca` pairs them in order, as far as both go.
        estimate: How.

    Returns:
        The directions, [L, d] float32. Those of `mean` are as long as the difference; the length of
        the others means nothing.
    """
    if estimate == "mean":
        return _mean(emotional.float(), neutral.float())
    of_block = ESTIMATES[estimate]
    return torch.stack(
        [of_block(emotional[:, i].float(), neutral[:, i].float()) for i in range(neutral.shape[1])]
    )


def _mean(emotional: Tensor, neutral: Tensor) -> Tensor:
    return emotional.mean(0) - neutral.mean(0)


def _pca(emotional: Tensor, neutral: Tensor) -> Tensor:
    pairs = min(len(emotional), len(neutral))
    differences = emotional[:pairs] - neutral[:pairs]
    axis = torch.linalg.svd(differences, full_matrices=False)[2][0]
    return axis * torch.sign((differences @ axis).sum())


def _logistic(emotional: Tensor, neutral: Tensor) -> Tensor:
    from sklearn.linear_model import LogisticRegression

    states = torch.cat([emotional, neutral]).double().numpy()
    centre, scale = states.mean(0), states.std(0) + 1e-6
    kinds = np.repeat([1, 0], [len(emotional), len(neutral)])
    fitted = LogisticRegression(C=0.01, max_iter=1000).fit((states - centre) / scale, kinds)
    return torch.from_numpy(fitted.coef_[0] / scale).float()


def _whitened(emotional: Tensor, neutral: Tensor) -> Tensor:
    from sklearn.covariance import LedoitWolf

    within = torch.cat([emotional - emotional.mean(0), neutral - neutral.mean(0)]).double()
    covariance = LedoitWolf(assume_centered=True).fit(within.numpy()).covariance_
    difference = _mean(emotional, neutral).double().numpy()
    return torch.from_numpy(np.linalg.solve(covariance, difference)).float()


ESTIMATES: Mapping[Estimate, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "pca": _pca,
    "logistic": _logistic,
    "whitened": _whitened,
}
