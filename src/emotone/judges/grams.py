"""Counting words and letters fast: what scikit-learn's `TfidfVectorizer` gives, without its loop.

Most words of a text were seen before, so the n-grams inside a word are looked up once a word and
not once an occurrence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_WORD = re.compile(r"(?u)\b\w\w+\b")
_SPACES = re.compile(r"\s\s+")


@dataclass(frozen=True, slots=True)
class Grams:
    """One kind of n-gram.

    Args:
        analyzer: "word", letters inside words ("char_wb"), or characters as they come ("char",
            for Chinese).
        low: Shortest n-gram.
        high: Longest.
        min_texts: Kept only if so many texts have it.
        most: Keep the commonest so many; None keeps all.
    """

    analyzer: Literal["word", "char_wb", "char"]
    low: int
    high: int
    min_texts: int = 2
    most: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """n-grams that were learnt, in order, with their weights.

    Args:
        grams: Which kind.
        terms: Each n-gram and its column.
        idf: Inverse document frequency of each column, [F].
    """

    grams: Grams
    terms: Mapping[str, int]
    idf: Any


def fit(grams: Grams, texts: Sequence[str]) -> Counted:
    """Learn the n-grams of texts.

    Raises:
        ValueError: If the texts share no n-gram.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    learnt = TfidfVectorizer(
        analyzer=grams.analyzer,
        ngram_range=(grams.low, grams.high),
        min_df=grams.min_texts,
        max_features=grams.most,
    ).fit(texts)
    terms = {str(t): i for i, t in enumerate(learnt.get_feature_names_out())}
    return Counted(grams, terms, learnt.idf_)


def tfidf(counted: Counted, texts: Sequence[str]) -> Any:
    """Weigh the n-grams of texts: sparse [N, F], (1 + log count) x idf, rows of length 1 or 0."""
    import numpy as np
    from scipy.sparse import csr_matrix

    columns = _columns(counted)
    rows = [columns(text.lower()) for text in texts]
    ends = np.cumsum([0, *map(len, rows)])
    at = np.fromiter((i for row in rows for i in row), np.int64, int(ends[-1]))
    table = csr_matrix((np.ones(len(at)), at, ends), shape=(len(texts), len(counted.terms)))
    table.sum_duplicates()
    table.data = (1 + np.log(table.data)) * np.asarray(counted.idf)[table.indices]
    length = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    table.data /= np.repeat(np.where(length > 0, length, 1.0), np.diff(table.indptr))
    return table


def _columns(counted: Counted) -> Any:
    """A function from a lower-case text to the columns of its n-grams, with repeats."""
    get, low, high = counted.terms.get, counted.grams.low, counted.grams.high

    def known(grams: Sequence[str]) -> list[int]:
        return [i for g in grams if (i := get(g)) is not None]

    def words(text: str) -> list[int]:
        tokens = _WORD.findall(text)
        grams = list(tokens) if low == 1 else []
        for n in range(max(low, 2), high + 1):
            grams += [" ".join(tokens[k : k + n]) for k in range(len(tokens) - n + 1)]
        return known(grams)

    def characters(text: str) -> list[int]:
        plain = _SPACES.sub(" ", text)
        size = len(plain)
        return known([plain[k : k + n] for n in range(low, high + 1) for k in range(size - n + 1)])

    seen: dict[str, list[int]] = {}

    def letters(text: str) -> list[int]:
        out: list[int] = []
        for word in text.split():
            if (inside := seen.get(word)) is None:
                inside = known(_inside(f" {word} ", low, high))
                if len(word) < 40:  # what is longer is no word and comes once
                    seen[word] = inside
            out += inside
        return out

    return {"word": words, "char": characters, "char_wb": letters}[counted.grams.analyzer]


def _inside(word: str, low: int, high: int) -> list[str]:
    """n-grams of a word with its blanks; a word shorter than n counts once, for the first n."""
    grams: list[str] = []
    for n in range(low, high + 1):
        grams.append(word[:n])
        grams += [word[k : k + n] for k in range(1, len(word) - n + 1)]
        if len(word) <= n:
            break
    return grams
