"""The name under which an engine serves a model in a mood: `NAME@joy:60+fear:20`.

Engines that pick an adapter by the model's name know no other field, so that the mood stands in it.
`NAME@none` is the model with the shared adapters and no mood, as `NAME` alone is the bare model.
"""

from __future__ import annotations

from emotone.emotions import EmotionMix, MixText, Taxonomy

NEUTRAL = "none"
#: Characters of a mood in a name; a mix of all emotions of a set needs less.
LONGEST = 400


def served_as(plain: str, emotion: str) -> str:
    """Return the name of a mood, such as "joy:60", beside the name of no mood, bare or `@none`."""
    return f"{plain.removesuffix(f'@{NEUTRAL}')}@{emotion.replace(' ', '')}"


def mood_name(plain: str, mix: EmotionMix | None) -> str:
    """Write the name, one and the same for all ways to write a mix."""
    return served_as(plain, NEUTRAL if mix is None else str(mix))


def mood_in(text: str, taxonomy: Taxonomy) -> EmotionMix | None:
    """Read what stands behind the "@".

    Raises:
        MixError: If it is no mix, or one that only a post decides.
        UnknownName: If there is no such emotion.
    """
    return None if text.strip() == NEUTRAL else MixText.read(text).within(taxonomy)[0]
