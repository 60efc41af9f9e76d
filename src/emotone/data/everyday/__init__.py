"""everyday: everyday posts, each answered once in every emotion, written by hand for this project.

One file is one hand. Its name says language and kind: `en-4` is rich (wit, pictures), `en-p2` plain
(what most people would say, in common words), `en-m1` has ten further moods, `en-h1` turns before
the post (rich), `en-hp1` turns before a plain one. `ratings-en` holds replies of machines to such
posts, as readers rated them.

Who may learn from what is decided here, once for all: `splits.json` gives each file a split, and
lists the lines whose post is too like one of another file that is held out; they belong to none.
Judges of different roles learn from different splits, `train-a` and `train-b`; `train-c` is for
systems alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from emotone.data.text import Lang
from emotone.emotions import EVERYDAY
from emotone.types import Dialogue, Post, Speaker

#: The folder of the corpus, which ships with the package.
HOME = Path(__file__).parent
#: Keys of a line with the eight emotions, and of one with the moods.
EMOTIONS = EVERYDAY.labels[:8]
MOODS = EVERYDAY.labels[8:]

Kind = Literal["rich", "plain", "moods", "history"]
Split = Literal["train-a", "train-b", "train-c", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train-a", "train-b", "train-c", "dev", "test")


@dataclass(frozen=True, slots=True)
class Line:
    """One post, and its reply in each emotion.

    Args:
        id: File and number of the line, such as "en-4:17".
        lang: Language of the texts.
        kind: How it is written.
        register: "plain" or "rich"; a history line has one of the two too.
        split: Who may learn from it; None where its post is too like one that is held out.
        post: What is answered.
        replies: Emotion or mood -> the reply in it.
        history: Turns before the post, the user's first.
    """

    id: str
    lang: Lang
    kind: Kind
    register: Literal["plain", "rich"]
    split: Split | None
    post: str
    replies: Mapping[str, str]
    history: tuple[Post, ...] = ()

    @property
    def writer(self) -> str:
        """The file, which is one hand."""
        return self.id.partition(":")[0]

    @property
    def dialogue(self) -> Dialogue:
        """The turns before the post, and the post."""
        return Dialogue((*self.history, Post(self.post)))


@dataclass(frozen=True, slots=True)
class Rating:
    """One reply as a reader rated it blind: a machine's, or by hand to another post or to go wrong.

    Args:
        id: Name of the reply.
        lang: Language of the texts.
        split: Split of the post.
        post: The post.
        reply: The reply.
        system: What wrote it, with its settings.
        emotion: The emotion that was asked.
        heard: 1 where the reader hears the asked emotion in the reply, else 0.
        content: 0 off the post or no language, 1 in part, 2 fluent and an answer to this post.
        blame: 1 where the reply blames or insults the user, else 0.
        again: The three values of a second reader, where there was one.

    Source: Emo-Seq, Table 2, for emotion and content.
    """

    id: str
    lang: Lang
    split: Split
    post: str
    reply: str
    system: str
    emotion: str
    heard: int
    content: int
    blame: int
    again: tuple[int, int, int] | None = None


def files(lang: Lang | None = None) -> list[Path]:
    """List the files of lines, of one language or of all."""
    return [p for p in sorted(HOME.glob("*-*.jsonl")) if p.stem[:3] in _starts(lang)]


def kind_of(name: str) -> tuple[Kind, Literal["plain", "rich"]]:
    """Tell kind and register from the name of a file, such as "en-hp1"."""
    letters = name.partition("-")[2].rstrip("0123456789")
    kinds: dict[str, Kind] = {"": "rich", "p": "plain", "m": "moods", "h": "history"}
    return kinds[letters[:1]], "plain" if letters.endswith("p") else "rich"


def lines(
    lang: Lang | None = None,
    *,
    kinds: Iterable[Kind] | None = None,
    splits: Iterable[Split] | None = None,
) -> list[Line]:
    """Read lines of the corpus.

    Args:
        lang: Language; None for all.
        kinds: Kinds of lines; None for all.
        splits: Splits; None for all, lines of none of them too.
    """
    kinds = None if kinds is None else set(kinds)
    splits = None if splits is None else set(splits)
    rows = [line for path in files(lang) for line in read_lines(path)]
    return [
        line
        for line in rows
        if (kinds is None or line.kind in kinds) and (splits is None or line.split in splits)
    ]


def read_lines(path: Path) -> Iterator[Line]:
    """Read one file of lines; its name says language and kind."""
    name = path.name.split(".")[0]
    kind, register = kind_of(name)
    lang: Lang = "zh" if name.startswith("zh") else "en"
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row: dict[str, Any] = json.loads(text)
        turns = row.pop("history", ())
        history = tuple(Post(turn["content"], Speaker(turn["role"])) for turn in turns)
        split = split_of(name, number)
        post = row.pop("post")
        yield Line(f"{name}:{number}", lang, kind, register, split, post, row, history)


def ratings(lang: Lang, *, splits: Iterable[Split] | None = None) -> list[Rating]:
    """Read the rated replies of machines.

    Args:
        lang: Language.
        splits: Splits; None for all.
    """
    path = HOME / f"ratings-{lang}.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    wanted = None if splits is None else set(splits)
    rated: list[Rating] = []
    for row in rows:
        again = row.pop("again", None)
        rating = Rating(**row, lang=lang, again=None if again is None else tuple(again))
        if wanted is None or rating.split in wanted:
            rated.append(rating)
    return rated


def split_of(name: str, number: int) -> Split | None:
    """Tell the split of a line by its file and number, from 1.

    A file that `splits.json` does not know, such as one that is being written, has none.
    """
    return None if f"{name}:{number}" in split_table()["near"] else split_of_file(name)


def split_of_file(name: str) -> Split | None:
    """Tell the split of a file, such as "en-4"; None of one that `splits.json` does not know."""
    return next((split for split in SPLITS if name in split_table()[split]), None)


@cache
def split_table() -> dict[str, frozenset[str]]:
    """Files of each split, and under "near" the lines that have none; read once."""
    table = json.loads((HOME / "splits.json").read_text(encoding="utf-8"))
    return {key: frozenset(value) for key, value in table.items()}


def _starts(lang: Lang | None) -> tuple[str, ...]:
    return ("en-", "zh-") if lang is None else (f"{lang}-",)
