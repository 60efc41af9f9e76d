"""DailyDialog: written everyday dialogues of two people, with an emotion on each turn.

Two official forms are read: the original text files (`__eou__` after each turn, and a file of
emotion ids line by line), and the JSON of RECCON, `{id: [[{"speaker", "utterance", "emotion"}]]}`.

Source: Li et al. 2017; Poria et al. 2021 (RECCON), declare-lab/conv-emotion.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import array, member, named, text
from emotone.data.corpus import Corpus, beside, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.eou import labelled_turns, partner
from emotone.data.formats.json_stream import holds_json, json_items
from emotone.data.reading import Problems, read_aligned
from emotone.emotions import DAILYDIALOG
from emotone.types import Example

CORPUS = Corpus(
    name="dailydialog",
    title="everyday dialogues in seven emotions",
    langs=("en",),
    taxonomies=(DAILYDIALOG,),
    licence="CC BY-NC-SA 4.0; from yanran.li/dailydialog and declare-lab/conv-emotion",
    files={
        "train": ("dialogues_train.txt", "train/dialogues_train.txt", "dailydialog_train.json"),
        "valid": (
            "dialogues_validation.txt",
            "validation/dialogues_validation.txt",
            "dailydialog_valid.json",
        ),
        "test": ("dialogues_test.txt", "test/dialogues_test.txt", "dailydialog_test.json"),
        "all": ("dialogues_text.txt",),
    },
    default=("train", "valid", "test"),
    note="each turn with the turns before it; the whole in one file is read where its parts are "
    "not there",
)

SAMPLE = {
    "dialogues_train.txt": "I won a prize ! __eou__ Really ? Great ! __eou__\n"
    "Where is my cup ? __eou__ I broke it . __eou__ Again ? __eou__\n",
    "dialogues_emotion_train.txt": "4 6\n0 5 1\n",
    "dailydialog_valid.json": """{
    "va_1": [
        [
            {"turn": 1, "speaker": "A", "utterance": "It rains .", "emotion": "neutral"},
            {"turn": 2, "speaker": "B", "utterance": "Not again !", "emotion": "anger"}
        ]
    ]
}
""",
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each turn after the first."""
    if split is None and where.is_dir() and beside(where, *CORPUS.files["all"]):
        parts = (name for part in CORPUS.default for name in CORPUS.files[part])
        if not any(beside(where, name) for name in parts):
            split = "all"
    for part, path in find(CORPUS, where, split):
        if holds_json(path):
            yield from _reccon(path, problems, part)
        else:
            yield from _original(path, problems, part)


def _original(path: Path, problems: Problems, part: str) -> Iterator[Example]:
    emotions = partner(
        path,
        lambda name: (
            name.replace("text", "emotion")
            if "_text" in name
            else name.replace("dialogues_", "dialogues_emotion_")
        ),
    )
    for line, (utterances, ids) in read_aligned([path, emotions], problems):
        with problems.at(path, line):
            turns = labelled_turns(utterances, ids, DAILYDIALOG)
            yield from answers(turns, f"{part}-{line}", "en")


def _reccon(path: Path, problems: Problems, part: str) -> Iterator[Example]:
    for item in json_items(path, problems):
        with problems.at(path, item.place):
            (dialogue,) = array(item.value, "the dialogue", count=1)
            turns = [_turn(value) for value in array(dialogue, "the dialogue's turns")]
            yield from answers(turns, f"{part}-{item.key or item.number}", "en", problems=problems)


def _turn(value: Any) -> Turn:
    return Turn(
        text(member(value, "speaker", "a turn"), "the speaker"),
        text(member(value, "utterance", "a turn"), "the utterance"),
        named(member(value, "emotion", "a turn"), DAILYDIALOG),
    )
