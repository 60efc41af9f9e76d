"""chrF2 of replies against references, over a corpus, from counts that add up.

Equal to sacrebleu's chrF with its defaults (characters up to 6-grams, no words, beta 2, blanks
left out); it counts here because sacrebleu offers no counts of single texts.

Source: Popović 2015, 2016; Post 2018 (sacrebleu).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from emotone.metrics.base import Measure, Pair, SumStats
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import OVERLAP, Spec
from emotone.protocols import Metric

ORDER = 6
BETA = 2


def counts(text: str, reference: str) -> list[int]:
    """Return n-grams of the text, of the reference and of both, for each order, [18]."""
    row: list[int] = []
    mine, other = "".join(text.split()), "".join(reference.split())
    for n in range(1, ORDER + 1):
        a, b = _grams(mine, n), _grams(other, n)
        both = sum(min(times, b[gram]) for gram, times in a.items() if gram in b)
        row += [a.total() if b else 0, b.total(), both]
    return row


def finish(sums: np.ndarray) -> np.ndarray:
    """Take sums [..., 19] of counts and replies to chrF, 0 to 100; NaN for no reply."""
    mine, other, both = (sums[..., j : 3 * ORDER : 3] for j in range(3))
    there = (mine > 0) & (other > 0)
    orders = np.maximum(there.sum(axis=-1), 1)
    precision, recall = (
        np.divide(both, below, out=np.zeros_like(both), where=there).sum(axis=-1) / orders
        for below in (mine, other)
    )
    below = BETA**2 * precision + recall
    above = (1 + BETA**2) * precision * recall
    value = 100 * np.divide(above, below, out=np.zeros_like(below), where=below > 0)
    return np.where(sums[..., -1] > 0, value, np.nan)


def read(pairs: Sequence[Pair]) -> SumStats:
    """Count n-grams; a reply without a reference does not count."""
    rows = np.zeros((len(pairs), 3 * ORDER + 1))
    for i, (example, reply) in enumerate(pairs):
        if example.reply is not None:
            rows[i] = [*counts(reply.text, example.reply), 1]
    return SumStats(rows, finish)


def _grams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def _chrf(instruments: Instruments, facts: RunFacts) -> Metric:
    return Measure("chrf", "name:chrf|nrefs:1|case:mixed|nc:6|nw:0|space:no|v:1", read)


METRICS = (
    Spec(
        name="chrf",
        make=_chrf,
        title="chrF",
        group=OVERLAP,
        digits=2,
        measures="chrF2 over the corpus, as sacrebleu",
        range="0 to 100",
        source="Popović 2015",
        misleads="there are many good replies",
    ),
)
