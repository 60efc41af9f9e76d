"""Self-BLEU: how alike the replies of one system are; high means little variety.

Each sampled reply is scored by sentence BLEU-4 against all other sampled replies as references
(exponential smoothing, effective order, closest reference length, as sacrebleu), and the mean is
taken, 0 to 100. The value rises with the number of references, so at most `SAMPLE` replies are
drawn, by a hash of id and text and not by place; runs compare only with equal samples. Intervals
hold the references fixed.

Source: Zhu et al. 2018 (Texygen), with sacrebleu's smoothing in place of none.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from emotone.metrics.base import Measure, Pair, SumStats, mean_stats
from emotone.metrics.bleu import ORDER, score_of
from emotone.metrics.tools import Tools
from emotone.protocols import Metric

SAMPLE = 1000
SEED = 0


def sample(pairs: Sequence[Pair], size: int = SAMPLE, seed: int = SEED) -> list[int]:
    """Return places of at most `size` replies, the same replies in whatever order they come."""
    if len(pairs) <= size:
        return list(range(len(pairs)))
    names = [f"{seed}\n{example.id}\n{reply.text}" for example, reply in pairs]
    marks = [hashlib.blake2b(n.encode("utf-8", "replace"), digest_size=8).digest() for n in names]
    return sorted(range(len(pairs)), key=marks.__getitem__)[:size]


def scores(token_lists: Sequence[Sequence[str]]) -> np.ndarray:
    """Return BLEU of each list against all others, [N]; NaN if there is no other."""
    n = len(token_lists)
    if n < 2:
        return np.full(n, np.nan)
    correct, total = np.zeros((n, ORDER)), np.zeros((n, ORDER))
    for order in range(1, ORDER + 1):
        rows = [
            Counter(zip(*(tokens[j:] for j in range(order)), strict=False))
            for tokens in token_lists
        ]
        most = _two_most(rows)
        for i, row in enumerate(rows):
            total[i, order - 1] = row.total()
            correct[i, order - 1] = sum(
                min(times, most[gram][1] if most[gram][0] == times else most[gram][0])
                for gram, times in row.items()
            )
    lengths = np.array([len(tokens) for tokens in token_lists], np.float64)
    return score_of(correct, total, lengths, _closest(lengths), cut=True)


def _two_most(rows: Sequence[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int]]:
    """Return the two highest counts that an n-gram has in one reply.

    Leaving one reply out, the highest that remains is the first, or the second where the first
    was its own (or equals it).
    """
    most: dict[tuple[str, ...], tuple[int, int]] = {}
    for row in rows:
        for gram, times in row.items():
            first, second = most.get(gram, (0, 0))
            most[gram] = (times, first) if times > first else (first, max(second, times))
    return most


def _closest(lengths: np.ndarray) -> np.ndarray:
    """Return for each length the closest other one, the shorter of two equally close."""
    ordered = sorted(lengths.tolist())
    found = np.zeros(len(lengths))
    for i, length in enumerate(lengths.tolist()):
        at = bisect_left(ordered, length)
        below, after = ordered[at - 1 : at] if at else [], ordered[at + 1 : at + 2]
        found[i] = min(below + after, key=lambda other: (abs(other - length), other))
    return found


def _self_bleu(tools: Tools) -> Metric:
    tokens: Callable[[str, str, str], list[str]] = tools.tokens

    def read(pairs: Sequence[Pair]) -> SumStats:
        places = sample(pairs)
        drawn = [pairs[i] for i in places]
        found = np.full(len(pairs), np.nan)
        found[places] = scores([tokens(r.text, e.lang, "word") for e, r in drawn])
        return mean_stats(found)

    signature = f"name:self_bleu|tok:{tools.tokens_name}|sample:{SAMPLE}|seed:{SEED}"
    return Measure("self_bleu", f"{signature}|smooth:exp|eff:yes|v:1", read)


METRICS = {"self_bleu": _self_bleu}
