"""ECM's own data (ESTC): Weibo posts and responses with emotion ids, as JSON.

The published form is `[[[post, id, id], [[response, id, id], ...]], ...]`; later repositories write
one pair an item, `[[post, id, id], [response, id, id]]`. The first id is the neural classifier's
and is used, the second the rule-based one's.

Source: Zhou et al. 2018; thu-coai/ecm, data/train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import array, mix, numbered, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.json_stream import json_items
from emotone.data.reading import Problems
from emotone.data.text import Lang, join, language_after, spaced
from emotone.emotions import NLPCC, Emotion
from emotone.errors import DataError
from emotone.types import Dialogue, Example, Post, Speaker

CORPUS = Corpus(
    name="ecm",
    title="Weibo posts and responses in six emotions (ESTC), the data of ECM",
    langs=("zh", "en"),
    taxonomies=(NLPCC,),
    licence="repositories Apache-2.0, the text of STC under its own terms; from thu-coai/ecm",
    files={
        "train": ("train", "train.json", "train_data.json", "thu_coai_ecm_train.json"),
        "dev": ("dev", "dev.json", "dev_data.json", "valid.json", "eacm_estc_dev_data.json"),
        "test": ("test", "test.json", "test_data.json"),
    },
    note="each post with each of its responses",
    words=True,
)

SAMPLE = {
    "train.json": """[
    [["今天 下雨 了 ， 没 带 伞", 2, 0], [["快 找 个 地方 躲 一下 吧", 1, 0], ["真 倒霉", 3, 3]]],
    [["终于 放假 啦 ！", 5, 5], [["玩 得 开心", 5, 1]]]
]
""",
    "dev.json": '[[["早上 好", 0, 0], ["你 也 早 ！", 1, 1]]]\n',
}


def read(
    where: Path, problems: Problems, *, split: str | None = None, keep_words: bool = False
) -> Iterator[Example]:
    """Yield one example a pair."""
    spelt = spaced if keep_words else join
    lang: Lang | None = None
    for part, path in find(CORPUS, where, split):
        for number, item in enumerate(json_items(path, problems), 1):
            read_post: tuple[Dialogue, list[Any]] | None = None
            with problems.at(path, item.place):
                read_post = _post(item.value, spelt)
            if read_post is None:
                continue
            dialogue, replies = read_post
            for k, response in enumerate(replies, 1):
                with problems.at(path, item.place):
                    reply, label = _tagged(response, f"response {k}", spelt)
                    lang = language_after(lang, dialogue.posts[0].text, reply)
                    yield Example(f"{part}-{number}-{k}", dialogue, mix(label), reply, lang)


def _post(value: Any, spelt: Callable[[str], str]) -> tuple[Dialogue, list[Any]]:
    """Read the post of an item; its responses, one or several, as they stand there."""
    post, replies = array(value, "the item", count=2)
    words, emotion = _tagged(post, "the post", spelt)
    several = array(replies, "the responses", least=1)
    if isinstance(several[0], str):
        several = [several]
    return Dialogue((Post(words, Speaker.USER, emotion),)), several


def _tagged(value: Any, what: str, spelt: Callable[[str], str]) -> tuple[str, Emotion]:
    parts = array(value, what, least=2)
    if len(parts) > 3:
        raise DataError(f"{len(parts)} parts in {what} where [text, id, id] is needed")
    return spelt(text(parts[0], what)), numbered(parts[1], NLPCC.labels, NLPCC)
