"""Token lists as arrays: ids in one row after another, and n-grams packed into integers.

A corpus of a million replies is one array of ids; an n-gram is one integer, so counting kinds is
counting different integers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np

_LIMIT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Token lists in compressed rows.

    Args:
        words: The word of each id.
        ids: Ids of all tokens, row after row, [M].
        offsets: Row i is `ids[offsets[i]:offsets[i + 1]]`, [N + 1].
    """

    words: tuple[str, ...]
    ids: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows, N."""
        return len(self.offsets) - 1

    def lengths(self, n: int = 1) -> np.ndarray:
        """Return the number of n-grams of each row, [N]."""
        return np.maximum(np.diff(self.offsets) - n + 1, 0)


def encode(rows: Iterable[Sequence[str]]) -> TokenRows:
    """Give each different token an id, in order of first sight."""
    rows = rows if isinstance(rows, Sequence) else list(rows)
    ids: defaultdict[str, int] = defaultdict()
    ids.default_factory = count().__next__
    offsets = _offsets(rows)
    # `map` over a C method is the whole loop: no bytecode runs for a token.
    flat = np.fromiter(map(ids.__getitem__, chain.from_iterable(rows)), np.int64, int(offsets[-1]))
    return TokenRows(tuple(ids), flat, offsets)


def _offsets(rows: Sequence[Sequence[str]]) -> np.ndarray:
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)), out=offsets[1:])
    return offsets


def keys(rows: TokenRows, n: int) -> np.ndarray:
    """Return one integer for each n-gram, row after row; equal grams have equal integers.

    Grams never reach over the end of a row; row i has `rows.lengths(n)[i]` of them.
    """
    size = len(rows.ids) - n + 1
    if size <= 0:
        return np.zeros(0, np.int64)
    base = int(rows.ids.max()) + 1
    packed, kinds = rows.ids[:size], base
    for j in range(1, n):
        if kinds > _LIMIT // base:  # the next digit would not fit: number the grams anew
            packed, kinds = numbered(packed)
        packed = packed * base + rows.ids[j : size + j]
        kinds *= base
    if n == 1:
        return packed
    inside = np.ones(len(rows.ids), bool)
    starts, ends = rows.offsets[:-1], rows.offsets[1:]
    for j in range(1, n):
        inside[(ends - j)[ends - j >= starts]] = False
    return packed[inside[:size]]


def join(a: TokenRows, b: TokenRows) -> TokenRows:
    """Put the rows of `b` after those of `a`, over one set of ids."""
    known = {word: i for i, word in enumerate(a.words)}
    moved = np.fromiter((known.setdefault(w, len(known)) for w in b.words), np.int64, len(b.words))
    ids = np.concatenate([a.ids, moved[b.ids]])
    return TokenRows(tuple(known), ids, np.concatenate([a.offsets, b.offsets[1:] + a.offsets[-1]]))


def number_of_kinds(packed: np.ndarray) -> int:
    """Count the different integers."""
    # Sorting integers runs on vector units and beats the hash table of `np.unique` many times.
    ordered = np.sort(packed)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + bool(len(ordered))


def numbered(packed: np.ndarray) -> tuple[np.ndarray, int]:
    """Replace each integer by its rank among the different ones; return how many there are."""
    order = np.argsort(packed)
    ordered = packed[order]
    new = np.ones(len(ordered), np.int64)
    new[1:] = ordered[1:] != ordered[:-1]
    ranks = np.empty(len(ordered), np.int64)
    ranks[order] = np.cumsum(new) - 1
    return ranks, int(new.sum())
