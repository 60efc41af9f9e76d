"""EmoryNLP: scenes of a TV series with several speakers, a feeling on each utterance, as CSV.

Source: Zahiri and Choi 2018; declare-lab/MELD, data/emorynlp/*_final.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import named, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.table_dialogues import Row, table_dialogues
from emotone.data.reading import Problems
from emotone.emotions import EMORYNLP
from emotone.types import Example

CORPUS = Corpus(
    name="emorynlp",
    title="scenes of a TV series in the feelings of Willcox's wheel",
    langs=("en",),
    taxonomies=(EMORYNLP,),
    licence="repository GPL-3.0, text of a TV series, research use; from declare-lab/MELD",
    files={
        "train": ("emorynlp_train_final.csv",),
        "dev": ("emorynlp_dev_final.csv",),
        "test": ("emorynlp_test_final.csv",),
    },
    note="each utterance that follows another speaker's, with the scene before it",
)

SAMPLE = {
    "emorynlp_train_final.csv": """\
Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time
"Tea, please.",['Ann Lee'],Neutral,1,1,1,2,00:00:03.795,00:00:05.004
We are out of tea!,['Bob Roe'],Scared,1,2,1,2,00:00:05.171,00:00:07.423
Then coffee.,['Ann Lee'],Peaceful,1,3,1,2,00:00:07.590,00:00:08.757
"""
}

_COLUMNS = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Season", "Episode")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each utterance that answers another speaker's."""
    for part, path in find(CORPUS, where, split):
        for name, turns in table_dialogues(path, problems, _COLUMNS, _scene, _turn):
            yield from answers(turns, f"{part}-{name}", "en", problems=problems)


def _scene(row: Row) -> str:
    return f"{row['Season']}-{row['Episode']}-{row['Scene_ID']}"


def _turn(row: Row) -> Turn:
    utterance = text(row["Utterance"], "the utterance")
    return Turn(text(row["Speaker"], "the speaker"), utterance, named(row["Emotion"], EMORYNLP))
