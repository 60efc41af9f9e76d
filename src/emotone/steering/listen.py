"""Read the emotion of a reply off the model's own activations.

A linear readout of the unsteered model's mean activation over the reply's tokens. It belongs to
the vectors (made from the same texts, kept in the same file) and lets a system choose among its
own candidates; it never judges a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotone.errors import DataError
from emotone.steering.record import block_means


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """A linear readout at one block.

    Args:
        labels: The emotions it tells apart, neutral among them if the texts held it.
        block: Index of the block whose output is read.
        weight: [E, d], float32.
        bias: [E], float32.
        centre: Mean activation of the training texts, [d].
        scale: Spread of each entry over the training texts, [d].
    """

    labels: tuple[str, ...]
    block: int
    weight: Tensor
    bias: Tensor
    centre: Tensor
    scale: Tensor

    def logprobs(self, means: Tensor) -> Tensor:
        """Return log-probabilities [N, E] from mean activations at the block [N, d]."""
        scaled = (means.float() - self.centre) / self.scale
        return (scaled @ self.weight.T + self.bias).log_softmax(-1)


def listener_logprobs(
    model: nn.Module, tokenizer: Any, listener: Listener, pairs: Sequence[tuple[list[int], str]]
) -> Tensor:
    """Return log-probabilities of each reply's emotion, [N, E]; the model must not be steered.

    Args:
        model: The model that the listener belongs to.
        tokenizer: Its tokenizer.
        listener: The readout.
        pairs: (ids of the prompt, reply).
    """
    return listener.logprobs(block_means(model, tokenizer, pairs, listener.block))


def train_listener(
    means: Tensor, labels: Sequence[str], *, block: int, strength: float = 0.01
) -> Listener:
    """Fit a readout by regularised logistic regression.

    Args:
        means: Mean activations of the texts at the block, [N, d].
        labels: Emotion of each text.
        block: Index of the block.
        strength: Inverse regularisation, as `C` of scikit-learn.

    Raises:
        DataError: If there are fewer than two emotions.
    """
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < 2:
        raise DataError("a listener needs texts of two emotions or more; give more examples")
    states = means.float().numpy()
    centre, scale = states.mean(0), states.std(0) + 1e-6
    fitted = LogisticRegression(C=strength, max_iter=2000).fit((states - centre) / scale, labels)
    weight, bias = np.asarray(fitted.coef_), np.asarray(fitted.intercept_)
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row for two classes
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return Listener(
        tuple(str(c) for c in fitted.classes_),
        block,
        torch.tensor(weight, dtype=torch.float32),
        torch.tensor(bias, dtype=torch.float32),
        torch.tensor(centre, dtype=torch.float32),
        torch.tensor(scale, dtype=torch.float32),
    )
