"""What metrics are given: judges, encoders and segmenters, which they may not load themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from emotone.emotions import Emotion
from emotone.errors import Unsupported
from emotone.metrics.base import Pair
from emotone.protocols import EmotionClassifier, EmpathyIdentifier

T = TypeVar("T")

# Han characters stand alone, as no word list is at hand; other words are runs of letters and
# digits with inner apostrophes; any other sign is a token.
_WORD = re.compile(r"[㐀-鿿豈-﫿]|[^\W_㐀-鿿豈-﫿]+(?:['’][^\W_㐀-鿿豈-﫿]+)*|\S")


def simple_tokens(text: str, lang: str, unit: str) -> list[str]:
    """Split a text without a word list: lower-case words and signs; each Han character alone.

    Args:
        text: The text.
        lang: Its language; not needed here.
        unit: "word", or "character" for every character that is no blank.
    """
    del lang
    if unit == "character":
        return [c for c in text if not c.isspace()]
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Tools:
    """What the caller has at hand; a metric that needs what is None raises `Unsupported`.

    Args:
        emotion: Judge of emotion.
        empathy: Judge of empathy levels.
        embed: Texts -> unit vectors [N, d].
        embed_name: Name of that encoder, for signatures.
        embed_tokens: Texts -> the token states of each, [T, d].
        tokens: (text, lang, unit "word" or "character") -> tokens.
        tokens_name: Name of that segmenter, for signatures.
        neutral: Example id -> seed -> the reply of the same system without an emotion.
        perplexity: Pairs -> [N, 3]: nats, tokens and characters of each scored text.
        perplexity_name: Which texts under which model, for signatures.
        asked: "none" leaves out replies without an asked emotion; "all" compares each reply of a
            run that was asked for no emotion at all with every asked emotion, so that a system
            without emotions stands at its chance level.
        asked_emotions: The asked emotions, for "all"; when empty, the judge's without neutral.
        unsaid: Asked emotions that the judge cannot say, for signatures; replies asked for one
            are left out whether it is listed or not.
    """

    emotion: EmotionClassifier | None = None
    empathy: EmpathyIdentifier | None = None
    embed: Callable[[Sequence[str]], np.ndarray] | None = None
    embed_name: str = "unnamed"
    embed_tokens: Callable[[Sequence[str]], list[np.ndarray]] | None = None
    tokens: Callable[[str, str, str], list[str]] = simple_tokens
    tokens_name: str = "simple"
    neutral: Mapping[str, Mapping[int, str]] | None = None
    perplexity: Callable[[Sequence[Pair]], np.ndarray] | None = None
    perplexity_name: str = "unnamed"
    asked: str = "none"
    asked_emotions: tuple[Emotion, ...] = ()
    unsaid: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check how replies without an emotion are compared."""
        if self.asked not in ("none", "all"):
            raise Unsupported(f"asked is {self.asked!r}; use 'none' or 'all'")


def need(tool: T | None, metric: str, what: str) -> T:
    """Return the tool, or raise that the metric lacks it.

    Raises:
        Unsupported: If the tool is None.
    """
    if tool is None:
        raise Unsupported(f"{metric} needs {what}, but none was given; give one or leave it out")
    return tool
