"""Mean length of replies, in words and in characters."""

from __future__ import annotations

from emotone.metrics.base import Measure, mean_stats
from emotone.metrics.tools import Tools
from emotone.protocols import Metric


def words(tokens: list[str]) -> int:
    """Count the tokens that hold a letter or digit; signs are no words."""
    return sum(any(c.isalnum() for c in token) for token in tokens)


def characters(text: str) -> int:
    """Count the characters that are no blanks."""
    return sum(not c.isspace() for c in text)


def _words(tools: Tools) -> Metric:
    return Measure(
        "length_words",
        f"name:length_words|tok:{tools.tokens_name}|v:1",
        lambda pairs: mean_stats([words(tools.tokens(r.text, e.lang, "word")) for e, r in pairs]),
    )


def _characters(tools: Tools) -> Metric:
    del tools
    return Measure(
        "length_characters",
        "name:length_characters|blanks:no|v:1",
        lambda pairs: mean_stats([characters(r.text) for _, r in pairs]),
    )


METRICS = {"length_words": _words, "length_characters": _characters}
