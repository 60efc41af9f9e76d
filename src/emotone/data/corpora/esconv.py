"""ESConv: a help seeker and a supporter who follows strategies, as JSON.

An array of conversations with `emotion_type` and `dialog`, whose turns are the seeker's ("seeker",
in the failed ones "speaker") or the supporter's ("supporter", "listener").

Source: Liu et al. 2021; thu-coai/Emotional-Support-Conversation, ESConv.json, FailedESConv.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import array, member, named
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers, merged, spoken
from emotone.data.formats.json_stream import json_items
from emotone.data.reading import Problems
from emotone.emotions import ESCONV, Emotion
from emotone.errors import DataError
from emotone.types import Example

CORPUS = Corpus(
    name="esconv",
    title="conversations of emotional support",
    langs=("en",),
    taxonomies=(ESCONV,),
    licence="CC BY-NC 4.0; from thu-coai/Emotional-Support-Conversation",
    files={"all": ("ESConv.json",), "failed": ("FailedESConv.json",)},
    default=("all",),
    note="each answer of the supporter; turns of one person in a row are one post; the problem's "
    "emotion is that of the seeker's posts",
)

SAMPLE = {
    "ESConv.json": """[
 {
  "experience_type": "Current Experience",
  "emotion_type": "anxiety",
  "problem_type": "job crisis",
  "situation": "I may lose my job.",
  "dialog": [
   {"speaker": "seeker", "annotation": {}, "content": "Hello, are you there?\\n"},
   {"speaker": "supporter", "annotation": {"strategy": "Question"}, "content": "Yes, hello!"},
   {"speaker": "seeker", "annotation": {}, "content": "I may lose my job."},
   {"speaker": "supporter", "annotation": {"strategy": "Others"}, "content": "That is hard."},
   {"speaker": "supporter", "annotation": {"strategy": "Question"}, "content": "Since when?"}
  ]
 }
]
"""
}

_SEEKER, _SUPPORTER = ("seeker", "speaker"), ("supporter", "listener")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each answer of a supporter, turns in a row made one."""
    for part, path in find(CORPUS, where, split):
        for number, item in enumerate(json_items(path, problems), 1):
            with problems.at(path, item.place):
                emotion = named(member(item.value, "emotion_type"), ESCONV)
                dialog = array(member(item.value, "dialog"), "dialog")
                turns = merged(t for t in (_turn(d, emotion, problems) for d in dialog) if t)
                yield from answers(turns, f"{part}-{number}", "en", only=["supporter"])


def _turn(value: Any, emotion: Emotion, problems: Problems) -> Turn | None:
    speaker = member(value, "speaker", "a turn")
    content = spoken(member(value, "content", "a turn"), "the content of a turn", problems)
    if content is None:
        return None
    if speaker in _SEEKER:
        return Turn("seeker", content, emotion)
    if speaker in _SUPPORTER:
        return Turn("supporter", content)
    raise DataError(f"speaker is {speaker!r}; use 'seeker' or 'supporter'")
