"""F1 from sums: hits, true and judged counts of each label add up over replies."""

from __future__ import annotations

import numpy as np

#: Differences of sums leave dust in the last digits; less than this is nothing.
DUST = 1e-9


def columns(true: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Return hits, true counts and judged counts of each label, [N, 3 * L].

    Args:
        true: Weight of each true label, [N, L]: one-hot, spread out, or zeros for no reply.
        judged: The judged label, one-hot, [N, L]; zeros for no reply.
    """
    return np.concatenate([true * judged, true, judged], axis=-1)


def parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split sums [..., 3 * L] into hits, true and judged, [..., L] each."""
    hits, true, judged = np.split(sums, 3, axis=-1)
    return hits, true, judged


def f1(sums: np.ndarray) -> np.ndarray:
    """Return F1 of each label, [..., L]; 0 for a label neither true nor judged."""
    hits, true, judged = parts(sums)
    both = true + judged
    return np.divide(2 * hits, both, out=np.zeros_like(both), where=both > DUST)


def macro(sums: np.ndarray, *, present: str) -> np.ndarray:
    """Return the mean F1 over the labels that are present; NaN for none.

    Args:
        sums: Sums of `columns`, [..., 3 * L].
        present: "true" for labels that are true at least once; "either" for true or judged.
    """
    _, true, judged = parts(sums)
    there = (true if present == "true" else true + judged) > DUST
    return _ratio((f1(sums) * there).sum(-1), there.sum(-1).astype(np.float64))


def weighted(sums: np.ndarray) -> np.ndarray:
    """Return the mean of F1 over labels, weighted by how often each is true; NaN for none."""
    _, true, _ = parts(sums)
    return _ratio((f1(sums) * true).sum(-1), true.sum(-1))


def accuracy(sums: np.ndarray) -> np.ndarray:
    """Return hits over all; NaN for none."""
    hits, true, _ = parts(sums)
    return _ratio(hits.sum(-1), true.sum(-1))


def majority(sums: np.ndarray) -> np.ndarray:
    """Return the sums of a judge that always says the label that is true most often."""
    _, true, _ = parts(sums)
    first = np.arange(true.shape[-1]) == true.argmax(-1)[..., None]
    total = true.sum(-1, keepdims=True)
    return np.concatenate([np.where(first, true, 0.0), true, np.where(first, total, 0.0)], axis=-1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > DUST)
