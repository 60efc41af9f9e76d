"""Emotions with intensities, and the text that writes them: `joy:60 + fear:20`."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any, Self

from emotone.emotions import vad
from emotone.emotions.auto import Auto
from emotone.emotions.sets import EKMAN
from emotone.emotions.taxonomy import Emotion, Taxonomy, folded
from emotone.errors import MixError

#: Intensities run from -FULL to FULL, in calibrated units.
FULL = 100.0

_PART = re.compile(r"(?P<name>[^:+]+?)\s*(?::\s*(?P<value>\S.*?))?\s*")
#: What people put between emotions instead of a plus; before a digit it may be a decimal comma.
_OTHER_JOINT = re.compile(r"[,;、&|/]\s*[^\W\d]|\d\s+[^\W\d]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
#: Axes may stand side by side, as coordinates do: "valence:-40 arousal:70".
_NEXT_AXIS = re.compile(rf"(?<=[\d.])\s+(?=(?:{'|'.join(vad.AXES)})\b)", re.IGNORECASE)


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
            _check_range(intensity, emotion.label)
            if emotion in seen:
                raise _twice(emotion.label)
            seen.add(emotion)

    @classmethod
    def parse(cls, text: str, taxonomy: Taxonomy = EKMAN) -> EmotionMix:
        """Read a mix such as `joy`, `joy:60`, `joy:60 + fear:20` or `sadness:-50`.

        A bare emotion means intensity 100.

        Raises:
            MixError: If the text is not a mix or an intensity is outside -100..100.
            UnknownName: If an emotion is not in the taxonomy.
        """
        return MixText.read(text).within(taxonomy)[0]

    @classmethod
    def of(cls, intensities: Mapping[str, float], taxonomy: Taxonomy = EKMAN) -> Self:
        """Build a mix from a mapping such as `{"joy": 60}`.

        Raises:
            MixError: If a name is no text, or an intensity no number from -100 to 100.
            UnknownName: If an emotion is not in the taxonomy.
        """
        given: Mapping[Any, Any] = intensities
        for name, value in given.items():
            if not isinstance(name, str) or not isinstance(value, Real):
                raise MixError(
                    f"the emotion {name!r} has the intensity {value!r}; give names and numbers, "
                    "such as {'joy': 60}"
                )
        parts = tuple((name, float(value)) for name, value in intensities.items())
        return cls(MixText(parts).within(taxonomy)[0].parts)

    def intensities(self) -> dict[str, float]:
        """Return label -> intensity."""
        return {emotion.label: value for emotion, value in self.parts}

    @property
    def taxonomy(self) -> str:
        """Name of the label set of its emotions."""
        return self.parts[0][0].taxonomy

    @property
    def only(self) -> Emotion | None:
        """The emotion of a mix that asks for one alone, at any intensity above 0, else None."""
        emotion, intensity = self.parts[0]
        return emotion if len(self.parts) == 1 and intensity > 0 else None

    @property
    def at_full(self) -> Emotion | None:
        """The emotion of a mix like `joy` or `joy:100`, one alone at full intensity, else None."""
        return self.only if self.parts[0][1] == FULL else None

    def __str__(self) -> str:
        """Print canonically: taxonomy order, every intensity written, shortest exact number."""
        return " + ".join(f"{e.label}:{_number(value)}" for e, value in self.parts)


@dataclass(frozen=True, slots=True)
class MixText:
    """A mix as it was written: its grammar is right, its names are not yet looked up.

    So a wrong mix is refused before the system is loaded that knows the labels.

    Args:
        parts: Pairs of name and intensity in [-100, 100], as written; or of axis and value, where
            a point of `emotone.emotions.vad` stands for the mix that lies there.
        auto: How the mix is chosen when a post is heard; the parts are then ().
    """

    parts: tuple[tuple[str, float], ...]
    auto: Auto | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a text like `joy:60 + fear:20`.

        Raises:
            MixError: If it is not a mix, or an intensity is outside -100 to 100.
        """
        plain = unicodedata.normalize("NFKC", text).strip()
        if not plain:
            raise MixError("the emotion is empty; write one like 'joy:60' or 'joy:60 + fear:20'")
        if (auto := Auto.read(plain)) is not None:
            return cls((), auto)
        plain = _NEXT_AXIS.sub(" + ", plain)
        if _OTHER_JOINT.search(plain):
            raise MixError(
                f"cannot read {text!r} as emotions; join them with +, as in 'joy:60 + fear:20'"
            )
        parts: list[tuple[str, float]] = []
        # A sign belongs to a number after a colon, so '+' splits only where no colon precedes it.
        for piece in re.split(r"(?<!:)\+", re.sub(r":\s+", ":", plain)):
            match = _PART.fullmatch(piece.strip())
            if match is None:
                raise MixError(
                    f"cannot read {text!r} as emotions; "
                    "write 'joy:60' or 'joy:60 + fear:20' with intensities from -100 to 100"
                )
            name = match["name"].strip()
            parts.append((name, _intensity(match["value"], name)))
        names = [folded(name) for name, _ in parts]
        for name in names:
            if names.count(name) > 1:
                raise _twice(name)
        return cls(tuple(parts))

    def within(self, taxonomy: Taxonomy) -> tuple[EmotionMix, tuple[str, ...]]:
        """Look the names up in a label set.

        Returns:
            The mix, and one note for each alias, such as "'happy' read as joy", or for a point.

        Raises:
            UnknownName: If a name is not in the set.
            MixError: If two names mean one emotion, axes stand beside emotions or far from all, or
                the emotion is `auto` and so needs a post to hear.
        """
        if self.auto is not None:
            raise MixError(f"{self.auto} is chosen by the post; here name an emotion, as 'joy:60'")
        if point := self._point(taxonomy):
            mix = EmotionMix.of(vad.nearest(point, taxonomy), taxonomy)
            place = vad.coordinates(mix.intensities(), taxonomy)
            lies = vad.as_text({a: round(v) for a, v in zip(vad.AXES, place, strict=True)})
            return mix, (f"'{vad.as_text(point)}' read as {mix}, which lies at {lies}",)
        parts = [(taxonomy.parse(name), intensity) for name, intensity in self.parts]
        notes = [
            f"{name!r} read as {emotion.label}"
            for (name, _), (emotion, _) in zip(self.parts, parts, strict=True)
            if folded(name) != emotion.label
        ]
        return EmotionMix(_in_order(parts, taxonomy)), tuple(notes)

    def _point(self, taxonomy: Taxonomy) -> dict[str, float]:
        """Return axis -> value where the parts name axes, and {} where they name emotions."""
        axes = [name for name in vad.AXES if name not in taxonomy.labels]
        point = {folded(name): value for name, value in self.parts if folded(name) in axes}
        if point and len(point) < len(self.parts):
            axis = next(iter(point))
            raise MixError(
                f"{axis} is an axis and stands beside an emotion or twice; give either axes, as in"
                " 'valence:-40 arousal:70', or emotions, as in 'joy:60 + fear:20'"
            )
        return {axis: point[axis] for axis in vad.AXES if axis in point}


def _in_order(
    parts: list[tuple[Emotion, float]], taxonomy: Taxonomy
) -> tuple[tuple[Emotion, float], ...]:
    rank = {label: i for i, label in enumerate(taxonomy.labels)}
    return tuple(sorted(parts, key=lambda part: rank[part[0].label]))


def _twice(name: str) -> MixError:
    return MixError(f"{name} is named twice; write each emotion once, with one intensity")


def _check_range(intensity: float, name: str) -> None:
    if not (math.isfinite(intensity) and -FULL <= intensity <= FULL):
        raise MixError(
            f"intensity {intensity:g} of {name} is outside -100 to 100; "
            f"write a number in that range, such as '{name}:60'"
        )


def _intensity(text: str | None, name: str) -> float:
    if text is None:
        return FULL
    if _NUMBER.fullmatch(text) is None:
        raise MixError(
            f"intensity {text!r} of {name} is not a number; "
            f"write one from -100 to 100, such as '{name}:60'"
        )
    intensity = float(text) + 0.0  # -0.0 becomes 0.0
    _check_range(intensity, name)
    return intensity


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else format(Decimal(repr(value)), "f")
