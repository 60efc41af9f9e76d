"""The published answers of Emotion Vectors: what eleven models said to EmotionQuery+.

Each file is a list of answers in the order of EmotionQuery+, under `results/base/MODEL/ALPHA.json`
or `results/emotion/MODEL/ALPHA/EMOTION.json`. The folder given holds `results` and the questions.

Source: Emotion Vectors, arXiv 2502.04075; xuanfengzu/EmotionVector, results/ and dataset/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import mix, named, text
from emotone.data.corpora import emotionquery
from emotone.data.corpus import Corpus, beside, find, folder
from emotone.data.formats.json_stream import json_items
from emotone.data.reading import Problems
from emotone.emotions import EKMAN, EmotionMix
from emotone.errors import DataError
from emotone.types import Dialogue, Example, Post, Speaker

CORPUS = Corpus(
    name="ev_results",
    title="answers of eleven models, steered and not, as published with Emotion Vectors",
    langs=("en",),
    taxonomies=(EKMAN,),
    licence="MIT, text written by language models; from xuanfengzu/EmotionVector",
    files={
        "base": ("results/base/*/*.json",),
        "emotion": ("results/emotion/*/*/*.json",),
    },
    note="each answer to its question; ids are path and place; an answer may be empty; the emotion "
    "is the one steered to, and none at dose 0",
)

SAMPLE = {
    "dataset/EmotionQuery+/EmotionQuery+.json": '["Who broke the vase?", "Why so late?"]\n',
    "results/base/toy/0.json": '["I do not know.", "The bus was late."]\n',
    "results/emotion/toy/2/anger.json": '["You did!", "Mind your own business!"]\n',
}

_QUESTIONS = ("EmotionQuery+.json", "dataset/EmotionQuery+/EmotionQuery+.json")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example an answer."""
    source = beside(folder(CORPUS, where), *_QUESTIONS)
    files = find(CORPUS, where, split)
    if source is None:
        raise DataError(f"no EmotionQuery+.json in {where}; put it beside the folder results")
    posts = {
        example.id.rpartition("-")[2]: example.dialogue.posts[0]
        for example in emotionquery.read(source, problems)
    }
    for _, path in files:
        place = path.relative_to(where / "results")
        name = str(place.as_posix()).removesuffix(".gz").removesuffix(".json")
        emotion = _asked(place, path, problems)
        for number, item in enumerate(json_items(path, problems)):
            with problems.at(path, item.place):
                post = posts.get(str(number))
                if post is None:
                    raise DataError(f"answer {number}, but there are {len(posts)} questions")
                asked = Dialogue((Post(post.text, Speaker.USER, post.emotion),))
                yield Example(f"{name}-{number}", asked, emotion, _answer(item.value))


def _asked(place: Path, path: Path, problems: Problems) -> EmotionMix | None:
    if place.parts[0] == "base" or place.parts[2] == "0":
        return None
    with problems.at(path, None):
        return mix(named(place.name.partition(".")[0], EKMAN))
    return None


def _answer(value: object) -> str:
    return "" if isinstance(value, str) and not value.strip() else text(value, "the answer")
