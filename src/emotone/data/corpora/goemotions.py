"""GoEmotions: comments of a forum with emotion labels by people.

Lines `text TAB ids TAB comment id`, ids with commas between, into 28 labels or into Ekman's. Which
is told by the `labels.txt` beside the file (`ekman_labels.txt` for `ekman_train.tsv`), else by the
name of the file or of its folder, for `original`, `ekman` and `group` hold files of equal names.

Source: Demszky et al. 2020; monologg/GoEmotions-pytorch, data/original and data/ekman.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import array, numbered, text
from emotone.data.corpus import Corpus, beside, find
from emotone.data.formats.dialogues import single
from emotone.data.reading import Problems, filled_lines, read_lines
from emotone.emotions import EKMAN, GOEMOTIONS, Taxonomy
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
_ORIGINAL = (GOEMOTIONS.labels, GOEMOTIONS)
_EKMAN = (_EKMAN_IDS, EKMAN)

_Labels = tuple[tuple[str, ...], Taxonomy]


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a line."""
    for part, path in find(CORPUS, where, split):
        labels = _labels(path, part, problems)
        if labels is None:
            continue
        order, taxonomy = labels
        for line, content in filled_lines(path, problems):
            with problems.at(path, line):
                comment, ids, name = array(content.split("\t"), "the line", count=3)
                emotions = [numbered(label, order, taxonomy) for label in ids.split(",")]
                emotion = emotions[0] if len(emotions) == 1 else None
                yield single(f"{part}-{name}", text(comment, "the text"), emotion, "en")


def _labels(path: Path, part: str, problems: Problems) -> _Labels | None:
    """Find the labels in the order of their ids; None after a problem."""
    ekman_name = path.name.startswith("ekman")
    listed = beside(path.parent, "ekman_labels.txt" if ekman_name else "labels.txt")
    if listed is not None:
        order = tuple(name.strip() for _, name in read_lines(listed, problems) if name.strip())
        if sorted(order) not in (sorted(GOEMOTIONS.labels), sorted(EKMAN.labels)):
            problems.bad(listed, None, f"{len(order)} labels that are neither the 28 nor Ekman's 7")
            return None
        labels = (order, GOEMOTIONS if len(order) == len(GOEMOTIONS.labels) else EKMAN)
    else:
        folder = path.resolve().parent.name
        if folder == "group":
            problems.bad(path, None, "the labels of group are not emotions; use original or ekman")
            return None
        known = {"original": _ORIGINAL, "ekman": _EKMAN}
        labels = known.get(folder) or (_EKMAN if part.startswith("ekman") else _ORIGINAL)
        if ekman_name:
            labels = _EKMAN
    if part.startswith("ekman") and labels[1] is not EKMAN:
        problems.bad(path, None, f"its labels are not Ekman's, but {part} is asked; name its split")
        return None
    return labels
