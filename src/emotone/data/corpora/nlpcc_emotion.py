"""The emotion sentences of NLPCC 2013 and 2014: what ECM's classifier was trained on.

Official XML holds weibos of sentences with up to two emotions of seven, the first of which is
used; a sentence without an opinion has none. The TSV is the same set, segmented, in ECM's six
classes: `text TAB id`.

Source: NLPCC 2013 and 2014 shared tasks; vjabub024nbt/HSEM-SIGIR, EmotionClassifier/data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

from emotone.data.checks import named, numbered, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import single
from emotone.data.reading import (
    DAMAGED,
    Problems,
    filled_lines,
    is_utf16,
    open_binary,
    read_lines,
    read_utf16,
)
from emotone.data.text import join
from emotone.emotions import NLPCC, NLPCC2013
from emotone.errors import DataError
from emotone.types import Example

CORPUS = Corpus(
    name="nlpcc_emotion",
    title="Weibo sentences in eight emotions, or in ECM's six",
    langs=("zh",),
    taxonomies=(NLPCC, NLPCC2013),
    licence="none stated, research use; NLPCC shared tasks, from vjabub024nbt/HSEM-SIGIR",
    files={
        "train": ("hsem_train_1.tsv", "train_1.txt"),
        "dev": ("hsem_dev_1.tsv", "dev_1.txt"),
        "test": ("hsem_test_1.tsv", "test_1.txt"),
        "xml-2013": ("nlpcc2013_sample_V5-13.xml", "*2013*.xml"),
        "xml-2014-sample": ("nlpcc2014_sample.xml",),
        "xml-2014-test": ("nlpcc2014_test_labeled.xml",),
    },
    default=("train", "dev", "test"),
    note="each sentence is a post with its emotion, without a reply",
)

SAMPLE = {
    "train_1.txt": "太 高兴 了 ！\t5\n我 的 手机 丢 了\t2\n",
    "nlpcc2014_sample.xml": """<?xml version="1.0" encoding="UTF-8"?>

<SampleData>
  <weibo id="1" emotion-type1="like" emotion-type2="none">
    <sentence id="1" opinionated="N">我今天去了公园。</sentence>
    <sentence id="2" opinionated="Y" emotion-1-type="like" emotion-2-type="none">花真美！</sentence>
  </weibo>
</SampleData>
""",
}

_Ended = tuple[str, ElementTree.Element]
# Entities of a document's own can grow without end; no file of the task declares any.
_DECLARES = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.I)


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a sentence."""
    for part, path in find(CORPUS, where, split):
        if _holds_xml(path):
            yield from _xml(path, problems, part)
            continue
        for line, row in filled_lines(path, problems):
            with problems.at(path, line):
                words, tab, label = row.rpartition("\t")
                if not tab:
                    raise DataError("no tab; write text TAB id")
                emotion = numbered(label, NLPCC.labels, NLPCC)
                yield single(f"{part}-{line}", join(text(words, "the text")), emotion, "zh")


def _holds_xml(path: Path) -> bool:
    """Tell XML by its name, or by its start under any name."""
    if ".xml" in path.suffixes:
        return True
    with open_binary(path) as source:
        try:
            start = source.read(100)
        except DAMAGED:
            return False
    return b"<?xml" in start or "<?xml".encode("utf-16-le") in start


def _xml(path: Path, problems: Problems, part: str) -> Iterator[Example]:
    parser = ElementTree.XMLPullParser(["end"])
    number = 0
    try:
        lines = read_utf16 if is_utf16(path) else read_lines
        for line, content in lines(path, problems):
            if _DECLARES.search(content):
                problems.bad(path, line, "the XML declares a document type; remove it")
                return
            parser.feed(content + "\n")
            for _, element in cast(Iterator[_Ended], parser.read_events()):
                if element.tag == "sentence":
                    number += 1  # the numbers in the file occur twice
                    with problems.at(path, line):
                        yield _sentence(element, f"{part}-{number}")
                elif element.tag == "weibo":
                    element.clear()  # read; the tree need not keep it
        parser.close()
    except ElementTree.ParseError as error:
        problems.bad(path, error.position[0], f"no XML ({error}); fetch the file again")


def _sentence(element: ElementTree.Element, name: str) -> Example:
    label = element.get("emotion-1-type", "none")
    sentence = join(text(element.text, "the sentence"))
    return single(name, sentence, named(label, NLPCC2013), "zh")
