"""What metrics are given: instruments, which they may not load themselves, and facts of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

from emotone.emotions import Emotion
from emotone.errors import Unsupported
from emotone.metrics.base import Pair
from emotone.metrics.common import Common
from emotone.protocols import EmotionClassifier, EmpathyIdentifier, SenseReader

T = TypeVar("T")

Unit = Literal["word", "character"]
Tokens = Callable[[str, str, Unit], list[str]]
"""Text, language and unit -> tokens."""

#: What a metric may need besides the replies; `plain` is a fact of the run, the others instruments.
Need = Literal["emotion", "sense", "empathy", "embed", "embed_tokens", "perplexity", "plain"]
#: What stands behind each of them, for messages.
NEEDS: Mapping[Need, str] = {
    "emotion": "a judge of emotion",
    "sense": "a judge of sense",
    "empathy": "an identifier of empathy",
    "embed": "an encoder of sentences (embed)",
    "embed_tokens": "an encoder of tokens (embed_tokens)",
    "perplexity": "the likelihood of texts under a model",
    "plain": "the replies without an emotion (plain)",
}

# Han characters stand alone, for want of a word list; other words are runs of letters and
# digits with inner apostrophes; any other sign is a token.
_WORD = re.compile(r"[㐀-鿿豈-﫿]|[^\W_㐀-鿿豈-﫿]+(?:['’][^\W_㐀-鿿豈-﫿]+)*|\S")


def simple_tokens(text: str, lang: str, unit: Unit) -> list[str]:
    """Split a text without a word list: lower-case words and signs; each Han character alone.

    Args:
        text: The text.
        lang: Its language; not needed here.
        unit: "word", or "character" for every character that is not blank.
    """
    del lang
    if unit == "character":
        return [c for c in text if not c.isspace()]
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Instruments:
    """Judges, encoders and segmenters; a metric that needs one that is None is not made.

    Args:
        emotion: Judge of emotion.
        sense: Judge of sense.
        empathy: Judge of empathy levels.
        embed: Texts -> unit vectors [N, d].
        embed_name: Name of that encoder, for signatures.
        embed_tokens: Texts -> the token states of each, [T, d].
        tokens: Text, language and unit ("word" or "character") -> tokens.
        tokens_name: Name of that segmenter, for signatures.
        perplexity: Pairs -> [N, 3]: nats, tokens and characters of each scored text.
        perplexity_name: Which texts under which model, for signatures.
    """

    emotion: EmotionClassifier | None = None
    sense: SenseReader | None = None
    empathy: EmpathyIdentifier | None = None
    embed: Callable[[Sequence[str]], np.ndarray] | None = None
    embed_name: str = "unnamed"
    embed_tokens: Callable[[Sequence[str]], list[np.ndarray]] | None = None
    tokens: Tokens = simple_tokens
    tokens_name: str = "simple"
    perplexity: Callable[[Sequence[Pair]], np.ndarray] | None = None
    perplexity_name: str = "unnamed"


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run as a whole before a metric reads its replies.

    Args:
        asked: "none" leaves out replies without a requested emotion; "all" compares each reply of
            a run in which none was requested with every requested emotion of other runs, so that a
            system without emotions stands at its chance level.
        emotions: These requested emotions, for "all"; when empty, the judge's without neutral.
        unsaid: Requested emotions that the judge has no label for, for signatures; replies that
            were asked for one are left out whether it is listed or not.
        common: Labels of the run's requested emotions and of its judge in one taxonomy; None where
            they are found anew from the replies at hand.
        plain: Example id -> seed -> the reply of the same system without an emotion; None where
            the run has no such replies, or only such.
    """

    asked: str = "none"
    emotions: tuple[Emotion, ...] = ()
    unsaid: tuple[str, ...] = ()
    common: Common | None = None
    plain: Mapping[str, Mapping[int, str]] | None = None

    def __post_init__(self) -> None:
        """Check how replies without an emotion are compared."""
        if self.asked not in ("none", "all"):
            raise Unsupported(f"asked is {self.asked!r}; use 'none' or 'all'")


def lacking(needs: Sequence[Need], instruments: Instruments, facts: RunFacts) -> list[Need]:
    """Return those of the needs that neither the instruments nor the facts meet, in order."""
    return [n for n in needs if getattr(facts if n == "plain" else instruments, n) is None]


def need(instrument: T | None) -> T:
    """Return an instrument or fact that a metric has declared in its `needs`.

    Raises:
        Unsupported: If it is None, because the metric did not declare it.
    """
    if instrument is None:
        raise Unsupported(
            "a metric uses what it does not declare; name it in `needs`, one of"
            f" {', '.join(get_args(Need))}"
        )
    return instrument
