"""everyday: posts with a reply in every emotion, in English and Chinese; it ships with emotone.

A line holds a post, in history files the turns before it, and one reply for each emotion or mood:
`{"post", "anger", "disgust", ...}`. Each reply becomes an example. `emotone.data.everyday` says how
files are named, and who may learn from which line; ids begin with that split.

Source: written for this project.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data import everyday
from emotone.data.checks import array, mapping, member, mix, text
from emotone.data.corpus import Corpus, find, stem
from emotone.data.formats.json_stream import json_items
from emotone.data.reading import Problems
from emotone.data.text import Lang
from emotone.emotions import EVERYDAY
from emotone.errors import DataError
from emotone.types import Dialogue, Example, Post, Speaker

_KINDS = {"rich": "[0-9]", "plain": "p", "moods": "m", "history": "h"}

CORPUS = Corpus(
    name="everyday",
    title="everyday posts, each answered in eight emotions or ten moods",
    langs=("en", "zh"),
    taxonomies=(EVERYDAY,),
    licence="Apache-2.0, as the code; written for this project and ships with it",
    files={
        f"{lang}-{kind}": (f"{lang}-{letter}*.jsonl",)
        for lang in ("en", "zh")
        for kind, letter in _KINDS.items()
    },
    note="each reply of a line; ids begin with the split of the line: train-a, train-b, dev, test,"
    " or near where its post is like one that is held out",
    home=everyday.HOME,
)

SAMPLE = {
    "en-p1.jsonl": '{"post": "The lift is stuck.", "anger": "Again! Nobody looks after it.", '
    '"disgust": "And it smells of old smoke in there.", "fear": "Are you inside? Call for help!", '
    '"joy": "Good for the legs!", "sadness": "Ten floors on foot, poor you.", '
    '"surprise": "It worked an hour ago!", "love": "I would carry your bags up.", '
    '"neutral": "Take the stairs at the back."}\n',
    "zh-h1.jsonl": '{"history": [{"role": "user", "content": "猫又跑了"}, '
    '{"role": "assistant", "content": "找到了吗"}], "post": "找到了", "joy": "回来就好！"}\n',
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a reply."""
    for _, path in find(CORPUS, where, split):
        lang: Lang = "zh" if path.name.startswith("zh") else "en"
        name = stem(path)
        for number, item in enumerate(json_items(path, problems, objects=True), 1):
            with problems.at(path, item.place):
                row = dict(mapping(item.value, "the line"))
                posts = [_turn(turn) for turn in array(row.pop("history", []), "history")]
                posts.append(Post(text(member(row, "post"), "the post")))
                dialogue = Dialogue(tuple(posts))
                start = f"{everyday.split_of(name, number) or 'near'}-{name}-{number}"
                for label, reply in row.items():
                    if label == "post":
                        continue
                    emotion = mix(EVERYDAY.parse(label))
                    yield Example(f"{start}-{label}", dialogue, emotion, text(reply, label), lang)


def _turn(turn: object) -> Post:
    """Read one turn of a history."""
    fields = mapping(turn, "a turn")
    role = member(fields, "role", "the turn")
    if role not in list(Speaker):
        raise DataError(f"the role of a turn is {role!r}; use user or assistant")
    return Post(text(member(fields, "content", "the turn"), "the turn"), Speaker(role))
