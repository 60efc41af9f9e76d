"""BLEU of replies against references: sacrebleu's counts, added up here.

The counts add up over replies, so intervals are cheap; the value equals sacrebleu's corpus BLEU.
Chinese is split by sacrebleu's `zh` (each Han character a token), all else by `13a`.

Source: Papineni et al. 2002; Post 2018 (sacrebleu).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotone.metrics.base import Measure, Pair, SumStats
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import OVERLAP, Spec
from emotone.protocols import Metric

ORDER = 4
TOKENIZERS = {"en": "13a", "zh": "zh"}


def score_of(
    correct: np.ndarray, total: np.ndarray, length: np.ndarray, reference: np.ndarray, *, cut: bool
) -> np.ndarray:
    """Compute BLEU (0 to 100) with exponential smoothing from counts.

    Args:
        correct: n-grams that are in the reference, clipped, [..., 4].
        total: n-grams of the reply, [..., 4].
        length: Tokens of the reply, [...].
        reference: Tokens of the reference, [...].
        cut: Whether orders that the reply is too short for are left out ("effective order", for
            single replies); without it they make the value 0.
    """
    logs = np.zeros(length.shape)
    orders = np.zeros(length.shape)
    halved = np.ones(length.shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for n in range(ORDER):
            there = total[..., n] > 0
            missed = there & (correct[..., n] == 0)
            halved = np.where(missed, halved * 2, halved)
            above = np.where(missed, 1 / halved, correct[..., n])
            # Without the cut an order that has no n-gram is log 0.
            term = np.where(there, np.log(100 * above / total[..., n]), 0.0 if cut else -np.inf)
            logs = logs + term
            orders = orders + (there if cut else 1.0)
        short = np.where(length > 0, np.exp(np.minimum(0.0, 1 - reference / length)), 0.0)
        value = short * np.exp(logs / np.maximum(orders, 1))
    return np.where(correct.any(axis=-1), value, 0.0)


def finish(sums: np.ndarray) -> np.ndarray:
    """Take sums [..., 11] of correct, total, both lengths and count to corpus BLEU."""
    value = score_of(sums[..., :4], sums[..., 4:8], sums[..., 8], sums[..., 9], cut=False)
    return np.where(sums[..., 10] > 0, value, np.nan)


def read(pairs: Sequence[Pair]) -> SumStats:
    """Count n-grams with sacrebleu; a reply without a reference does not count."""
    from sacrebleu.metrics.bleu import BLEU

    scorers = {lang: BLEU(tokenize=name, effective_order=True) for lang, name in TOKENIZERS.items()}
    rows = np.zeros((len(pairs), 2 * ORDER + 3))
    for i, (example, reply) in enumerate(pairs):
        if example.reply is not None:
            score = scorers[example.lang].sentence_score(reply.text, [example.reply])
            rows[i] = [*score.counts, *score.totals, score.sys_len, score.ref_len, 1]
    return SumStats(rows, finish)


def _bleu(instruments: Instruments, facts: RunFacts) -> Metric:
    from importlib.metadata import version

    tokens = ",".join(f"{name}({lang})" for lang, name in TOKENIZERS.items())
    signature = f"name:bleu|nrefs:1|case:mixed|eff:no|tok:{tokens}|smooth:exp|sacrebleu:"
    return Measure("bleu", f"{signature}{version('sacrebleu')}|v:1", read)


METRICS = (
    Spec(
        name="bleu",
        make=_bleu,
        title="BLEU",
        group=OVERLAP,
        digits=2,
        measures="corpus BLEU-4 against the reference, as sacrebleu",
        range="0 to 100",
        source="Papineni et al. 2002, Post 2018",
        misleads="there are many good replies; 0 if no reply has four tokens",
    ),
)
