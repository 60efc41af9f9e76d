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
from emotone.metrics.tools import Tools
from emotone.protocols import Metric


@dataclass(frozen=True, slots=True)
class _Chinese:
    """The segmenter, in the shape that the library takes."""

    tools: Tools

    def tokenize(self, text: str) -> list[str]:
        return self.tools.tokens(text, "zh", "word")


def _scorers(tools: Tools) -> dict[str, Any]:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise Unsupported("rouge_l needs the library rouge-score; pip install rouge-score") from (
            error
        )
    return {"en": RougeScorer(["rougeL"]), "zh": RougeScorer(["rougeL"], tokenizer=_Chinese(tools))}


def _rouge(tools: Tools) -> Metric:
    scorers = _scorers(tools)

    def read(pairs: Sequence[Pair]) -> SumStats:
        return mean_stats(
            [
                None
                if example.reply is None
                else scorers[example.lang].score(example.reply, reply.text)["rougeL"].fmeasure
                for example, reply in pairs
            ]
        )

    signature = f"name:rouge_l|nrefs:1|stem:no|tok:rouge_score(en),{tools.tokens_name}(zh)|v:1"
    return Measure("rouge_l", signature, read)


METRICS = {"rouge_l": _rouge}
