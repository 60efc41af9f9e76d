"""Tools that answer the same question once: many metrics ask one judge about one text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from emotone.emotions import Taxonomy
from emotone.errors import DataError
from emotone.metrics.tools import Tools
from emotone.protocols import EmotionClassifier, EmpathyIdentifier
from emotone.types import EmotionScores, EmpathyLevels

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def remember(tools: Tools) -> Tools:
    """Return the same tools with judges that keep their answers as long as they live.

    A text is judged once, however many metrics ask and however often it occurs. The tokens are
    not kept: they are cheap to make and large to hold.
    """
    emotion = None if tools.emotion is None else RememberedEmotion(tools.emotion)
    empathy = None if tools.empathy is None else RememberedEmpathy(tools.empathy)
    return replace(tools, emotion=emotion, empathy=empathy)


@dataclass(frozen=True)
class RememberedEmotion:
    """A judge of emotion that keeps its answers."""

    judge: EmotionClassifier
    known: dict[str, EmotionScores] = field(default_factory=dict[str, EmotionScores])

    @property
    def name(self) -> str:
        """Name of the judge."""
        return self.judge.name

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of its scores."""
        return self.judge.taxonomy

    def classify(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Score each text, in order; ask the judge only about new ones."""
        return _answer(texts, self.known, self.judge.classify)


@dataclass(frozen=True)
class RememberedEmpathy:
    """An identifier of empathy that keeps its answers."""

    judge: EmpathyIdentifier
    known: dict[tuple[str, str], EmpathyLevels] = field(
        default_factory=dict[tuple[str, str], EmpathyLevels]
    )

    @property
    def name(self) -> str:
        """Name of the identifier, or of its class."""
        return getattr(self.judge, "name", type(self.judge).__name__)

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        """Score each (context, response), in order; ask the judge only about new ones."""
        return _answer(pairs, self.known, self.judge.identify)


def _answer(
    questions: Sequence[K], known: dict[K, V], ask: Callable[[Sequence[K]], list[V]]
) -> list[V]:
    new = [q for q in dict.fromkeys(questions) if q not in known]
    if new:
        found = ask(new)
        if len(found) != len(new):
            raise DataError(f"the judge gave {len(found)} answers for {len(new)} texts")
        known.update(zip(new, found, strict=True))
    return [known[q] for q in questions]
