"""Pairs in a plain text file: `post TAB reply`, or `post TAB reply TAB emotion`.

The emotion is a name or a mix of Ekman's labels, such as `joy` or `joy:60`.

Source: the plainest form that tools of the field share.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import text
from emotone.data.corpus import Corpus, find, stem
from emotone.data.reading import Problems, read_lines
from emotone.data.text import join, language
from emotone.emotions import EKMAN, EmotionMix
from emotone.errors import DataError, number_of
from emotone.types import Dialogue, Example

CORPUS = Corpus(
    name="tsv",
    title="pairs of your own: post TAB reply [TAB emotion]",
    langs=("en", "zh"),
    taxonomies=(EKMAN,),
    licence="that of the text you bring; a format of files, not a data set",
    files={"all": ("*.tsv",)},
)

SAMPLE = {
    "pairs.tsv": "I lost my keys.\tOh no!\tsadness\nWe won!\tHooray!\n外面 下雨 了\t带 伞 吧\n"
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a line; empty lines are skipped."""
    for part, path in find(CORPUS, where, split):
        for line, content in read_lines(path, problems):
            if not content.strip():
                continue
            with problems.at(path, line):
                fields = content.split("\t")
                if len(fields) not in (2, 3):
                    given = number_of(len(fields), "field")
                    raise DataError(f"{given}; write post TAB reply [TAB emotion]")
                post, reply = (text(field, "a field") for field in fields[:2])
                lang = language(post, reply)
                if lang == "zh":
                    post, reply = join(post), join(reply)
                emotion = EmotionMix.parse(fields[2], EKMAN) if len(fields) == 3 else None
                name = f"{part}-{stem(path)}-{line}"
                yield Example(name, Dialogue.of(post), emotion, reply, lang)
