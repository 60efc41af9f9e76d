"""EmotionQuery and EmotionQuery+: written questions that call for an emotion, or for none.

EmotionQuery.json is an object, emotion -> questions. EmotionQuery+.json is a list of 400 without
labels, which its order gives: 50 each of anger, disgust, fear, joy and sadness, then 150 everyday
questions. Nearly all emotional ones are also in EmotionQuery, so vectors made from the one must
not be judged on the other without taking those out.

Source: Emotion Vectors, arXiv 2502.04075; xuanfengzu/EmotionVector, dataset/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import named, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import single
from emotone.data.formats.json_stream import json_items
from emotone.data.reading import Problems
from emotone.emotions import EKMAN, Emotion
from emotone.types import Example

CORPUS = Corpus(
    name="emotionquery",
    title="questions in five emotions, and neutral ones",
    langs=("en",),
    taxonomies=(EKMAN,),
    licence="MIT, text written by a language model; from xuanfengzu/EmotionVector",
    files={
        "queries": ("EmotionQuery.json", "EmotionQuery/EmotionQuery.json"),
        "plus": ("EmotionQuery+.json", "EmotionQuery+/EmotionQuery+.json"),
    },
    note="each question is a post with its emotion; ids of EmotionQuery+ say emotional or neutral",
)

SAMPLE = {
    "EmotionQuery.json": """{
    "anger": ["How do you feel when somebody jumps the queue?"],
    "joy": ["How was it to see your garden in bloom?"]
}
""",
    "EmotionQuery+.json": '[\n    "What do you say to a friend who lied to you?"\n]\n',
}

#: The emotions of EmotionQuery+ in the order of its blocks, and the size of a block.
BLOCKS = ("anger", "disgust", "fear", "joy", "sadness")
BLOCK = 50


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a question."""
    for part, path in find(CORPUS, where, split):
        for number, item in enumerate(json_items(path, problems, within=True)):
            with problems.at(path, item.place):
                question = text(item.value, "the question")
                if item.key is None:
                    yield single(
                        f"{part}-{plus_part(number)}-{number}", question, label(number), "en"
                    )
                else:
                    yield single(f"{part}-{number}", question, named(item.key, EKMAN), "en")


def label(number: int) -> Emotion:
    """Return the emotion of a question of EmotionQuery+ by its place, from 0."""
    block = number // BLOCK
    return Emotion(BLOCKS[block] if block < len(BLOCKS) else "neutral", EKMAN.name)


def plus_part(number: int) -> str:
    """Tell the two parts of EmotionQuery+ apart by place, from 0."""
    return "emotional" if number < BLOCK * len(BLOCKS) else "neutral"
