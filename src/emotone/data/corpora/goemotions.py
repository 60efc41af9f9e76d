"""GoEmotions: comments of a forum with emotion labels by people.

Lines `text TAB ids TAB comment id`, ids with commas between, into 28 labels or into Ekman's.

Source: Demszky et al. 2020; monologg/GoEmotions-pytorch, data/original and data/ekman.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.corpus import Corpus, find
from emotone.data.dialogues import single
from emotone.data.reading import Problems, read_lines
from emotone.data.shape import array, numbered, text
from emotone.emotions import EKMAN, GOEMOTIONS
from emotone.types import Example

CORPUS = Corpus(
    name="goemotions",
    title="54 thousand forum comments in 28 emotions, or in Ekman's",
    langs=("en",),
    taxonomies=(GOEMOTIONS, EKMAN),
    licence="Apache-2.0, data CC BY 4.0; from monologg/GoEmotions-pytorch",
    files={
        "train": ("train.tsv", "original/train.tsv"),
        "dev": ("dev.tsv", "original/dev.tsv"),
        "test": ("test.tsv", "original/test.tsv"),
        "ekman-train": ("ekman_train.tsv", "ekman/train.tsv"),
        "ekman-dev": ("ekman_dev.tsv", "ekman/dev.tsv"),
        "ekman-test": ("ekman_test.tsv", "ekman/test.tsv"),
    },
    default=("train", "dev", "test"),
    note="each comment is a post without a reply; one with several labels carries none of them",
)

SAMPLE = {
    "train.tsv": "My soup is warm.\t27\tc0\nThank you, that is lovely!\t15,18\tc1\nOuch.\t25\tc2\n",
    "ekman_train.tsv": "My soup is warm.\t4\tc0\nThank you, that is lovely!\t3\tc1\nOuch.\t5\tc2\n",
}

# The order of ekman/labels.txt, which is not that of `EKMAN`.
_EKMAN_IDS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a line."""
    for part, path in find(CORPUS, where, split):
        ekman = part.startswith("ekman")
        taxonomy = EKMAN if ekman else GOEMOTIONS
        order = _EKMAN_IDS if ekman else GOEMOTIONS.labels
        for line, said in read_lines(path, problems):
            with problems.at(path, line):
                comment, ids, name = array(said.split("\t"), "the line", count=3)
                labels = [numbered(label, order, taxonomy) for label in ids.split(",")]
                emotion = labels[0] if len(labels) == 1 else None
                yield single(f"{part}-{name}", text(comment, "the text"), emotion, "en")
