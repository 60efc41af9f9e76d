"""Emotions as values: label sets, the tables between them, and the mix grammar.

An emotion always names its label set, because the sets of the field differ: `joy` of Ekman is
`happiness` for NLPCC and one of several happy labels for EmpatheticDialogues. Maps between sets
are written out below; nothing is matched by likeness of strings.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from emotone.emotions import tables
from emotone.errors import MixError, UnknownName, unknown_name

#: Intensities run from -FULL to FULL, in calibrated units.
FULL = 100.0


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
        name = _fold(text)
        label = name if name in self.labels else self.aliases.get(name)
        if label is None or label not in self.labels:
            raise self._unknown(name or text)
        return Emotion(label, self.name)

    def _unknown(self, came: str) -> UnknownName:
        known = [alias for alias, label in self.aliases.items() if label in self.labels]
        error = unknown_name(f"emotion for {self.name}", came, [*self.labels, *known])
        listed = f"Allowed: {', '.join(self.labels)}."
        head = str(error).split(" Allowed:")[0]
        return UnknownName(f"{head} {listed}")

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


_HAPPY = ("happy", "happiness", "joyful", "glad", "快乐", "高兴", "喜悦")
_SAD = ("sad", "unhappy", "sorrow", "悲伤", "难过")
_ANGRY = ("angry", "mad", "furious", "rage", "愤怒", "生气")
_DISGUSTED = ("disgusted", "disgusting", "厌恶", "恶心")
_AFRAID = ("afraid", "fearful", "scared", "terrified", "恐惧", "害怕")
_SURPRISED = ("surprised", "astonished", "amazed", "惊讶", "惊奇")


def _aliases(**groups: tuple[str, ...]) -> dict[str, str]:
    return {alias: label for label, group in groups.items() for alias in group if alias != label}


EKMAN = Taxonomy(
    "ekman",
    ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"),
    _aliases(
        anger=_ANGRY,
        disgust=_DISGUSTED,
        fear=_AFRAID,
        joy=_HAPPY,
        sadness=_SAD,
        surprise=_SURPRISED,
        neutral=("none", "calm", "中性", "平静"),
    ),
    neutral="neutral",
)
"""Ekman's six basic emotions and neutral, in the alphabetical order of GoEmotions."""

NLPCC = Taxonomy(
    "nlpcc",
    ("other", "like", "sadness", "disgust", "anger", "happiness"),
    _aliases(
        other=("neutral", "none", "其他", "其它"),
        like=("喜欢", "喜爱"),
        sadness=_SAD,
        disgust=_DISGUSTED,
        anger=_ANGRY,
        happiness=(*_HAPPY, "joy"),
    ),
    neutral="other",
)
"""The six classes of NLPCC 2017 and ECM, ids 0 to 5 in this order.

Source: Zhou et al. 2018 (ECM), section 4.1; label ids as in the published data.
"""

NLPCC_CHINESE: Mapping[str, str] = {
    "other": "其他",
    "like": "喜欢",
    "sadness": "悲伤",
    "disgust": "厌恶",
    "anger": "愤怒",
    "happiness": "快乐",
}
"""The Chinese names of the NLPCC classes."""


def _labels(rows: tables.Rows) -> tuple[str, ...]:
    return tuple(label for label, _, _ in rows)


EMPATHETIC = Taxonomy(
    "empathetic_dialogues",
    _labels(tables.EMPATHETIC),
    _aliases(
        surprised=("surprise",),
        angry=("anger",),
        sad=("sadness",),
        afraid=("fear",),
        disgusted=("disgust",),
        joyful=("joy", "happy", "happiness"),
    ),
)
"""The 32 situations of EmpatheticDialogues. Source: Rashkin et al. 2019, table 2."""

GOEMOTIONS = Taxonomy("goemotions", _labels(tables.GOEMOTIONS), neutral="neutral")
"""The 27 emotions of GoEmotions and neutral. Source: Demszky et al. 2020."""

SMP2020 = Taxonomy(
    "smp2020",
    _labels(tables.SMP2020),
    _aliases(
        happy=("happiness", "joy", "joyful", "快乐", "高兴"),
        angry=("anger", "愤怒", "生气"),
        sad=("sadness", "悲伤", "难过"),
        fear=_AFRAID,
        surprise=_SURPRISED,
    ),
    neutral="neutral",
)
"""The six classes of SMP2020-EWECT."""

DAILYDIALOG = Taxonomy(
    "dailydialog",
    _labels(tables.DAILYDIALOG),
    _aliases(
        anger=_ANGRY,
        disgust=_DISGUSTED,
        fear=_AFRAID,
        # RECCON's release writes a few labels as adjectives, "excited" among them.
        happiness=(*_HAPPY, "joy", "excited"),
        sadness=_SAD,
        surprise=_SURPRISED,
        neutral=("none", "no emotion"),
    ),
    neutral="neutral",
)
"""The seven classes of DailyDialog, ids 0 to 6 in this order. Source: Li et al. 2017."""

CPED = Taxonomy("cped", _labels(tables.CPED), neutral="neutral")
"""The 13 emotions of CPED. Source: Chen et al. 2022."""

EMORYNLP = Taxonomy("emorynlp", _labels(tables.EMORYNLP), neutral="neutral")
"""The seven feelings of EmoryNLP. Source: Zahiri and Choi 2018."""

NLPCC2013 = Taxonomy("nlpcc2013", _labels(tables.NLPCC2013), neutral="none")
"""The eight classes of the shared tasks of 2013 and 2014, whose sentences taught ECM's judge."""

ESCONV = Taxonomy("esconv", _labels(tables.ESCONV))
"""The emotions that help seekers bring to ESConv. Source: Liu et al. 2021."""

INTENTS = Taxonomy(
    "empathetic_intents",
    (*EMPATHETIC.labels, *_labels(tables.INTENTS)),
    neutral="neutral",
)
"""The 32 emotions, 8 response intents and neutral of EmpatheticIntents."""

#: Label sets of one corpus each; they map to Ekman and NLPCC, but nothing maps to them.
_OF_CORPORA: tuple[tuple[Taxonomy, tables.Rows], ...] = (
    (GOEMOTIONS, tables.GOEMOTIONS),
    (SMP2020, tables.SMP2020),
    (DAILYDIALOG, tables.DAILYDIALOG),
    (CPED, tables.CPED),
    (EMORYNLP, tables.EMORYNLP),
    (NLPCC2013, tables.NLPCC2013),
    (ESCONV, tables.ESCONV),
    (INTENTS, (*tables.EMPATHETIC, *tables.INTENTS)),
)

TAXONOMIES: Mapping[str, Taxonomy] = {
    t.name: t for t in (EKMAN, NLPCC, EMPATHETIC, *(taxonomy for taxonomy, _ in _OF_CORPORA))
}

MAPS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("nlpcc", "ekman"): {
        "other": "neutral",
        "like": "joy",
        "sadness": "sadness",
        "disgust": "disgust",
        "anger": "anger",
        "happiness": "joy",
    },
    # NLPCC has no fear and no surprise: both are "other" there, as in ECM's own labelling.
    ("ekman", "nlpcc"): {
        "anger": "anger",
        "disgust": "disgust",
        "fear": "other",
        "joy": "happiness",
        "sadness": "sadness",
        "surprise": "other",
        "neutral": "other",
    },
    ("empathetic_dialogues", "ekman"): {row[0]: row[1] for row in tables.EMPATHETIC},
    ("empathetic_dialogues", "nlpcc"): {row[0]: row[2] for row in tables.EMPATHETIC},
    # EmpatheticDialogues has no neutral: "prepared" is the one label without a feeling's tone.
    ("ekman", "empathetic_dialogues"): {
        "anger": "angry",
        "disgust": "disgusted",
        "fear": "afraid",
        "joy": "joyful",
        "sadness": "sad",
        "surprise": "surprised",
        "neutral": "prepared",
    },
    ("nlpcc", "empathetic_dialogues"): {
        "other": "prepared",
        "like": "caring",
        "sadness": "sad",
        "disgust": "disgusted",
        "anger": "angry",
        "happiness": "joyful",
    },
    **{(t.name, "ekman"): {row[0]: row[1] for row in rows} for t, rows in _OF_CORPORA},
    **{(t.name, "nlpcc"): {row[0]: row[2] for row in rows} for t, rows in _OF_CORPORA},
}
"""Every map between two label sets, total on its source. Lossy where the target is smaller."""


_PART = re.compile(r"(?P<name>[^:+]+?)\s*(?::\s*(?P<value>\S.*?))?\s*")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")


@dataclass(frozen=True, slots=True)
class EmotionMix:
    """Emotions with intensities, written `joy:60 + fear:20`.

    Parts are kept in the order of the taxonomy, each emotion at most once, so that equal mixes
    are equal values and print the same.

    Args:
        parts: Pairs of emotion and intensity in [-100, 100].
    """

    parts: tuple[tuple[Emotion, float], ...]

    def __post_init__(self) -> None:
        """Check intensities and duplicates."""
        if not self.parts:
            raise MixError("an emotion mix needs at least one emotion; write one like 'joy:60'")
        seen: set[Emotion] = set()
        for emotion, intensity in self.parts:
            if not (math.isfinite(intensity) and -FULL <= intensity <= FULL):
                raise MixError(
                    f"intensity {intensity:g} of {emotion.label} is outside -100 to 100; "
                    f"write a number in that range, such as '{emotion.label}:60'"
                )
            if emotion in seen:
                raise MixError(
                    f"{emotion.label} is named twice; write each emotion once, with one intensity"
                )
            seen.add(emotion)

    @classmethod
    def parse(cls, text: str, taxonomy: Taxonomy = EKMAN) -> Self:
        """Read a mix such as `joy`, `joy:60`, `joy:60 + fear:20` or `sadness:-50`.

        A bare emotion means intensity 100.

        Raises:
            MixError: If the text is no mix or an intensity is outside -100..100.
            UnknownName: If an emotion is not in the taxonomy.
        """
        return cls.read(text, taxonomy)[0]

    @classmethod
    def read(cls, text: str, taxonomy: Taxonomy = EKMAN) -> tuple[Self, tuple[str, ...]]:
        """Read a mix as `parse` does, and say which aliases were used.

        Returns:
            The mix, and one note for each alias, such as "'happy' read as joy".
        """
        plain = unicodedata.normalize("NFKC", text).strip()
        if not plain:
            raise MixError(
                "the emotion is empty; write one like 'joy:60' or 'joy:60 + fear:20'; "
                f"emotions: {', '.join(taxonomy.labels)}"
            )
        parts: list[tuple[Emotion, float]] = []
        notes: list[str] = []
        # A sign belongs to a number after a colon, so '+' splits only where no colon precedes it.
        for piece in re.split(r"(?<!:)\+", re.sub(r":\s+", ":", plain)):
            match = _PART.fullmatch(piece.strip())
            if match is None:
                raise MixError(
                    f"cannot read {text!r} as emotions; "
                    "write 'joy:60' or 'joy:60 + fear:20' with intensities from -100 to 100"
                )
            emotion = taxonomy.parse(match["name"])
            if _fold(match["name"]) != emotion.label:
                notes.append(f"{match['name'].strip()!r} read as {emotion.label}")
            parts.append((emotion, _intensity(match["value"], emotion.label)))
        rank = {label: i for i, label in enumerate(taxonomy.labels)}
        parts.sort(key=lambda part: rank[part[0].label])
        return cls(tuple(parts)), tuple(notes)

    @classmethod
    def of(cls, intensities: Mapping[str, float], taxonomy: Taxonomy = EKMAN) -> Self:
        """Build a mix from a mapping such as `{"joy": 60}`."""
        rank = {label: i for i, label in enumerate(taxonomy.labels)}
        parts = [(taxonomy.parse(name), float(value)) for name, value in intensities.items()]
        return cls(tuple(sorted(parts, key=lambda part: rank[part[0].label])))

    def intensities(self) -> dict[str, float]:
        """Return label -> intensity."""
        return {emotion.label: value for emotion, value in self.parts}

    def single(self) -> Emotion | None:
        """Return the one emotion of a mix like `joy` or `joy:100`, else None."""
        emotion, value = self.parts[0]
        return emotion if len(self.parts) == 1 and value == FULL else None

    def __str__(self) -> str:
        """Print canonically: taxonomy order, every intensity written, shortest exact number."""
        return " + ".join(f"{e.label}:{_number(value)}" for e, value in self.parts)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().lower()


def _intensity(text: str | None, label: str) -> float:
    if text is None:
        return FULL
    if _NUMBER.fullmatch(text) is None:
        raise MixError(
            f"intensity {text!r} of {label} is not a number; "
            f"write one from -100 to 100, such as '{label}:60'"
        )
    return float(text) + 0.0  # -0.0 becomes 0.0


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else format(Decimal(repr(value)), "f")
