"""Examples by name: of a corpus and its folder, or of a file that was prepared before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from emotone.data import corpora
from emotone.data.corpus import Corpus
from emotone.data.examples import read_example, read_parquet
from emotone.data.reading import Problems, read_lines
from emotone.errors import DataError, UsageError
from emotone.types import Example

#: Ends of the files that `read_file` reads and `prepare` writes.
SUFFIXES = (".jsonl", ".parquet")


class Source(NamedTuple):
    """Examples, and the corpus they are of, if they are of one."""

    corpus: Corpus | None
    examples: Iterator[Example]


def open_source(
    name: str, where: Path | None, problems: Problems, *, split: str | None = None
) -> Source:
    """Open a corpus or a file of examples.

    Args:
        name: Name of a corpus (or the dotted name of a module of yours), or a path that ends in
            .jsonl, .jsonl.gz or .parquet.
        where: Folder or file of the corpus; None for a file of examples.
        problems: Where bad lines go.
        split: Split of the corpus; None for its default.

    Raises:
        UsageError: If the arguments do not fit together.
        UnknownName: If there is no such corpus.
    """
    path = Path(name)
    if path.name.removesuffix(".gz").endswith(SUFFIXES):
        if where is not None or split is not None:
            raise UsageError(f"{name} is a file of examples; leave --from and --split out")
        return Source(None, read_file(path, problems))
    module = corpora.module(name)
    if where is None:
        raise UsageError(f"where is {name}? name its folder or file with --from")
    return Source(module.CORPUS, module.read(where, problems, split=split))


def read_file(path: Path, problems: Problems) -> Iterator[Example]:
    """Read a file of examples, JSON lines (gzipped or not) or parquet, in bounded memory.

    Raises:
        DataError: If the file cannot be opened, or at a bad line where problems are to raise.
    """
    if path.suffix == ".parquet":
        if not path.is_file():
            raise DataError(f"cannot read {path.name}: no such file; name a file that is here")
        yield from read_parquet(path)
        return
    for number, line in read_lines(path, problems):
        if line.strip():
            with problems.at(path, number):
                yield read_example(line, number)
