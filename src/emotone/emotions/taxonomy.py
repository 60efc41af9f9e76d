"""One emotion, and a closed set of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from emotone.emotions.tables import MAPS
from emotone.errors import UnknownName, unknown_name


@dataclass(frozen=True, slots=True)
class Emotion:
    """One label of one taxonomy."""

    label: str
    taxonomy: str

    def __str__(self) -> str:
        """Return the bare label."""
        return self.label


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A closed, ordered set of emotion labels.

    Args:
        name: Name used in maps and files, such as "ekman".
        labels: The labels in their published order.
        aliases: Other spellings, each pointing to a label.
        neutral: The label that stands for no emotion, or None.
    """

    name: str
    labels: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    neutral: str | None = None

    def __iter__(self) -> Iterator[Emotion]:
        """Yield the emotions in order."""
        return (Emotion(label, self.name) for label in self.labels)

    def __contains__(self, emotion: object) -> bool:
        """Tell whether an emotion belongs to this set."""
        return (
            isinstance(emotion, Emotion)
            and emotion.taxonomy == self.name
            and emotion.label in self.labels
        )

    def parse(self, text: str) -> Emotion:
        """Read a label or alias of this set.

        Raises:
            UnknownName: If the text is neither; the message lists the labels.
        """
        name = folded(text)
        label = name if name in self.labels else self.aliases.get(name)
        if label is None or label not in self.labels:
            raise self._unknown(name or text)
        return Emotion(label, self.name)

    def _unknown(self, came: str) -> UnknownName:
        known = [alias for alias, label in self.aliases.items() if label in self.labels]
        advice = without_emotion(came)
        return unknown_name(
            f"emotion for {self.name}", came, self.labels, also=known, advice=advice
        )

    def map_to(self, emotion: Emotion, other: Taxonomy) -> Emotion:
        """Map an emotion of this set to another set by the published table.

        Raises:
            UnknownName: If there is no table between the two sets, or the emotion is foreign.
        """
        if emotion not in self:
            raise self._unknown(emotion.label)
        if other.name == self.name:
            return emotion
        table = MAPS.get((self.name, other.name))
        if table is None:
            pairs = [f"{a} -> {b}" for a, b in MAPS]
            raise unknown_name("emotion map", f"{self.name} -> {other.name}", pairs)
        return Emotion(table[emotion.label], other.name)


#: Names that sets give to what has no emotion.
_NO_EMOTION = frozenset(
    {"neutral", "other", "none", "no emotion", "calm", "中性", "平静", "平靜", "其他", "其它"}
)


def without_emotion(name: str) -> str:
    """Say what to do where a set has no name for no emotion and one was asked; "" for others."""
    asked = folded(name) in _NO_EMOTION
    return "For a reply without emotion, leave the emotion out." if asked else ""


def folded(text: str) -> str:
    """Return a label as it is compared: NFKC, without blanks around it, in lower case."""
    return unicodedata.normalize("NFKC", text).strip().lower()
