"""ROUGE-L: F1 over the longest common subsequence of reply and reference, mean over replies.

By the library rouge-score, without stemming. English is split as it does by default (lower-case
letters and digits); Chinese, which it would throw away, by the given segmenter.

Source: Lin 2004; library rouge-score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emotone.errors import Unsupported
from emotone.metrics.base import Measure, Pair, SumStats, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import OVERLAP, Spec
from emotone.protocols import Metric


@dataclass(frozen=True, slots=True)
class _Chinese:
    """The segmenter, in the shape that the library takes."""

    instruments: Instruments

    def tokenize(self, text: str) -> list[str]:
        return self.instruments.tokens(text, "zh", "word")


def _scorers(instruments: Instruments) -> dict[str, Any]:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise Unsupported("rouge_l needs the library rouge-score; pip install rouge-score") from (
            error
        )
    chinese = RougeScorer(["rougeL"], tokenizer=_Chinese(instruments))
    return {"en": RougeScorer(["rougeL"]), "zh": chinese}


def _rouge(instruments: Instruments, facts: RunFacts) -> Metric:
    scorers = _scorers(instruments)

    def read(pairs: Sequence[Pair]) -> SumStats:
        return mean_stats(
            [
                None
                if example.reply is None
                else scorers[example.lang].score(example.reply, reply.text)["rougeL"].fmeasure
                for example, reply in pairs
            ]
        )

    tokens = f"rouge_score(en),{instruments.tokens_name}(zh)"
    return Measure("rouge_l", f"name:rouge_l|nrefs:1|stem:no|tok:{tokens}|v:1", read)


METRICS = (
    Spec(
        name="rouge_l",
        make=_rouge,
        title="ROUGE-L",
        group=OVERLAP,
        share=True,
        measures="F1 of the longest common subsequence, mean",
        source="Lin 2004",
        misleads="there are many good replies",
    ),
)
