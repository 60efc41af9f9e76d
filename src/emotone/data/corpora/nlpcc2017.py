"""NLPCC 2017 task 4 and NTCIR STC-3 CECG: 1.1 million Weibo pairs with emotion ids, as JSON.

One array of `[[post, id], [response, id]]`; ids 0 other, 1 like, 2 sadness, 3 disgust, 4 anger,
5 happiness.

Source: the emotional conversation generation challenge of 2017, dataset description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import array, mix, numbered, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.json_stream import json_items
from emotone.data.reading import Problems
from emotone.data.text import join, spaced
from emotone.emotions import NLPCC, Emotion
from emotone.types import Dialogue, Example, Post, Speaker

CORPUS = Corpus(
    name="nlpcc2017",
    title="1.1 million Weibo pairs in six emotions, the challenge of NLPCC 2017",
    langs=("zh",),
    taxonomies=(NLPCC,),
    licence="on request, for research only; from coai.cs.tsinghua.edu.cn/hml/challenge",
    files={
        "train": (
            "train_data.json",
            "ecg_train_data.json",
            "stc-3_emotion_train.json",
            "train.json",
        ),
        "test": ("test_data.json", "test.json"),
    },
    words=True,
)

SAMPLE = {
    "train_data.json": """[[["我 的 猫 不见 了", 2], ["别 急 ， 它 会 回来 的", 0]],
[["这 家 店 真 难吃", 3], ["那 我们 换 一 家", 1]]]
"""
}


def read(
    where: Path, problems: Problems, *, split: str | None = None, keep_words: bool = False
) -> Iterator[Example]:
    """Yield one example a pair."""
    spelt = spaced if keep_words else join
    for part, path in find(CORPUS, where, split):
        for number, item in enumerate(json_items(path, problems), 1):
            with problems.at(path, item.place):
                first, second = array(item.value, "the item", count=2)
                post, felt = _tagged(first, "the post", spelt)
                reply, label = _tagged(second, "the response", spelt)
                dialogue = Dialogue((Post(post, Speaker.USER, felt),))
                yield Example(f"{part}-{number}", dialogue, mix(label), reply, "zh")


def _tagged(value: Any, what: str, spelt: Callable[[str], str]) -> tuple[str, Emotion]:
    words, label = array(value, what, count=2)
    return spelt(text(words, what)), numbered(label, NLPCC.labels, NLPCC)
