"""Mean cosine of sentence embeddings: reply with reference, with post, with the plain reply.

The last is topic adherence: how much of what the same system says without an emotion is still
said with one. Cosines of an encoder have a floor well above 0 for any two sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from emotone.errors import DataError
from emotone.metrics.base import Measure, Pair, SumStats, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import OVERLAP, Make, Spec
from emotone.protocols import Metric

Embed = Callable[[Sequence[str]], np.ndarray]


def cosines(pairs: Sequence[Pair], others: Sequence[str | None], embed: Embed) -> SumStats:
    """Compare each reply with another text; None does not count.

    Raises:
        DataError: If the encoder does not return one unit vector a text.
    """
    rows = [i for i, other in enumerate(others) if other is not None]
    values = np.full(len(pairs), np.nan)
    if rows:
        mine = units([pairs[i][1].text for i in rows], embed)
        other = units([others[i] or "" for i in rows], embed)
        values[rows] = (mine * other).sum(axis=1)
    return mean_stats(values)


def units(texts: Sequence[str], embed: Embed) -> np.ndarray:
    """Return the unit vectors of texts, [N, d].

    Raises:
        DataError: If the encoder does not return one unit vector a text.
    """
    vectors = np.asarray(embed(texts), np.float64)
    lengths = np.linalg.norm(vectors, axis=-1)
    if vectors.shape[:1] != (len(texts),) or not np.allclose(lengths, 1.0, atol=1e-3):
        raise DataError(
            f"the encoder gave {vectors.shape} for {len(texts)} texts; give unit vectors"
        )
    return vectors


def _make(name: str, other: Callable[[Pair, RunFacts], str | None]) -> Make:
    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        embed = need(instruments.embed)
        return Measure(
            name,
            f"name:{name}|encoder:{instruments.embed_name}|v:1",
            lambda pairs: cosines(pairs, [other(pair, facts) for pair in pairs], embed),
        )

    return make


def _reference(pair: Pair, facts: RunFacts) -> str | None:
    return pair[0].reply


def _post(pair: Pair, facts: RunFacts) -> str | None:
    return pair[0].dialogue.posts[-1].text


def _plain(pair: Pair, facts: RunFacts) -> str | None:
    """Return the plain reply of the same seed, or else of the lowest.

    A reply that is itself plain has nothing to adhere to.
    """
    example, reply = pair
    plain = need(facts.plain).get(example.id)
    if reply.emotion is None or not plain:
        return None
    return plain.get(reply.seed, plain[min(plain)])


METRICS = (
    Spec(
        name="similarity_reference",
        make=_make("similarity_reference", _reference),
        needs=("embed",),
        title="Similarity to the reference",
        group=OVERLAP,
        share=True,
        measures="cosine with the reference",
        range="-1 to 1",
        source="Reimers and Gurevych 2019",
        misleads="any two sentences are somewhat alike",
    ),
    Spec(
        name="similarity_post",
        make=_make("similarity_post", _post),
        needs=("embed",),
        title="Similarity to the post",
        group=OVERLAP,
        better="",
        share=True,
        measures="cosine with the last post",
        range="-1 to 1",
        misleads="repeating the post is highest",
    ),
    Spec(
        name="similarity_neutral",
        make=_make("similarity_neutral", _plain),
        needs=("embed", "plain"),
        title="Similarity to the plain reply",
        group=OVERLAP,
        share=True,
        measures="cosine with the same system's reply without an emotion, of the same seed or else"
        " the lowest",
        range="-1 to 1",
        misleads="1 for a system that ignores the emotion",
    ),
)
