"""Probabilities that mean what they say: temperature scaling, and how far off they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emotone.emotions import Taxonomy
from emotone.types import EmotionScores

if TYPE_CHECKING:
    import numpy as np


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities [N, k] of logits [N, k], in float64."""
    import numpy as np

    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(-1, keepdims=True)
    raised = np.exp(scaled)
    return raised / raised.sum(-1, keepdims=True)


def fit_temperature(logits: np.ndarray, gold: np.ndarray) -> float:
    """Find the temperature that makes the true labels likeliest.

    Args:
        logits: [N, k].
        gold: Index of the true label, [N].

    Returns:
        A temperature from 0.05 to 20.

    Source: Guo et al. 2017, section 4.2.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(gold))

    def nats(log_temperature: float) -> float:
        chance = softmax(logits, float(np.exp(log_temperature)))[rows, gold]
        return float(-np.log(np.maximum(chance, 1e-12)).mean())

    best = minimize_scalar(nats, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(best.x))


def calibration_error(probabilities: np.ndarray, gold: np.ndarray, *, bins: int = 15) -> float:
    """Expected calibration error: mean gap between how sure and how right, in [0, 1].

    Texts are put in `bins` equal stretches of the top probability; each bin's |accuracy - mean
    probability| counts by its share of texts.

    Args:
        probabilities: [N, k], rows sum to 1.
        gold: Index of the true label, [N].
        bins: Number of stretches.

    Source: Guo et al. 2017, equation 3.
    """
    import numpy as np

    sure = probabilities.max(-1)
    right = probabilities.argmax(-1) == gold
    where = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [
        (where == b).mean() * abs(right[where == b].mean() - sure[where == b].mean())
        for b in range(bins)
        if (where == b).any()
    ]
    return float(sum(gaps))


def scores(row: np.ndarray, labels: Sequence[str], taxonomy: Taxonomy) -> EmotionScores:
    """Put one row of probabilities [k] under the labels of a taxonomy."""
    by_label = dict.fromkeys(taxonomy.labels, 0.0)
    by_label.update(zip(labels, map(float, row), strict=True))
    return EmotionScores(max(by_label, key=by_label.__getitem__), by_label)
