"""MELD: scenes of a TV series with several speakers, an emotion on each utterance, as CSV.

Source: Poria et al. 2019; declare-lab/MELD, data/MELD/*_sent_emo.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import named, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.table_dialogues import Row, table_dialogues
from emotone.data.reading import Problems
from emotone.emotions import EKMAN
from emotone.types import Example

CORPUS = Corpus(
    name="meld",
    title="scenes of a TV series in seven emotions",
    langs=("en",),
    taxonomies=(EKMAN,),
    licence="repository GPL-3.0, text of a TV series, research use; from declare-lab/MELD",
    files={
        "train": ("train_sent_emo.csv",),
        "dev": ("dev_sent_emo.csv",),
        "test": ("test_sent_emo.csv",),
    },
    note="each utterance that follows another speaker's, with the scene before it",
)

SAMPLE = {
    "train_sent_emo.csv": """\
Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime
1,"Oh no, my cake!",Ann,surprise,negative,0,0,1,1,"00:00:01,000","00:00:02,000"
2,Sorry!,Bob,sadness,negative,0,1,1,1,"00:00:02,000","00:00:03,000"
3,You ate it?,Ann,anger,negative,0,2,1,1,"00:00:03,000","00:00:04,000"
4,Hi!,Cem,joy,positive,1,0,1,1,"00:00:05,000","00:00:06,000"
5,Hi Cem.,Ann,neutral,neutral,1,1,1,1,"00:00:06,000","00:00:07,000"
"""
}

_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each utterance that answers another speaker's."""
    for part, path in find(CORPUS, where, split):
        for name, turns in table_dialogues(path, problems, _COLUMNS, _dialogue, _turn):
            yield from answers(turns, f"{part}-{name}", "en", problems=problems)


def _dialogue(row: Row) -> str:
    return row["Dialogue_ID"]


def _turn(row: Row) -> Turn:
    utterance = text(row["Utterance"], "the utterance")
    return Turn(text(row["Speaker"], "the speaker"), utterance, named(row["Emotion"], EKMAN))
