"""XDailyDialog: DailyDialog translated by people; here its Chinese and its English side.

`*_human.txt` lines are `turn__eou__turn__eou__ TAB topic TAB acts TAB emotion ids`; the extra
thousand dialogues stand in one file of text and one of emotion ids.

Source: Liu et al. 2023; liuzeming01/XDailyDialog, data/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from emotone.data.checks import array
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.eou import labelled_turns, partner
from emotone.data.reading import Problems, read_aligned, read_lines
from emotone.data.text import Lang, join
from emotone.emotions import DAILYDIALOG
from emotone.types import Example

CORPUS = Corpus(
    name="xdailydialog",
    title="everyday dialogues in seven emotions, Chinese and English side by side",
    langs=("zh", "en"),
    taxonomies=(DAILYDIALOG,),
    licence="repository Apache-2.0, DailyDialog CC BY-NC-SA 4.0; from liuzeming01/XDailyDialog",
    files={
        "zh-train": ("zh_train_human.txt",),
        "zh-dev": ("zh_dev_human.txt",),
        "zh-test": ("zh_test_human.txt",),
        "zh-more": ("1k_dialogues_text_Zh.txt",),
        "en-train": ("en_train_human.txt",),
        "en-dev": ("en_dev_human.txt",),
        "en-test": ("en_test_human.txt",),
        "en-more": ("1k_dialogues_text_En.txt",),
    },
    note="each turn with the turns before it",
)

SAMPLE = {
    "zh_dev_human.txt": "我赢了！__eou__真的吗？太好了！__eou__\t1\t1 1\t4 6\n",
    "en_dev_human.txt": "I won ! __eou__ Really ? Great ! __eou__\t1\t1 1\t4 6\n",
    "1k_dialogues_text_Zh.txt": "杯子呢？ __eou__ 我打碎了。 __eou__ 又来了？\n",
    "1k_dialogues_text_En.txt": "Where is my cup ? __eou__ I broke it . __eou__ Again ?\n",
    "1k_dialogues_emotion.txt": "0 5 1\n",
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each turn after the first."""
    for part, path in find(CORPUS, where, split):
        lang: Lang = "zh" if part.startswith("zh") or "zh" in path.name.lower() else "en"
        rows = _more(path, problems) if "dialogues_text" in path.name else _human(path, problems)
        for line, utterances, ids in rows:
            with problems.at(path, line):
                turns = labelled_turns(utterances, ids, DAILYDIALOG)
                yield from answers(_joined(turns, lang), f"{part}-{line}", lang)


def _human(path: Path, problems: Problems) -> Iterator[tuple[int, str, str]]:
    for line, content in read_lines(path, problems):
        fields: list[str] = []
        with problems.at(path, line):
            fields = array(content.split("\t"), "the line", count=4)
        if fields:
            yield line, fields[0], fields[3]


def _more(path: Path, problems: Problems) -> Iterator[tuple[int, str, str]]:
    emotions = partner(path, lambda _: "1k_dialogues_emotion.txt")
    for line, (turns, ids) in read_aligned([path, emotions], problems):
        yield line, turns, ids


def _joined(turns: list[Turn], lang: Lang) -> list[Turn]:
    if lang == "en":
        return turns
    return [replace(turn, text=join(turn.text)) for turn in turns]
