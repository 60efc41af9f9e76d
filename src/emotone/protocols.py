"""What answers, what judges and what measures, as the rooms see each other.

Anything with these methods fits; nothing has to inherit. Rooms talk to each other only through
these protocols and the values of `emotone.types`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from emotone.emotions import EmotionMix, Taxonomy
from emotone.types import (
    Capabilities,
    Decoding,
    Dialogue,
    EmotionScores,
    EmpathyLevels,
    Example,
    Reply,
)

Block = TypeVar("Block")
Done = TypeVar("Done")


class Spread(Protocol):
    """How blocks of work are done: `map` in this process, `emotone.launch.ray` in many."""

    def __call__(self, work: Callable[[Block], Done], blocks: Iterable[Block], /) -> Iterator[Done]:
        """Yield what the work makes of each block, in order; both can be sent elsewhere."""
        ...


@runtime_checkable
class Responder(Protocol):
    """Everything that answers.

    Rules, checked by `tests/contracts/test_responder.py` on every system: one reply per dialogue,
    in order; row i uses seed `decoding.seed + i`, so that a batch of n equals n batches of one;
    asking for what `capabilities` lacks raises `Unsupported`; nothing global is disturbed.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this system can be asked for."""
        ...

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each dialogue in its emotion."""
        ...


@runtime_checkable
class StreamingResponder(Responder, Protocol):
    """A responder that can hand out its reply while it is being written."""

    def stream(
        self, dialogue: Dialogue, emotion: EmotionMix | None, *, decoding: Decoding
    ) -> Iterator[str]:
        """Yield pieces of text whose concatenation is the reply."""
        ...


@runtime_checkable
class BatchResponder(Responder, Protocol):
    """A responder whose replies may be written in one running batch with those of others."""

    def task(
        self,
        dialogue: Dialogue,
        emotion: EmotionMix | None,
        *,
        decoding: Decoding,
        streaming: bool = False,
        own_words: bool = False,
    ) -> Any:
        """Describe a reply to be written, an `emotone.lm.batching.Task`; `reply` gives the same.

        With `own_words` the model itself writes it, whatever else the system might answer with.
        """
        ...


@runtime_checkable
class RawResponder(Responder, Protocol):
    """A responder with vectors that can be moved by raw multiples of them."""

    def reply_raw(
        self,
        dialogues: Sequence[Dialogue],
        raw_scale: Sequence[Mapping[str, float]],
        *,
        decoding: Decoding,
    ) -> list[Reply]:
        """Answer each dialogue at its doses, bypassing calibration."""
        ...


@runtime_checkable
class NBestResponder(Responder, Protocol):
    """A responder whose beam search can hand out several replies to one post."""

    def n_best(
        self, dialogue: Dialogue, emotion: EmotionMix | None, n: int, *, decoding: Decoding
    ) -> list[Reply]:
        """Return the n best replies of a beam search, best first; there may be fewer."""
        ...


@runtime_checkable
class OneLanguageResponder(Responder, Protocol):
    """A responder with words of one language, in which it answers whatever it is asked."""

    @property
    def lang(self) -> Literal["en", "zh"]:
        """The language."""
        ...

    def known_words(self, text: str) -> tuple[int, int]:
        """Return how many words of a text it knows, and how many there are; signs do not count."""
        ...


@runtime_checkable
class LikelihoodResponder(Responder, Protocol):
    """A responder that can say how likely a given reply is, for the perplexity of references."""

    def nats(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        replies: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return nats and number of tokens of each reply, its end token included."""
        ...


@runtime_checkable
class HearingResponder(Responder, Protocol):
    """A responder that hears the emotion of a post by itself, for the emotion `auto`."""

    @property
    def ears(self) -> EmotionClassifier | None:
        """What hears it, while nothing steers the model; None where it has no listener."""
        ...


class EmotionClassifier(Protocol):
    """A judge of emotion."""

    @property
    def name(self) -> str:
        """Name and version for signatures."""
        ...

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of its scores."""
        ...

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        """Score each text, in order, as an answer to its post where it has one."""
        ...


class SenseReader(Protocol):
    """A judge of how well replies answer their posts."""

    @property
    def name(self) -> str:
        """Name and version for signatures."""
        ...

    @property
    def human_median(self) -> float:
        """Median probability of content 2 over answers of people."""
        ...

    def content(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Return probabilities of content 0, 1 and 2 for each (post, reply), [N, 3]."""
        ...


class EmpathyIdentifier(Protocol):
    """A judge of empathy levels."""

    @property
    def name(self) -> str:
        """Name and version for signatures."""
        ...

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        """Score each (context, response), in order."""
        ...


class ReadContexts(Protocol):
    """Contexts that an identifier has read, so that responses to them cost only their own."""

    def identify(self, at: Sequence[int], responses: Sequence[str]) -> list[EmpathyLevels]:
        """Score each response, in order; `at[i]` is the place of the context it answers."""
        ...

    def probabilities(self, at: Sequence[int], responses: Sequence[str]) -> Any:
        """Return probabilities as an array [N, 3, 3]: responses, mechanisms, levels 0 to 2."""
        ...


class EmpathyReader(EmpathyIdentifier, Protocol):
    """A judge of empathy that says how sure it is, and reads a context once for all responses.

    What rewards and chooses replies: many responses to one context.
    """

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Return probabilities as an array [N, 3, 3]: pairs, mechanisms, levels 0 to 2."""
        ...

    def read_contexts(self, contexts: Sequence[str]) -> ReadContexts:
        """Read contexts."""
        ...


class Stats(Protocol):
    """What a metric keeps of each reply: enough for its value over any weighting of the replies.

    One pass over the replies makes them; intervals and paired tests then re-weight and never look
    at a text again. Most metrics add up over replies, but not all: Distinct counts kinds.
    """

    def __len__(self) -> int:
        """Number of replies, N."""
        ...

    def value(self, weights: Sequence[float] | None = None) -> float:
        """The metric over the replies, each counted `weights[i]` times; None counts each once.

        NaN where it is not defined, such as a mean over nothing.
        """
        ...


class Metric(Protocol):
    """A number over a corpus of replies."""

    @property
    def name(self) -> str:
        """Name in `scores.json`, such as "distinct_2"."""
        ...

    @property
    def signature(self) -> str:
        """Everything the value depends on besides the replies: judge, tokens, settings, version."""
        ...

    def stats(self, pairs: Sequence[tuple[Example, Reply]]) -> Stats:
        """Read every (example, reply) once, judges in batches."""
        ...
