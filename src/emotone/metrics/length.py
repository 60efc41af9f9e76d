"""Mean length of replies, in words and in characters."""

from __future__ import annotations

from emotone.metrics.base import Measure, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import FORM, Spec
from emotone.protocols import Metric
from emotone.types import Example, Reply


def words(tokens: list[str]) -> int:
    """Count the tokens that hold a letter or digit; signs are not words."""
    return sum(any(c.isalnum() for c in token) for token in tokens)


def characters(text: str) -> int:
    """Count the characters that are not blanks."""
    return sum(not c.isspace() for c in text)


def _words(instruments: Instruments, facts: RunFacts) -> Metric:
    def length(example: Example, reply: Reply) -> int:
        return words(instruments.tokens(reply.text, example.lang, "word"))

    return Measure(
        "length_words",
        f"name:length_words|tok:{instruments.tokens_name}|v:1",
        lambda pairs: mean_stats([length(*pair) for pair in pairs]),
    )


def _characters(instruments: Instruments, facts: RunFacts) -> Metric:
    return Measure(
        "length_characters",
        "name:length_characters|blanks:no|v:1",
        lambda pairs: mean_stats([characters(r.text) for _, r in pairs]),
    )


METRICS = (
    Spec(
        name="length_words",
        make=_words,
        title="Length, words",
        group=FORM,
        better="",
        digits=1,
        measures="mean number of words; signs are not words",
        range="0 up",
    ),
    Spec(
        name="length_characters",
        make=_characters,
        title="Length, characters",
        group=FORM,
        better="",
        digits=1,
        measures="mean number of characters, blanks left out",
        range="0 up",
    ),
)
