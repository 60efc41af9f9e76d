"""Self-BLEU: how alike the replies of one system are; high means little variety.

Each sampled reply is scored by sentence BLEU-4 against all other sampled replies as references
(exponential smoothing, effective order, closest reference length, as sacrebleu), and the mean is
taken, 0 to 100. The value rises with the number of references, so at most `SAMPLE` replies are
sampled, by a hash of the example's id, so that all systems are measured on the same posts; runs
compare only with equal samples. Intervals hold the references fixed. Two runs have no paired test:
every reply's score rests on the whole of its run, so replies cannot be swapped.

Source: Zhu et al. 2018 (Texygen), with sacrebleu's smoothing in place of none.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotone.metrics.base import Measure, Pair, SumStats, mean_stats
from emotone.metrics.bleu import ORDER, score_of
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import DIVERSITY, Spec
from emotone.protocols import Metric

SAMPLE = 1000
SEED = 0


def sample(pairs: Sequence[Pair], size: int = SAMPLE, seed: int = SEED) -> list[int]:
    """Return places of at most `size` replies, the same replies in whatever order they come."""
    if len(pairs) <= size:
        return list(range(len(pairs)))
    marks: dict[str, bytes] = {}
    for example, _ in pairs:
        if example.id not in marks:
            name = f"{seed}\n{example.id}".encode("utf-8", "replace")
            marks[example.id] = hashlib.blake2b(name, digest_size=8).digest()

    def place(i: int) -> tuple[bytes, str, int, str]:
        # The rest only orders the replies to one post, of which the last one may be cut off.
        example, reply = pairs[i]
        return marks[example.id], str(reply.emotion or ""), reply.seed, reply.text

    return sorted(range(len(pairs)), key=place)[:size]


@dataclass(frozen=True, slots=True)
class SelfBleuStats:
    """Self-BLEU of each reply of one run, which cannot be joined with another's.

    Args:
        mean: Statistics of their mean.
    """

    mean: SumStats

    def __len__(self) -> int:
        """Return the number of replies, N."""
        return len(self.mean)

    @property
    def n(self) -> int:
        """Number of replies in the sample."""
        return self.mean.n

    def value(self, weights: Sequence[float] | None = None) -> float:
        """Return the weighted mean, the references held fixed."""
        return self.mean.value(weights)


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
    closest = np.zeros(len(lengths))
    for i, length in enumerate(lengths.tolist()):
        at = bisect_left(ordered, length)
        below, after = ordered[at - 1 : at] if at else [], ordered[at + 1 : at + 2]
        closest[i] = min(below + after, key=lambda other: (abs(other - length), other))
    return closest


def _self_bleu(instruments: Instruments, facts: RunFacts) -> Metric:
    def read(pairs: Sequence[Pair]) -> SelfBleuStats:
        places = sample(pairs)
        sampled = [pairs[i] for i in places]
        values = np.full(len(pairs), np.nan)
        values[places] = scores([instruments.tokens(r.text, e.lang, "word") for e, r in sampled])
        return SelfBleuStats(mean_stats(values))

    signature = f"name:self_bleu|tok:{instruments.tokens_name}|sample:{SAMPLE}|seed:{SEED}"
    return Measure("self_bleu", f"{signature}|smooth:exp|eff:yes|v:2", read)


METRICS = (
    Spec(
        name="self_bleu",
        make=_self_bleu,
        title="Self-BLEU",
        group=DIVERSITY,
        better="down",
        digits=2,
        measures="BLEU-4 of a reply against the others, mean over a sample",
        range="0 to 100",
        source="Zhu et al. 2018",
        misleads="rises with the size of the sample, which is fixed",
    ),
)
