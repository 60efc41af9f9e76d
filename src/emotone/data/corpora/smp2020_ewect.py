"""SMP2020-EWECT: weibos in six emotions, everyday ones ("usual") and of the pandemic ("virus").

Official files are JSON arrays of `{"id", "content", "label"}`; a cleaned copy of the training
part is `index,text,label` without header or quotes, whose text may hold commas.

Source: SMP2020-EWECT; BrownSweater/BERT_SMP2020-EWECT; evanshao408/weibo-emotion-classification.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import member, named, text, whole
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import single
from emotone.data.formats.json_stream import holds_json, json_items
from emotone.data.reading import Problems, filled_lines
from emotone.data.text import join
from emotone.emotions import SMP2020
from emotone.errors import DataError
from emotone.types import Example

CORPUS = Corpus(
    name="smp2020_ewect",
    title="weibos in six emotions",
    langs=("zh",),
    taxonomies=(SMP2020,),
    licence="research use; SMP2020-EWECT, from BrownSweater/BERT_SMP2020-EWECT",
    files={
        "usual-train": ("usual_train.csv", "usual_train.txt"),
        "usual-eval": ("usual_eval_labeled.txt",),
        "usual-test": ("usual_test_labeled.txt",),
        "virus-train": ("virus_train.txt",),
        "virus-eval": ("virus_eval_labeled.txt",),
        "virus-test": ("virus_test_labeled.txt",),
    },
    note="each weibo is a post with its emotion, without a reply",
)

SAMPLE = {
    "usual_train.csv": "0,气死我了,又迟到了,angry\n1,今天吃到了好吃的面,happy\n",
    "virus_train.txt": '[{"id": 1, "content": "大家加油", "label": "happy"}, '
    '{"id": 2, "content": "有点担心", "label": "fear"}]\n',
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a weibo."""
    for part, path in find(CORPUS, where, split):
        rows = _items(path, problems) if holds_json(path) else _lines(path, problems)
        for line, number, sentence, label in rows:
            with problems.at(path, line):
                at = whole(number, "the id")
                content = join(text(sentence, "the content"))
                yield single(f"{part}-{at}", content, named(label, SMP2020), "zh")


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, object, object, object]]:
    for line, row in filled_lines(path, problems):
        number, comma, rest = row.partition(",")
        content, second, label = rest.rpartition(",")
        if comma and second:
            yield line, number, content, label
        else:
            problems.bad(path, line, "no two commas; write index,text,label")


def _items(path: Path, problems: Problems) -> Iterator[tuple[str, object, object, object]]:
    for item in json_items(path, problems):
        try:
            row = [member(item.value, key) for key in ("id", "content", "label")]
        except DataError as error:
            problems.bad(path, item.place, str(error))
        else:
            yield item.place, row[0], row[1], row[2]
