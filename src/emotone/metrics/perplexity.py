"""How likely texts are under a model: perplexity in two fashions, and bits per character.

Which texts (references or replies) and which model is the caller's choice and stands in the
signature. Perplexities compare only within one vocabulary; bits per character compare across.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emotone.errors import DataError
from emotone.metrics.base import Measure, Pair, SumStats, mean_of, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import FLUENCY, Display, Spec
from emotone.protocols import Metric, Stats

LN2 = math.log(2)


Likelihood = Callable[[Sequence[Pair]], np.ndarray]


def counts(pairs: Sequence[Pair], likelihood: Likelihood) -> np.ndarray:
    """Return nats, tokens and characters of each text, [N, 3]; zeros where likelihood gives NaN.

    Raises:
        DataError: If the likelihood has another shape, or a negative or infinite number.
    """
    if not pairs:
        return np.zeros((0, 3))
    rows = np.asarray(likelihood(pairs), np.float64)
    if rows.shape != (len(pairs), 3):
        raise DataError(
            f"the likelihoods of {len(pairs)} texts have shape {rows.shape}; "
            "give nats, tokens and characters of each"
        )
    if np.isinf(rows).any() or (rows[~np.isnan(rows)] < 0).any():
        raise DataError("a likelihood is negative or infinite; give nats, tokens and characters")
    return np.where(np.isnan(rows).any(axis=1, keepdims=True), 0.0, rows)


def _exp_of_mean(sums: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(mean_of(sums))


def token_weighted(counted: np.ndarray) -> Stats:
    """Perplexity: exp(sum of nats / sum of tokens)."""
    return SumStats(counted[:, :2], _exp_of_mean)


def sequence_weighted(counted: np.ndarray) -> Stats:
    """ECM's perplexity: exp(mean over texts of the nats a token of each text)."""
    nats, tokens, _ = counted.T
    per_text = np.full(len(counted), np.nan)
    np.divide(nats, tokens, out=per_text, where=tokens > 0)
    return SumStats(mean_stats(per_text).rows, _exp_of_mean)


def bits(counted: np.ndarray) -> Stats:
    """Bits per character: sum of nats / ln 2 / sum of characters."""
    return SumStats(counted[:, [0, 2]] / np.array([LN2, 1.0]), mean_of)


def _declared(
    name: str,
    finish: Callable[[np.ndarray], Stats],
    title: str,
    *,
    tail: str = "",
    digits: int = 2,
    measures: str,
    range: str,
    source: str = "standard",
    misleads: str,
) -> Spec:
    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        likelihood = need(instruments.perplexity)
        signature = f"name:{name}|model:{instruments.perplexity_name}|v:1"
        return Measure(name, signature, lambda pairs: finish(counts(pairs, likelihood)))

    def shown(of: str) -> dict[str, Any]:
        title_of = f"{title} of {of}{tail}"
        return {"title": title_of, "group": FLUENCY, "better": "down", "digits": digits}

    return Spec(
        name=name,
        make=make,
        needs=("perplexity",),
        **shown("references"),
        of_replies=Display(name=f"reply_{name}", **shown("replies")),
        measures=measures,
        range=range,
        source=source,
        misleads=misleads,
    )


METRICS = (
    _declared(
        "perplexity",
        token_weighted,
        "Perplexity",
        measures="exp(nats / tokens), over all texts",
        range="1 up",
        misleads="between vocabularies; of dull replies, which are likely",
    ),
    _declared(
        "ecm_perplexity",
        sequence_weighted,
        "Perplexity",
        tail=", mean over sentences",
        measures="exp(mean over texts of nats a token)",
        range="1 up",
        source="ECM's code",
        misleads="short texts weigh as much as long ones",
    ),
    _declared(
        "bits_per_character",
        bits,
        "Bits per character",
        digits=3,
        measures="nats / ln 2 / characters",
        range="0 up",
        misleads="between languages: a Han character says more than a letter",
    ),
)
