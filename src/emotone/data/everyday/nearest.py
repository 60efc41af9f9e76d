"""Posts of everyday that are most like a given one, by the words that they share.

    sim(p, q) = sum_t v_t(p) v_t(q),    v_t(p) ~ (1 + log tf_t(p)) log(N / df_t),    |v(p)| = 1

t runs over the words of a post, cut to their first six letters, so that "friends" and "friendly"
are one; in Chinese over its characters and pairs of these. A post is compared with ten thousand
others in a millisecond. What a model finds alike (`steering.likeness`) may be added.

Source: Salton and Buckley 1988, term weighting with logarithmic frequencies.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from emotone.data import everyday
from emotone.data.text import Lang

_STEM = 6
_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")


class Near(NamedTuple):
    """A line whose post is like a given one.

    Args:
        line: The line.
        similarity: Cosine of the words of the two posts, 0 to 1.
        overlap: Weight of the words that both have, as a share of the weight of all their words.
        likeness: How like a model finds them, -1 to 1; 0 where none was asked.
    """

    line: everyday.Line
    similarity: float
    overlap: float
    likeness: float = 0.0


def terms(text: str) -> list[str]:
    """Cut a text into what is compared, in its order."""
    cut: list[str] = []
    for word in _WORD.findall(text.casefold().replace("'", "").replace("’", "")):
        if "\u3400" <= word[0] <= "\u9fff":
            cut += [*word, *(word[i : i + 2] for i in range(len(word) - 1))]
        else:
            cut.append(word[:_STEM])
    return cut


def length(text: str) -> float:
    """Count the words of a text; a Chinese character is half a one."""
    return sum(
        len(word) / 2 if "\u3400" <= word[0] <= "\u9fff" else 1 for word in _WORD.findall(text)
    )


class Posts:
    """The posts of some lines, to be searched.

    Args:
        lines: The lines, one or more.
    """

    def __init__(self, lines: Sequence[everyday.Line]) -> None:
        self.lines = lines
        counted = [Counter(terms(line.post)) for line in lines]
        seen = Counter(term for counts in counted for term in counts)
        self._rarity = {term: math.log(len(lines) / n) for term, n in seen.items()}
        self._unseen = math.log(len(lines)) if lines else 0.0
        postings: dict[str, tuple[list[int], list[float]]] = {}
        for i, counts in enumerate(counted):
            for term, weight in self._vector(counts).items():
                rows, weights = postings.setdefault(term, ([], []))
                rows.append(i)
                weights.append(weight)
        self._postings = {
            term: (np.array(rows), np.array(weights)) for term, (rows, weights) in postings.items()
        }
        self._having: dict[str, np.ndarray] = {}

    def weight(self, words: Iterable[str]) -> float:
        """Return the weight of some terms: the sum of log(N / df), most for one never seen."""
        return sum(self._rarity.get(term, self._unseen) for term in words)

    def near(
        self,
        post: str,
        labels: Sequence[str],
        count: int,
        *,
        without: Collection[str] = (),
        likeness: np.ndarray | None = None,
        weight: float = 1.0,
    ) -> list[Near]:
        """Find the lines that are most like a post, the likest first.

        Args:
            post: The post.
            labels: Emotions that they have a reply in.
            count: The most lines; of those that neither share a word with the post nor are like it
                to a model none is taken.
            without: What was said before; a line is left out of which a reply stands in it.
            likeness: How like a model finds the post of each line, [N].
            weight: Of the likeness, beside the cosine of words.
        """
        scores = np.zeros(len(self.lines))
        for term, own in self._vector(Counter(terms(post))).items():
            if term in self._postings:
                rows, weights = self._postings[term]
                scores[rows] += own * weights
        if likeness is not None:
            scores += weight * likeness
        for label in labels:
            scores[~self._with(label)] = 0.0
        chosen: list[Near] = []
        replies: set[str] = set()
        for i in np.argsort(-scores, kind="stable"):
            line = self.lines[int(i)]
            if scores[i] <= 0 or len(chosen) == count:
                break
            texts = {line.replies[label] for label in labels}
            if not texts & replies and not any(t in said for t in texts for said in without):
                replies |= texts
                near = self.compare(post, line)
                if likeness is not None:
                    near = near._replace(likeness=float(likeness[i]))
                chosen.append(near)
        return chosen

    def compare(self, post: str, line: everyday.Line) -> Near:
        """Compare the words of a post with those of a line's."""
        own, other = (self._vector(Counter(terms(text))) for text in (post, line.post))
        both, every = self.weight(own.keys() & other.keys()), self.weight(own.keys() | other.keys())
        similarity = sum(weight * other.get(term, 0.0) for term, weight in own.items())
        return Near(line, min(similarity, 1.0), both / every if every else 0.0)

    def _with(self, label: str) -> np.ndarray:
        if label not in self._having:
            self._having[label] = np.array([label in line.replies for line in self.lines])
        return self._having[label]

    def _vector(self, counts: Counter[str]) -> dict[str, float]:
        raw = {
            term: (1 + math.log(n)) * self._rarity.get(term, self._unseen)
            for term, n in counts.items()
        }
        norm = math.sqrt(sum(w * w for w in raw.values()))
        return {term: w / norm for term, w in raw.items()} if norm else {}


@cache
def learned_posts(lang: Lang) -> Posts:
    """Return the posts that no judge that scores learns from, as it would hear its own lines."""
    kinds = ("plain", "rich", "moods")
    return Posts(everyday.lines(lang, kinds=kinds, splits=["train-a", "train-c"]))
