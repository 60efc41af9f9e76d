"""The four files of ECM's re-implementations: source, target, category and choice, line by line.

`category` holds the emotion id of the target as NLPCC numbers them (0 other, 1 like, 2 sadness,
3 disgust, 4 anger, 5 happiness; other re-implementations number otherwise, and nothing in the file
tells), `choice` a 0 or 1 for each of its words (1: an
emotion word). Where there is no choice file, the other three are read.

Source: AaronYALai/Seq2seqAttn_ECM, example/; 1YCxZ/ECM-seq2seq, sample_data/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import mix, numbered, text
from emotone.data.corpus import Corpus, beside, find
from emotone.data.reading import Problems, read_aligned
from emotone.data.text import Lang, join, language_after, spaced
from emotone.emotions import NLPCC
from emotone.errors import DataError
from emotone.types import Dialogue, Example

CORPUS = Corpus(
    name="ecm_files",
    title="pairs in the four text files of ECM's re-implementations",
    langs=("zh", "en"),
    taxonomies=(NLPCC,),
    licence="that of the text you bring; the layout is from AaronYALai/Seq2seqAttn_ECM",
    files={
        "train": ("train_source.txt", "train_post.txt"),
        "dev": ("dev_source.txt", "dev_post.txt"),
        "test": ("test_source.txt", "test_post.txt"),
        "all": ("source.txt", "post.txt"),
    },
    note="category ids must be NLPCC's, 0 to 5: other, like, sadness, disgust, anger, happiness; "
    "some re-implementations number otherwise",
    words=True,
)

SAMPLE = {
    "train_source.txt": "我 考试 没 过\n你 喜欢 吃 什么\n",
    "train_target.txt": "下次 再 努力 吧\n我 爱 吃 饺子\n",
    "train_category.txt": "2\n1\n",
    "train_choice.txt": "0 0 1 0\n0 1 0 0\n",
}

_KIND = re.compile("source|post")


def read(
    where: Path, problems: Problems, *, split: str | None = None, keep_words: bool = False
) -> Iterator[Example]:
    """Yield one example a line."""
    spelt = spaced if keep_words else join
    lang: Lang | None = None
    for part, posts in find(CORPUS, where, split):
        replies = _needed(posts, "target", "response")
        files = [posts, replies, _needed(posts, "category")]
        choice = _partner(posts, "choice")
        for line, (post, reply, category, *marks) in read_aligned(
            [*files, *([choice] if choice else [])], problems
        ):
            with problems.at(replies, line):
                if marks:
                    _check_marks(marks[0], reply)
                source, target = text(post, "the source"), text(reply, "the target")
                lang = language_after(lang, source, target)
                yield Example(
                    f"{part}-{line}",
                    Dialogue.of(spelt(source)),
                    mix(numbered(category, NLPCC.labels, NLPCC)),
                    spelt(target),
                    lang,
                )


def _needed(posts: Path, *kinds: str) -> Path:
    for kind in kinds:
        if path := _partner(posts, kind):
            return path
    needed = _KIND.sub(kinds[0], posts.name)
    raise DataError(f"no {needed} beside {posts.name}; the files belong together")


def _partner(posts: Path, kind: str) -> Path | None:
    """Return the file of another kind that has the name of the posts': "a_source" -> "a_target"."""
    name = _KIND.sub(kind, posts.name.removesuffix(".gz"))
    return None if name == posts.name.removesuffix(".gz") else beside(posts.parent, name)


def _check_marks(marks: str, reply: str) -> None:
    given = marks.split()
    if set(given) - {"0", "1"}:
        raise DataError("the choice line holds more than 0 and 1; write one of them for each word")
    if len(given) != len(reply.split()):
        raise DataError(
            f"the choice line marks {len(given)} words, but the target has {len(reply.split())}"
        )
