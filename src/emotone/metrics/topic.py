"""Whether replies are on topic: nearer to their own reference than to those of other posts.

The value is the mean cosine of replies with their own text (the reference, or the last post) less
their mean cosine with the texts of all other posts that were answered in the same emotion. Chance
is 0: replies that say the same to every post get exactly 0, however alike all texts are to
an encoder. With one asked emotion, a text that is only in the mood of the reply is no nearer than
the others. No pairing is random: with n posts, own less other is n / (n - 1) times own less all,
and the mean over all pairs is a product of sums. It is the covariance of replies and texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Measure, Pair, check_weights
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.similarity import units
from emotone.metrics.spec import OVERLAP, Make, Spec
from emotone.protocols import Metric

Key = tuple[str, str]
"""Asked emotion ("" for none alone) and example id; only within an emotion are posts compared."""


@dataclass(frozen=True)
class TopicStats:
    """Vectors of replies and of their own texts.

    Where some posts have more weight than others, n becomes W^2 / (sum of squared weights of the
    posts), as in the covariance of weighted samples. A post that is drawn twice is one post.

    Args:
        replies: Unit vectors [N, d]; zeros where a reply has no text of its own.
        texts: Unit vectors [N, d]; zeros likewise.
        keys: Emotion and post of each reply, [N]; None where it has no text of its own.
    """

    replies: np.ndarray
    texts: np.ndarray
    keys: tuple[Key | None, ...]

    def __len__(self) -> int:
        """Return the number of replies, N."""
        return len(self.keys)

    @cached_property
    def _strata(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each emotion that several posts were answered in: places, and where posts start.

        Places of one post stand together.
        """
        by_emotion: dict[str, list[tuple[str, int]]] = {}
        for i, key in enumerate(self.keys):
            if key is not None:
                by_emotion.setdefault(key[0], []).append((key[1], i))
        strata: list[tuple[np.ndarray, np.ndarray]] = []
        for rows in by_emotion.values():
            rows.sort()
            starts = [k for k, row in enumerate(rows) if not k or rows[k - 1][0] != row[0]]
            if len(starts) > 1:
                strata.append((np.array([i for _, i in rows]), np.array(starts)))
        return strata

    @cached_property
    def _own(self) -> np.ndarray:
        return (self.replies * self.texts).sum(axis=1)

    @cached_property
    def n(self) -> int:
        """Number of replies that count."""
        return sum(len(places) for places, _ in self._strata)

    def value(self, weights: Sequence[float] | None = None) -> float:
        """Return own less other cosines with each reply counted `weights[i]` times; NaN for none.

        A reply counts where another post was answered in its emotion.
        """
        weight = np.ones(len(self)) if weights is None else check_weights(weights, len(self))
        return float(self.at_once(weight[None])[0])

    def at_once(self, weights: np.ndarray) -> np.ndarray:
        """Return the value for each row of weights [R, N], as [R]."""
        values, total = np.zeros((2, len(weights)))
        for places, starts in self._strata:
            weight = weights[:, places]
            size = weight.sum(axis=1)
            left = size**2 - (np.add.reduceat(weight, starts, axis=1) ** 2).sum(axis=1)
            # Where a single post has weight, what is left is rounding.
            counts = left > 1e-9 * size**2
            sums = ((weight @ self.replies[places]) * (weight @ self.texts[places])).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                value = size * (size * (weight @ self._own[places]) - sums) / left
            values += np.where(counts, value, 0.0)
            total += np.where(counts, size, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, values / total, np.nan)

    def join(self, other: Self) -> Self:
        """Put the replies of another run after these."""
        width = max(self.replies.shape[1], other.replies.shape[1])

        def both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            # A run in which no reply has a text of its own knows no width.
            wide = (np.zeros((len(x), width)) if x.shape[1] < width else x for x in (a, b))
            return np.concatenate(list(wide))

        return type(self)(
            both(self.replies, other.replies),
            both(self.texts, other.texts),
            self.keys + other.keys,
        )


def _make(name: str, own: Callable[[Pair], str | None]) -> Make:
    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        embed = need(instruments.embed)

        def read(pairs: Sequence[Pair]) -> TopicStats:
            texts = [own(pair) for pair in pairs]
            rows = [i for i, text in enumerate(texts) if text is not None]
            keys: list[Key | None] = [None] * len(pairs)
            for i in rows:
                emotion = asked_emotion(pairs[i][1])
                keys[i] = ("" if emotion is None else str(emotion), pairs[i][0].id)
            if not rows:
                nothing = np.zeros((len(pairs), 0))
                return TopicStats(nothing, nothing, tuple(keys))
            mine = units([pairs[i][1].text for i in rows], embed)
            other = units([texts[i] or "" for i in rows], embed)
            both = np.zeros((2, len(pairs), mine.shape[1]))
            both[0, rows], both[1, rows] = mine, other
            return TopicStats(both[0], both[1], tuple(keys))

        signature = f"name:{name}|encoder:{instruments.embed_name}|others:all,same emotion|v:1"
        return Measure(name, signature, read)

    return make


METRICS = (
    Spec(
        name="topic_reference",
        make=_make("topic_reference", lambda pair: pair[0].reply),
        needs=("embed",),
        title="Similarity to the reference, less to others",
        group=OVERLAP,
        share=True,
        measures="cosine with the reference, less the mean with the references of all other posts"
        " answered in the same emotion",
        range="-2 to 2",
        misleads="near 0 where all posts are of one topic; 0 is chance, whatever the encoder",
    ),
    Spec(
        name="topic_post",
        make=_make("topic_post", lambda pair: pair[0].dialogue.posts[-1].text),
        needs=("embed",),
        title="Similarity to the post, less to others",
        group=OVERLAP,
        better="",
        share=True,
        measures="cosine with the last post, less the mean with the last posts of all others"
        " answered in the same emotion",
        range="-2 to 2",
        misleads="repeating the post is highest",
    ),
)
