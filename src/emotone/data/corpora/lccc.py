"""LCCC: Weibo conversations, cleaned, with blanks between characters and no emotion labels.

JSON is an array of conversations (lists of turns), or `{"train": [...], "valid": [...]}`; the toy
text files have one post and one response a line, with a tab between.

Source: Wang et al. 2020; thu-coai/CDial-GPT, data/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import array
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers, spoken
from emotone.data.formats.json_stream import holds_json, is_json_lines, json_items
from emotone.data.reading import Problems, filled_lines
from emotone.data.text import join
from emotone.types import Example

CORPUS = Corpus(
    name="lccc",
    title="cleaned Weibo conversations",
    langs=("zh",),
    taxonomies=(),
    licence="MIT; from thu-coai/CDial-GPT",
    files={
        "train": ("toy_train.txt", "LCCC-base_train.json", "lccc_base_train.jsonl"),
        "valid": ("toy_valid.txt", "LCCC-base_valid.json", "lccc_base_valid.jsonl"),
        "test": ("toy_test.txt", "LCCC-base_test.json", "lccc_base_test.jsonl"),
        "all": ("toy_data.json", "LCCC-base.json", "LCCC-large.json", "lccc_large.jsonl"),
    },
    note="each turn with the turns before it; two people alternate",
)

SAMPLE = {
    "toy_train.txt": "今 天 好 冷\t多 穿 一 点\n我 去 跑 步 了\t真 棒\n",
    "toy_data.json": """{
"train": [
["吃 了 吗", "吃 了", "吃 的 什 么"],
["晚 安", "好 梦"]
]
}
""",
}

_LONGER = re.compile(r"[A-Za-z0-9]{2}")
_BETWEEN = re.compile(r"(?<=[A-Za-z0-9])\s+(?=[A-Za-z0-9])")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each turn after the first."""
    for part, path in find(CORPUS, where, split):
        if holds_json(path):
            lines = is_json_lines(path)
            for number, item in enumerate(json_items(path, problems, within=True), 1):
                name = f"{item.line}" if lines else f"{item.key or 'n'}-{number}"
                with problems.at(path, item.place):
                    yield from _answers(item.value, f"{part}-{name}", problems)
            continue
        for line, content in filled_lines(path, problems):
            with problems.at(path, line):
                turns = array(content.split("\t"), "the line", least=2)
                yield from _answers(turns, f"{part}-{line}", problems)


def _answers(value: Any, name: str, problems: Problems) -> Iterator[Example]:
    conversation = array(value, "the conversation", least=1)
    if len(conversation) < 2:
        problems.left_out["conversation without an answer"] += 1
        return iter(())
    plain = [spoken(turn, f"turn {place}", problems) for place, turn in enumerate(conversation, 1)]
    if not any(_LONGER.search(turn) for turn in plain if turn):
        # Cut into characters: "2 0 1 4" was "2014". A longer word would mean cut into words.
        plain = [turn and _BETWEEN.sub("", turn) for turn in plain]
    # Who said nothing still had a turn, so that the next is not by the other.
    turns = [Turn("AB"[place % 2], join(turn)) for place, turn in enumerate(plain) if turn]
    return answers(turns, name, "zh", problems=problems)
