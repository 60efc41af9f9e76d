"""Emotions of an example in another label set, by the tables of `emotone.emotions`."""

from __future__ import annotations

from dataclasses import replace

from emotone.emotions import TAXONOMIES, Emotion, EmotionMix, Taxonomy
from emotone.errors import unknown_name
from emotone.types import Dialogue, Example


def relabel(example: Example, taxonomy: Taxonomy) -> Example:
    """Map the emotions of the posts and of the reply.

    Where two parts of a mix fall into one label, the stronger one stays.

    Raises:
        UnknownName: If there is no map between the two sets.
    """
    posts = tuple(
        post if post.emotion is None else replace(post, emotion=_mapped(post.emotion, taxonomy))
        for post in example.dialogue.posts
    )
    emotion = example.emotion
    if emotion is not None:
        strongest: dict[str, float] = {}
        for part, intensity in emotion.parts:
            label = _mapped(part, taxonomy).label
            if abs(intensity) >= abs(strongest.get(label, 0.0)):
                strongest[label] = intensity
        emotion = EmotionMix.of(strongest, taxonomy)
    return replace(example, dialogue=Dialogue(posts), emotion=emotion)


def _mapped(emotion: Emotion, taxonomy: Taxonomy) -> Emotion:
    if emotion.taxonomy == taxonomy.name:
        return emotion
    if emotion.taxonomy not in TAXONOMIES:
        raise unknown_name("taxonomy", emotion.taxonomy, TAXONOMIES)
    return TAXONOMIES[emotion.taxonomy].map_to(emotion, taxonomy)
