"""One file a corpus; the file's name is the corpus's name, and nothing is registered.

A corpus module offers `CORPUS` (an `emotone.data.corpus.Corpus`), `SAMPLE` (file name -> text: a
few sentences of ours in the official shape, for tests and for readers of the code) and
`read(where, problems, *, split=None)`, which yields examples and holds no corpus in memory.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from emotone.data.corpus import Corpus
from emotone.data.reading import Problems
from emotone.outside import outside_module
from emotone.types import Example


class CorpusModule(Protocol):
    """What a file of this folder offers."""

    CORPUS: Corpus
    SAMPLE: Mapping[str, str]

    def read(
        self, where: Path, problems: Problems, *, split: str | None = None, **more: bool
    ) -> Iterator[Example]:
        """Yield the examples of a folder or file, in its order.

        `more` is `keep_words=True` at most, where `CORPUS.words` is set.
        """
        ...


def names() -> list[str]:
    """List the corpora, which are the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def module(name: str) -> CorpusModule:
    """Import a corpus by file name, or by dotted name for code from outside.

    Raises:
        UnknownName: If there is no such corpus.
    """
    plain = name.replace("-", "_")
    if plain in names():
        return cast(CorpusModule, import_module(f"{__name__}.{plain}"))
    return cast(CorpusModule, outside_module("corpus", name, names(), needs=("CORPUS", "read")))
