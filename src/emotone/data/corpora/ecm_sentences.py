"""Single Weibo sentences in ECM's six classes, as CSV: `text,labels`.

The labels are a classifier's. The pairs that the sentences came from are lost.

Source: alicialawjy/multilingual-psychotherapy-chatbot, emotion-classifier/ECM/ECM.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import numbered, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.csv_rows import csv_rows
from emotone.data.formats.dialogues import single
from emotone.data.reading import Problems
from emotone.data.text import join
from emotone.emotions import NLPCC
from emotone.types import Example

CORPUS = Corpus(
    name="ecm_sentences",
    title="40,133 Weibo sentences in six emotions",
    langs=("zh",),
    taxonomies=(NLPCC,),
    licence="repository MIT, text of NLPCC2017; alicialawjy/multilingual-psychotherapy-chatbot",
    files={"all": ("ECM.csv",)},
    note="each sentence is a post with its emotion, without a reply",
)

SAMPLE = {"ECM.csv": 'text,labels\n今天 天气 真 好,5\n"好 烦 ，\n不想 上班",4\n'}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a row."""
    for part, path in find(CORPUS, where, split):
        for line, row in csv_rows(path, problems, ("text", "labels")):
            with problems.at(path, line):
                sentence = join(text(row["text"], "the text"))
                label = numbered(row["labels"], NLPCC.labels, NLPCC)
                yield single(f"{part}-{line}", sentence, label, "zh")
