"""CPED: Chinese TV dialogue with an emotion on each utterance, as CSV.

Source: Chen et al. 2022; scutcyr/CPED, data/CPED/*_split.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import named, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.table_dialogues import Row, table_dialogues
from emotone.data.reading import Problems
from emotone.data.text import join
from emotone.emotions import CPED
from emotone.types import Example

CORPUS = Corpus(
    name="cped",
    title="Chinese TV dialogue in 13 emotions",
    langs=("zh",),
    taxonomies=(CPED,),
    licence="Apache-2.0; from scutcyr/CPED",
    files={
        "train": ("train_split.csv",),
        "valid": ("valid_split.csv",),
        "test": ("test_split.csv",),
    },
    note="each utterance that follows another speaker's, with the dialogue before it",
)

SAMPLE = {
    "train_split.csv": """\
TV_ID,Dialogue_ID,Utterance_ID,Speaker,Gender,Age,Neuroticism,Extraversion,Openness,\
Agreeableness,Conscientiousness,Scene,FacePosition_LU,FacePosition_RD,Sentiment,Emotion,DA,Utterance
01,01_000,01_000_000,小安,female,young,low,high,high,high,high,home,1_1,2_2,negative,worried,\
question,你怎么才回来
01,01_000,01_000_001,小白,male,young,low,high,high,high,high,home,1_1,2_2,neutral,neutral,\
answer,路上堵车了
01,01_000,01_000_002,小白,male,young,low,high,high,high,high,home,1_1,2_2,positive,happy,\
statement-opinion,不过我买了蛋糕
01,01_000,01_000_003,小安,female,young,low,high,high,high,high,home,1_1,2_2,positive,grateful,\
thanking,谢谢你
"""
}

_COLUMNS = ("Dialogue_ID", "Speaker", "Emotion", "Utterance")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each utterance that answers another speaker's."""
    for part, path in find(CORPUS, where, split):
        for name, turns in table_dialogues(path, problems, _COLUMNS, _dialogue, _turn):
            yield from answers(turns, f"{part}-{name}", "zh", problems=problems)


def _dialogue(row: Row) -> str:
    return row["Dialogue_ID"]


def _turn(row: Row) -> Turn:
    utterance = join(text(row["Utterance"], "the utterance"))
    return Turn(text(row["Speaker"], "the speaker"), utterance, named(row["Emotion"], CPED))
