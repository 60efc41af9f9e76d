"""The values that pass between rooms: small, frozen, plain text, no tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral, Real
from typing import Any, Literal, Self

from emotone.emotions import Emotion, EmotionMix, Taxonomy
from emotone.errors import ConfigError, DataError


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written as UTF-8, which half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Speaker(StrEnum):
    """Who wrote a post, in the words of chat APIs."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Post:
    """One turn of a dialogue."""

    text: str
    speaker: Speaker = Speaker.USER
    emotion: Emotion | None = None

    def __post_init__(self) -> None:
        """Refuse an empty turn, which no model can answer and no template renders well."""
        if not self.text.strip():
            raise DataError("the text is empty; write at least one word to reply to")
        if not is_unicode(self.text):
            raise DataError("the text holds bytes that are not UTF-8; write it in UTF-8")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Posts in order; the last one awaits a reply."""

    posts: tuple[Post, ...]

    def __post_init__(self) -> None:
        """Refuse a dialogue that nobody can reply to."""
        if not self.posts:
            raise DataError("the dialogue is empty; give at least one post of the user")
        if self.posts[-1].speaker is not Speaker.USER:
            raise DataError("the last post is the assistant's; end the dialogue with a user's post")

    @classmethod
    def of(cls, text: str) -> Self:
        """Make the dialogue of one post."""
        return cls((Post(text),))


@dataclass(frozen=True, slots=True)
class Reply:
    """What a system answered, with all that is needed to score or repeat it.

    Args:
        text: The reply.
        emotion: The mix that was asked, or None.
        system: Name of the system.
        model: Name of the weights.
        seed: Seed of this reply; the same seed gives the same reply.
        tokens: Number of tokens generated, the end token included.
        logprob: Sum of log-probabilities of the reply's tokens in nats, where known.
        applied: What was done to the model, such as tier, site, blocks and dose.
        finish_reason: "stop" where the reply came to its end, "length" where it was cut at the most
            tokens allowed, None where nobody knows.
    """

    text: str
    emotion: EmotionMix | None
    system: str
    model: str
    seed: int
    tokens: int
    logprob: float | None = None
    applied: Mapping[str, Any] = field(default_factory=dict[str, Any])
    finish_reason: Literal["stop", "length"] | None = None

    def __str__(self) -> str:
        """Return the text, so that printing a reply prints what it says."""
        return self.text


@dataclass(frozen=True, slots=True)
class EmotionScores:
    """Calibrated probabilities of one text's emotion, over one taxonomy.

    Args:
        label: The most probable label.
        probabilities: Probability of every label; sums to 1.
    """

    label: str
    probabilities: Mapping[str, float]


#: EPITOME's communication mechanisms, in the order of every array over them.
MECHANISMS = ("reaction", "interpretation", "exploration")
#: The spellings of each that are read, EPITOME's own among them.
_SPELLINGS = {
    "reaction": "reaction",
    "reactions": "reaction",
    "emotional_reaction": "reaction",
    "emotional_reactions": "reaction",
    "interpretation": "interpretation",
    "interpretations": "interpretation",
    "exploration": "exploration",
    "explorations": "exploration",
}
#: Blanks around a colon or an equals sign.
_LEVEL_OF = re.compile(r"(\w)\s*[:=]\s*(\S)")
_HOW_LEVELS = (
    "give a level of 0, 1 or 2 for each, as in 'reaction:2 interpretation:1 exploration:0'"
)


@dataclass(frozen=True, slots=True)
class EmpathyLevels:
    """Levels 0, 1 or 2 of the three communication mechanisms of EPITOME.

    Source: Sharma et al. 2020, section 3.
    """

    reaction: int
    interpretation: int
    exploration: int

    def __post_init__(self) -> None:
        """Check the levels."""
        for name in MECHANISMS:
            if getattr(self, name) not in (0, 1, 2):
                raise DataError(f"empathy level {name} is {getattr(self, name)}; use 0, 1 or 2")

    def __str__(self) -> str:
        """Write the levels so that `parse` reads them."""
        return " ".join(f"{name}:{getattr(self, name)}" for name in MECHANISMS)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read levels such as "reaction:2 interpretation:1 exploration:0".

        The order is free, spaces or commas separate them, and EPITOME's own names of the mechanisms
        (`emotional_reactions` and so on) are read too.

        Raises:
            DataError: If a name or level is unknown, or a mechanism is missing or named twice.
        """
        levels: dict[str, int] = {}
        for part in _LEVEL_OF.sub(r"\1:\2", text.lower()).replace(",", " ").split():
            spelling, _, level = part.partition(":")
            name = _SPELLINGS.get(spelling.replace("-", "_"))
            if name is None or level not in ("0", "1", "2"):
                raise DataError(f"empathy {part!r} cannot be read; {_HOW_LEVELS}")
            if name in levels:
                raise DataError(f"empathy {text!r} names {name} twice; {_HOW_LEVELS}")
            levels[name] = int(level)
        missing = [name for name in MECHANISMS if name not in levels]
        if missing:
            raise DataError(f"empathy {text!r} leaves out {' and '.join(missing)}; {_HOW_LEVELS}")
        return cls(**levels)


@dataclass(frozen=True, slots=True, eq=False)
class JudgeName:
    """Who judged: the name of a judge, and which version of it, by its version and checksum.

    Two names are equal if they name one judge. Version, checksum and label set are left aside, as
    a judge may not score what an earlier version of it taught; so are case and "-" against "_".

    Args:
        stem: Name without version, such as "en-score".
        version: Raised whenever the weights change; None where the name has none.
        digest: First 8 hex digits of the checksum of the judge's card; "" where the name has none.
        taxonomy: Label set that it answered in; "" where the name has none.
    """

    stem: str
    version: int | None = None
    digest: str = ""
    taxonomy: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name such as "en-score-1-0a1b2c3d:ekman", or "en-score" alone.

        A folder before it and a note in brackets behind it, as in "judges/mine (GoEmotions)", are
        left off.

        Raises:
            DataError: If nothing of a name is left.
        """
        name = text.split(" (")[0].strip().replace("\\", "/").rstrip("/").rpartition("/")[2]
        name, _, taxonomy = name.partition(":")
        match = _VERSION.search(name.strip())
        stem = (name if match is None else name[: match.start()]).strip()
        if not stem:
            raise DataError(f"the name of a judge is {text!r}; give one such as 'en-score'")
        if match is None:
            return cls(stem, taxonomy=taxonomy.strip())
        return cls(stem, int(match[1]), match[2], taxonomy.strip())

    def __str__(self) -> str:
        """Write the name so that `parse` reads it."""
        version = "" if self.version is None else f"-{self.version}-{self.digest}"
        return f"{self.stem}{version}{':' if self.taxonomy else ''}{self.taxonomy}"

    @property
    def plain(self) -> str:
        """The stem in the form in which names are compared."""
        return self.stem.casefold().replace("_", "-")

    def __eq__(self, other: object) -> bool:
        """Tell whether two names name one judge."""
        return isinstance(other, JudgeName) and self.plain == other.plain

    def __hash__(self) -> int:
        """Hash what is compared."""
        return hash(self.plain)


#: Version and checksum at the end of a judge's name.
_VERSION = re.compile(r"-(\d+)-([0-9a-f]{8})$", re.IGNORECASE)


def judge_names(listed: Any, where: str) -> list[JudgeName]:
    """Read which judges a file lists: one name, a list of names, or an object by name.

    Args:
        listed: The value of "judges"; None lists none.
        where: What lists them, for the message.

    Raises:
        DataError: If it is anything else; a list that is not understood may hide a judge.
    """
    names: list[Any] = []
    if isinstance(listed, list | tuple | Mapping):
        names = list(listed)  # pyright: ignore[reportUnknownArgumentType]
    elif listed is not None:
        names = [listed]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(
            f'"judges" of {where} is {listed!r}; give a name, a list of names, or an object with'
            " names as keys"
        )
    return [JudgeName.parse(name) for name in names]


@dataclass(frozen=True, slots=True)
class Example:
    """One line of a corpus: a dialogue, the emotion of its reply, and the reply.

    Args:
        id: Name of the line, unique in its file.
        dialogue: The posts; each may carry the emotion that the corpus says it has.
        emotion: Emotion of the reply, asked or labelled.
        reply: The reply of the corpus, where it has one.
        lang: Language of the texts.
        empathy: Empathy levels of the corpus's reply, where people labelled them.
        judges: Names of the judges that gave emotions of this example.
    """

    id: str
    dialogue: Dialogue
    emotion: EmotionMix | None = None
    reply: str | None = None
    lang: Literal["en", "zh"] = "en"
    empathy: EmpathyLevels | None = None
    judges: tuple[str, ...] = ()


Strategy = Literal["sample", "greedy", "beam"]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the reply is searched for.

    A field that a system or strategy does not use may only have its default, or the request is
    refused; `Capabilities.decoding` lists what is used.

    Args:
        strategy: "sample" samples from the top of the distribution, "greedy" takes the likeliest
            token each time, "beam" searches for the likeliest reply (recurrent systems only).
        temperature: Divides the logits; below 1 is safer, above 1 wilder.
        top_p: Sample from the smallest set of tokens with this probability.
        max_tokens: Longest reply, in tokens.
        repetition_penalty: Divides the logits of tokens seen before; 1 is off. A beam search has
            none.
        no_repeat: No n-gram of this many tokens occurs twice in a reply; 0 is off.
        seed: Seed of the first row; row i of a batch uses seed + i.
        beams: Hypotheses that a beam search follows at once.
        length_penalty: A beam search ranks replies of n tokens by logprob / ((5 + n) / 6) **
            length_penalty; 0 is off, higher is longer.
        top_k: Sample from this many of the likeliest tokens at most; 0 is off.
        min_tokens: No reply ends before this many tokens; 0 is off.
        sentence_end_after: Share of `max_tokens` after which a reply ends with its sentence, so
            that few are cut off in the middle of one; 1 is off (chat models only).
    """

    strategy: Strategy = "sample"
    temperature: float = 0.5
    top_p: float = 0.9
    max_tokens: int = 48
    repetition_penalty: float = 1.1
    no_repeat: int = 4
    seed: int = 0
    beams: int = 20
    length_penalty: float = 0.0
    top_k: int = 0
    min_tokens: int = 0
    sentence_end_after: float = 0.6

    def __post_init__(self) -> None:
        """Check every range."""
        _within("temperature", self.temperature, 0.01, 5.0)
        _within("top_p", self.top_p, 0.01, 1.0)
        _within("max_tokens", self.max_tokens, 1, 4096)
        _within("repetition_penalty", self.repetition_penalty, 0.5, 5.0)
        _within("no_repeat", self.no_repeat, 0, 100)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("beams", self.beams, 1, 1000)
        _within("length_penalty", self.length_penalty, 0.0, 5.0)
        _within("top_k", self.top_k, 0, 1_000_000)
        _within("min_tokens", self.min_tokens, 0, 4096)
        _within("sentence_end_after", self.sentence_end_after, 0.0, 1.0)
        if self.strategy not in ("sample", "greedy", "beam"):
            raise ConfigError(f"strategy is {self.strategy!r}; use 'sample', 'greedy' or 'beam'")


_EVERY_SEARCH = frozenset({"max_tokens", "min_tokens", "no_repeat"})
SEARCHES: Mapping[Strategy, frozenset[str]] = {
    "sample": _EVERY_SEARCH | {"temperature", "top_p", "top_k", "repetition_penalty"},
    "greedy": _EVERY_SEARCH | {"repetition_penalty"},
    "beam": _EVERY_SEARCH | {"beams", "length_penalty"},
}
"""The fields of `Decoding` that each strategy uses by its nature."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a system can be asked for.

    Args:
        taxonomy: The emotions it knows; None for a system that takes no emotion.
        graded: Whether intensities other than 100 mean something.
        mixes: Whether several emotions, or negative ones, can be asked at once.
        empathy: Whether empathy levels can be asked.
        history: Whether a dialogue of several posts is accepted.
        streaming: Whether it offers `stream`.
        decoding: Strategy -> the fields of `Decoding` that it uses with it, besides the seed. A
            strategy that is left out is refused, and so is a field with another value than its
            default. Empty for a system that searches for nothing, so that no field can matter.
        languages: ISO 639-1 codes of the languages that its model reads; empty where nobody knows.
    """

    taxonomy: Taxonomy | None
    graded: bool = False
    mixes: bool = False
    empathy: bool = False
    history: bool = False
    streaming: bool = False
    decoding: Mapping[Strategy, frozenset[str]] = field(default_factory=lambda: SEARCHES)
    languages: tuple[str, ...] = ()


def _within(name: str, value: float, low: float, high: float) -> None:
    kind, number = (Integral, "whole number") if isinstance(low, int) else (Real, "number")
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is {value!r}; use a {number} from {low} to {high}")
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; use a {number} from {low} to {high}")
