"""Mean cosine of sentence embeddings: reply with reference, with post, with the plain reply.

The last is topic adherence: how much of what the same system says without an emotion is still
said with one. Cosines of an encoder have a floor well above 0 for any two sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from emotone.errors import DataError
from emotone.metrics.base import Measure, Pair, SumStats, mean_stats
from emotone.metrics.tools import Tools, need
from emotone.protocols import Metric

Embed = Callable[[Sequence[str]], np.ndarray]


def cosines(pairs: Sequence[Pair], others: Sequence[str | None], embed: Embed) -> SumStats:
    """Compare each reply with another text; None does not count.

    Raises:
        DataError: If the encoder does not return one unit vector a text.
    """
    rows = [i for i, other in enumerate(others) if other is not None]
    found = np.full(len(pairs), np.nan)
    if rows:
        mine = units([pairs[i][1].text for i in rows], embed)
        other = units([others[i] or "" for i in rows], embed)
        found[rows] = (mine * other).sum(axis=1)
    return mean_stats(found)


def units(texts: Sequence[str], embed: Embed) -> np.ndarray:
    """Return the unit vectors of texts, [N, d].

    Raises:
        DataError: If the encoder does not return one unit vector a text.
    """
    found = np.asarray(embed(texts), np.float64)
    lengths = np.linalg.norm(found, axis=-1)
    if found.shape[:1] != (len(texts),) or not np.allclose(lengths, 1.0, atol=1e-3):
        raise DataError(f"the encoder gave {found.shape} for {len(texts)} texts; give unit vectors")
    return found


def _metric(
    name: str, other: Callable[[Pair, Tools], str | None], *, neutral: bool = False
) -> Callable[[Tools], Metric]:
    def make(tools: Tools) -> Metric:
        embed = need(tools.embed, name, "an encoder of sentences (embed)")
        if neutral:
            need(tools.neutral, name, "the replies without an emotion (neutral)")
        return Measure(
            name,
            f"name:{name}|encoder:{tools.embed_name}|v:1",
            lambda pairs: cosines(pairs, [other(pair, tools) for pair in pairs], embed),
        )

    return make


def _neutral(pair: Pair, tools: Tools) -> str | None:
    """Return the plain reply of the same seed, or else of the lowest.

    A reply that is itself plain has nothing to adhere to.
    """
    example, reply = pair
    plain = (tools.neutral or {}).get(example.id)
    if reply.emotion is None or not plain:
        return None
    return plain.get(reply.seed, plain[min(plain)])


METRICS = {
    "similarity_reference": _metric("similarity_reference", lambda pair, _: pair[0].reply),
    "similarity_post": _metric("similarity_post", lambda pair, _: pair[0].dialogue.posts[-1].text),
    "similarity_neutral": _metric("similarity_neutral", _neutral, neutral=True),
}
