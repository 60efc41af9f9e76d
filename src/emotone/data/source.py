"""Examples by name: of a corpus and its folder, or of a file that was prepared before."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from emotone.data import corpora
from emotone.data.corpus import Corpus
from emotone.data.examples import read_example, read_parquet
from emotone.data.reading import Problems, read_lines
from emotone.errors import DataError, UsageError
from emotone.types import Dialogue, Example

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

#: Ends of the files that `read_file` reads and `prepare` writes.
SUFFIXES = (".jsonl", ".parquet")


class Source(NamedTuple):
    """Examples, and the corpus they are of, if they are of one."""

    corpus: Corpus | None
    examples: Iterator[Example]


def open_source(
    name: str,
    where: Path | None,
    problems: Problems,
    *,
    split: str | None = None,
    keep_words: bool = False,
) -> Source:
    """Open a corpus or a file of examples.

    Args:
        name: Name of a corpus (or the dotted name of a module of yours), or a path that ends in
            .jsonl, .jsonl.gz or .parquet.
        where: Folder or file of the corpus; None for a file of examples, or for a corpus that ships
            with the package.
        problems: Where bad lines go.
        split: Split of the corpus; None for its default.
        keep_words: Leave the blanks between Chinese words where the corpus has some.

    Raises:
        UsageError: If the arguments do not fit together.
        UnknownName: If there is no such corpus.
    """
    path = Path(name)
    if _is_file(path, name):
        if keep_words:
            raise UsageError(f"{name} keeps its texts as they are; leave --keep-words out")
        if where is not None or split is not None:
            raise UsageError(f"{name} is a file of examples; leave --from and --split out")
        return Source(None, read_file(path, problems))
    module = corpora.module(name)
    where = where or module.CORPUS.home
    if where is None:
        raise UsageError(f"where is {name}? name its folder or file with --from")
    if keep_words and not module.CORPUS.words:
        with_words = [n for n in corpora.names() if corpora.module(n).CORPUS.words]
        raise UsageError(
            f"{name} has no words of its own that blanks part; leave --keep-words out, which is for"
            f" {', '.join(with_words)}"
        )
    more = {"keep_words": True} if keep_words else {}
    examples = module.read(where, problems, split=split, **more)
    return Source(module.CORPUS, mended(examples, problems))


def _is_file(path: Path, name: str) -> bool:
    """Tell a file of examples, of any name, from the name of a corpus."""
    if name.replace("-", "_") in corpora.names():
        return False
    named = path.name.removesuffix(".gz").endswith(SUFFIXES)
    return named or os.sep in name or path.suffix in (".json", ".txt") or path.is_file()


def read_file(path: Path, problems: Problems) -> Iterator[Example]:
    """Read a file of examples, JSON lines (gzipped or not) or parquet, in bounded memory.

    Raises:
        DataError: If the file cannot be opened, or at a bad line where problems are to raise.
    """
    yield from mended(_read(path, problems), problems)


def _read(path: Path, problems: Problems) -> Iterator[Example]:
    if path.suffix == ".parquet":
        if not path.is_file():
            raise DataError(f"cannot read {path.name}: no such file; name a file that is here")
        yield from read_parquet(path)
        return
    for number, line in read_lines(path, problems):
        if line.strip():
            with problems.at(path, number):
                yield read_example(line, number)


def mended(examples: Iterator[Example], problems: Problems) -> Iterator[Example]:
    """Put the signs of Windows-1252 in the place of control characters that were read for them.

    Text of Windows-1252 that was read as Latin-1, as in MELD's first files, has U+0092 where ’ was
    meant. Other control characters say nothing and are taken out. Both are counted.
    """
    for example in examples:
        texts = [post.text for post in example.dialogue.posts]
        if not any(_CONTROL.search(text) for text in (*texts, example.reply or "")):
            yield example
            continue
        posts = tuple(
            replace(post, text=_mended(post.text, problems)) for post in example.dialogue.posts
        )
        reply = None if example.reply is None else _mended(example.reply, problems)
        yield replace(example, dialogue=Dialogue(posts), reply=reply)


def _mended(text: str, problems: Problems) -> str:
    def sign(match: re.Match[str]) -> str:
        meant = match[0].encode("latin-1").decode("cp1252", "ignore")
        if meant and not _CONTROL.match(meant):
            problems.mended["sign of Windows-1252 that stood as a control character"] += 1
            return meant
        problems.left_out["control character"] += 1
        return ""

    return _CONTROL.sub(sign, text)
