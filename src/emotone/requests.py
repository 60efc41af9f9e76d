"""What a system is asked for, held against what it can do.

Nothing is ignored silently: a baseline that drops the emotion without a word ruins an evaluation,
and one that drops a setting of its decoding no less.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from emotone.emotions import EmotionMix
from emotone.emotions.taxonomy import without_emotion
from emotone.errors import DataError, Unsupported, unknown_name
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels


def check_request(
    name: str,
    capabilities: Capabilities,
    dialogues: Sequence[Dialogue],
    emotions: Sequence[EmotionMix | None],
    empathy: Sequence[EmpathyLevels | None] | None = None,
    decoding: Decoding | None = None,
) -> None:
    """Raise if a system is asked for what it lacks; every responder calls this first.

    Args:
        name: Name of the system, for messages.
        capabilities: What it can be asked for.
        dialogues: What it is to answer.
        emotions: One for each dialogue, or None.
        empathy: Levels for each dialogue, or None; None where none are asked.
        decoding: How replies are searched for; None where nothing is written.

    Raises:
        Unsupported: If it lacks an emotion, a grade, a mix, history, empathy or a field of
            `decoding`.
        UnknownName: If it lacks the label of an emotion.
        DataError: If the numbers of dialogues and emotions differ.
    """
    if len(dialogues) != len(emotions):
        raise DataError(
            f"{len(dialogues)} dialogues came with {len(emotions)} emotions; give one emotion "
            "(or None) for each dialogue"
        )
    for levels in empathy or ():
        if levels is not None and not capabilities.empathy:
            raise Unsupported(
                f"{name} takes no empathy levels, but {str(levels)!r} was asked; leave them out, "
                "or use the system emprl"
            )
    if not capabilities.history and any(len(d.posts) > 1 for d in dialogues):
        raise Unsupported(f"{name} reads one post only; send the last post without its history")
    for mix in emotions:
        if mix is not None:
            _check_mix(name, capabilities, mix)
    if decoding is not None:
        _check_decoding(name, capabilities, decoding)


def _check_mix(name: str, capabilities: Capabilities, mix: EmotionMix) -> None:
    taxonomy = capabilities.taxonomy
    if taxonomy is None:
        raise Unsupported(f"{name} takes no emotion, but {str(mix)!r} was asked; leave it out")
    for emotion, _ in mix.parts:
        if emotion.label not in taxonomy.labels:
            advice = without_emotion(emotion.label)
            raise unknown_name(f"emotion for {name}", emotion.label, taxonomy.labels, advice=advice)
    if not capabilities.mixes and len(mix.parts) > 1:
        raise Unsupported(f"{name} takes one emotion at a time, but {str(mix)!r} was asked")
    if not capabilities.graded and mix.at_full is None:
        raise Unsupported(
            f"{name} knows no intensities, but {str(mix)!r} was asked; name the emotion alone"
        )


def _check_decoding(name: str, capabilities: Capabilities, decoding: Decoding) -> None:
    if not capabilities.decoding:  # nothing is searched for, so that no field can matter
        return
    fields = capabilities.decoding.get(decoding.strategy)
    if fields is None:
        known = " or ".join(map(repr, capabilities.decoding))
        raise Unsupported(f"{name} offers no {decoding.strategy} search; use the strategy {known}")
    for field in dataclasses.fields(Decoding):
        value = getattr(decoding, field.name)
        if field.name in ("strategy", "seed", *fields) or value == field.default:
            continue
        raise Unsupported(
            f"{name} does not use {field.name} with the strategy {decoding.strategy!r}, but "
            f"{field.name} is {value}; leave it out, or at {field.default}"
        )
