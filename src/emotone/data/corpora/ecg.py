"""ECG: human-chosen Weibo posts with replies of the systems of NLPCC 2017, judged by people.

Lines `post TAB response TAB emotion id`, ids as in NLPCC 2017.

Source: CCF TCCI 2018, emotional conversation generation data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import array, mix, numbered, text
from emotone.data.corpus import Corpus, find
from emotone.data.reading import Problems, filled_lines
from emotone.data.text import join
from emotone.emotions import NLPCC
from emotone.types import Dialogue, Example

CORPUS = Corpus(
    name="ecg",
    title="Weibo posts with judged replies in five emotions",
    langs=("zh",),
    taxonomies=(NLPCC,),
    licence="none stated, research use; CCF-TCCI2018 ECG data, from WMGray/Chat_Bot",
    files={"dev": ("ecg_dev_pairs.tsv", "dev.tsv"), "test": ("ecg_test_pairs.tsv", "test.tsv")},
)

SAMPLE = {"dev.tsv": "又 要 加班 了\t辛苦 你 了\t2\n我 赢 了 ！\t太 棒 了\t5\n"}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a line."""
    for part, path in find(CORPUS, where, split):
        for line, content in filled_lines(path, problems):
            with problems.at(path, line):
                post, reply, label = array(content.split("\t"), "the line", count=3)
                yield Example(
                    f"{part}-{line}",
                    Dialogue.of(join(text(post, "the post"))),
                    mix(numbered(label, NLPCC.labels, NLPCC)),
                    join(text(reply, "the response")),
                    "zh",
                )
