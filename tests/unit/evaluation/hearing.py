"""Small real judges and replies for the tests of this room; every text was written for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from emotone.emotions import EKMAN, EmotionMix, Taxonomy
from emotone.types import Dialogue, EmotionScores, EmpathyLevels, Example, Reply


@dataclass
class WordJudge:
    """Hears the first label of its taxonomy that stands in the text; counts what it was asked."""

    name: str = "word-score-1-00000000:ekman"
    taxonomy: Taxonomy = EKMAN
    seen: list[str] = field(default_factory=list)

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        self.seen += texts
        made = []
        for text in texts:
            labels = self.taxonomy.labels
            neutral = self.taxonomy.neutral or labels[0]
            label = next((x for x in labels if x in text), neutral)
            rest = 0.2 / (len(labels) - 1)
            made.append(EmotionScores(label, {x: 0.8 if x == label else rest for x in labels}))
        return made


@dataclass
class LengthIdentifier:
    """Levels by the number of words, which is real enough to count with."""

    name: str = "length-1-00000000"
    seen: list[tuple[str, str]] = field(default_factory=list)

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        self.seen += pairs
        return [EmpathyLevels(len(r.split()) % 3, len(c.split()) % 3, 0) for c, r in pairs]


def pair(
    number: int, text: str, mood: str | None = None, *, system: str = "one", taxonomy=EKMAN
) -> tuple[Example, Reply]:
    mix = None if mood is None else EmotionMix.parse(mood, taxonomy)
    example = Example(f"x{number}", Dialogue.of(f"post number {number}"), None, "a calm answer")
    return example, Reply(text, mix, system, "tiny", number, 3)


def run(system: str = "one", right: float = 1.0) -> list[tuple[Example, Reply]]:
    """Ten posts, each answered plainly and in two moods; a share of the moods is heard."""
    made = []
    for i in range(10):
        made.append(pair(i, f"plain words about {i}", system=system))
        for mood in ("joy", "sadness:50"):
            said = mood.split(":")[0] if i < 10 * right else "nothing"
            made.append(pair(i, f"{said} is what I feel about {i}", mood, system=system))
    return made
