"""How likely texts are under a model: perplexity in two fashions, and bits per character.

Which texts (references or replies) and which model is the caller's choice and stands in the
signature. Perplexities compare only within one vocabulary; bits per character compare across.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from emotone.errors import DataError
from emotone.metrics.base import Measure, Pair, SumStats, mean_of, mean_stats
from emotone.metrics.tools import Tools, need
from emotone.protocols import Metric, Stats

LN2 = math.log(2)


def counts(pairs: Sequence[Pair], tools: Tools, metric: str) -> np.ndarray:
    """Return nats, tokens and characters of each text, [N, 3]; a row of NaN is no text.

    Raises:
        DataError: If the tool returns another shape, or a negative or infinite number.
    """
    likelihood = need(tools.perplexity, metric, "the likelihood of texts under a model")
    if not pairs:
        return np.zeros((0, 3))
    found = np.asarray(likelihood(pairs), np.float64)
    if found.shape != (len(pairs), 3):
        raise DataError(
            f"the likelihoods of {len(pairs)} texts have shape {found.shape}; "
            "give nats, tokens and characters of each"
        )
    if np.isinf(found).any() or (found[~np.isnan(found)] < 0).any():
        raise DataError("a likelihood is negative or infinite; give nats, tokens and characters")
    return np.where(np.isnan(found).any(axis=1, keepdims=True), 0.0, found)


def _exp_of_mean(sums: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(mean_of(sums))


def token_weighted(found: np.ndarray) -> Stats:
    """Perplexity: exp(sum of nats / sum of tokens)."""
    return SumStats(found[:, :2], _exp_of_mean)


def sequence_weighted(found: np.ndarray) -> Stats:
    """ECM's perplexity: exp(mean over texts of the nats a token of each text)."""
    per_text = np.full(len(found), np.nan)
    np.divide(found[:, 0], found[:, 1], out=per_text, where=found[:, 1] > 0)
    return SumStats(mean_stats(per_text).rows, _exp_of_mean)


def bits(found: np.ndarray) -> Stats:
    """Bits per character: sum of nats / ln 2 / sum of characters."""
    return SumStats(found[:, [0, 2]] / np.array([LN2, 1.0]), mean_of)


def _metric(name: str, finish: Callable[[np.ndarray], Stats]) -> Callable[[Tools], Metric]:
    def make(tools: Tools) -> Metric:
        need(tools.perplexity, name, "the likelihood of texts under a model")
        signature = f"name:{name}|model:{tools.perplexity_name}|v:1"
        return Measure(name, signature, lambda pairs: finish(counts(pairs, tools, name)))

    return make


METRICS = {
    "perplexity": _metric("perplexity", token_weighted),
    "ecm_perplexity": _metric("ecm_perplexity", sequence_weighted),
    "bits_per_character": _metric("bits_per_character", bits),
}
