"""From what is asked, in words or as raw doses, to the doses of each row.

The same for everything that puts a model into a mood (`emotone.steering.moods`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from emotone.emotions import EKMAN, EVERYDAY, EmotionMix, Taxonomy
from emotone.errors import MixError, UnknownName, Unsupported, unknown_name
from emotone.steering.dose import Curve, Doses, mix_doses

Asked = str | EmotionMix | Sequence[str | EmotionMix | None] | None
"""One mix for all rows, or one for each row; None for a row that is left alone."""


def taxonomy_of(labels: Sequence[str], name: str) -> Taxonomy:
    """Return the label set for parsing mixes of some labels, with the aliases that apply.

    Args:
        labels: Emotions that there are.
        name: Name of the set, where it is none that is known.
    """
    known = next((t for t in (EKMAN, EVERYDAY) if set(labels) <= set(t.labels)), None)
    aliases = {a: of for a, of in (known or EKMAN).aliases.items() if of in labels}
    return Taxonomy(known.name if known else name, tuple(labels), aliases)


def no_such(kind: str, label: str, labels: Sequence[str]) -> UnknownName:
    """Return the error for an emotion that there is no vector or adapter of."""
    advice = ""
    if label == EKMAN.neutral:
        advice = "For a reply without emotion, leave the emotion out."
    return unknown_name(kind, label, labels, advice=advice)


def calibrated_doses(
    mix: EmotionMix,
    labels: Sequence[str],
    curves: Mapping[str, Curve],
    correct: Callable[[Doses], Doses] | None,
    kind: str = "emotion vector",
) -> dict[str, float]:
    """Turn calibrated intensities into doses; see `emotone.steering.dose.mix_doses`.

    Args:
        mix: Intensities.
        labels: Emotions that there are.
        curves: The curve of each that is calibrated.
        correct: As for `mix_doses`.
        kind: What there is one of for each label.

    Raises:
        UnknownName: If an emotion is not among the labels.
        Unsupported: If an emotion is not calibrated.
    """
    intensities = mix.intensities()
    for label in intensities:
        if label not in labels:
            raise no_such(kind, label, labels)
        if label not in curves:
            raise Unsupported(
                f"the {kind.removeprefix('emotion ')} of {label} is not calibrated; run `emotone"
                " vectors calibrate`, or steer with raw_scale="
            )
    return mix_doses(intensities, curves, correct)


def doses_of_rows(
    emotion: Asked,
    raw_scale: Doses | Sequence[Doses] | None,
    doses_of: Callable[[EmotionMix], Doses],
    taxonomy: Taxonomy,
    kind: str = "a vector",
) -> Sequence[Doses]:
    """Return the doses of each row, or of all rows in a list of one.

    Args:
        emotion: Calibrated intensities.
        raw_scale: Doses, bypassing calibration: of all rows, or one mapping for each row.
        doses_of: Mix -> doses.
        taxonomy: Label set of mixes that are given in words.
        kind: What each of its labels has.

    Raises:
        MixError: If both are given, or a list is empty.
    """
    doses: Sequence[Doses]
    if raw_scale is not None:
        if emotion is not None:
            raise MixError("give an emotion or raw_scale, not both")
        doses = [raw_scale] if isinstance(raw_scale, Mapping) else raw_scale
    else:
        asked = [emotion] if emotion is None or isinstance(emotion, str | EmotionMix) else emotion
        mixes = [_mix(one, taxonomy, kind) for one in asked]
        doses = [{} if mix is None else doses_of(mix) for mix in mixes]
    if not doses:
        raise MixError("the list of emotions is empty; give one for each prompt")
    return doses


def _mix(emotion: str | EmotionMix | None, taxonomy: Taxonomy, kind: str) -> EmotionMix | None:
    if isinstance(emotion, str):
        try:
            return EmotionMix.parse(emotion, taxonomy)
        except UnknownName as error:
            raise UnknownName(f"{error} (these are the emotions that have {kind})") from None
    return emotion
