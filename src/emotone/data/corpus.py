"""What every corpus says about itself, and how its files are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from emotone.data.text import Lang
from emotone.emotions import Taxonomy
from emotone.errors import DataError, unknown_name


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus in its official format.

    Args:
        name: Name of its file in `emotone.data.corpora`.
        title: One line for people: what it is.
        langs: Languages of its texts.
        taxonomies: Label sets of its emotions; none where it has no labels.
        licence: One line: terms, and where it comes from.
        files: Split -> names or patterns to look for in the folder, each also with ".gz". They
            are alternatives: the first that fits is read, a pattern with all files that fit it.
            Splits that start alike, such as "zh-dev" and "zh-test", can be asked as "zh".
        default: Splits read where none is asked; none stands for all.
        note: What becomes an example, where that is not plain.
        words: Whether blanks stand between its Chinese words; `read` then takes `keep_words=True`,
            which leaves them there.
        home: Its folder, where it ships with the package; read where no other is named.
    """

    name: str
    title: str
    langs: tuple[Lang, ...]
    taxonomies: tuple[Taxonomy, ...]
    licence: str
    files: Mapping[str, tuple[str, ...]]
    default: tuple[str, ...] = ()
    note: str = ""
    words: bool = False
    home: Path | None = None


def find(corpus: Corpus, where: Path, split: str | None = None) -> list[tuple[str, Path]]:
    """Return the files to read as pairs of split and path, in the order of `corpus.files`.

    Args:
        corpus: The corpus.
        where: Its folder, or one of its files; a file may have any name.
        split: The split to read, or the start of several; None for the default.

    Raises:
        DataError: If no file of the corpus is there.
        UnknownName: If the corpus has no such split.
    """
    wanted = _splits(corpus, split)
    if where.is_file():
        named = list(corpus.files) if split is None else wanted
        return [(_split_of(corpus, where, named, wanted), where)]
    if not where.is_dir():
        raise DataError(f"{where} is not here; name the folder or file of {corpus.name}")
    files = [(name, path) for name in wanted for path in _matching(where, corpus.files[name])]
    if not files:
        looked = ", ".join(pattern for name in wanted for pattern in corpus.files[name])
        raise DataError(
            f"no file of {corpus.name} in {where}; looked for {looked}, each also with .gz"
        )
    return files


def folder(corpus: Corpus, where: Path) -> Path:
    """Return the folder of a corpus whose examples need several files together.

    Raises:
        DataError: If it is not a folder.
    """
    if not where.is_dir():
        raise DataError(
            f"{where} is not a folder; {corpus.name} is read from the folder of its files"
        )
    return where


def beside(where: Path, *names: str) -> Path | None:
    """Return the first of some files that is there, plain or with ".gz"."""
    return next(iter(_matching(where, names)), None)


def stem(path: Path) -> str:
    """Return a file's name without its ending, packed or not: "a.train" of "a.train.tsv.gz"."""
    return Path(path.name.removesuffix(".gz")).stem


def _splits(corpus: Corpus, split: str | None) -> list[str]:
    if split is None:
        return list(corpus.default or corpus.files)
    wanted = [name for name in corpus.files if name == split or name.startswith(f"{split}-")]
    if not wanted:
        raise unknown_name(f"split of {corpus.name}", split, corpus.files)
    return wanted


def _split_of(corpus: Corpus, where: Path, named: list[str], wanted: list[str]) -> str:
    """Tell the split of one file by the end of its path, else by its name, else by its stem."""
    plain = where.resolve().with_name(where.name.removesuffix(".gz"))
    patterns = [(pattern, split) for split in named for pattern in corpus.files[split]]
    # "ekman/dev.tsv" says more than "dev.tsv".
    for pattern, split in sorted(patterns, key=lambda pair: -pair[0].count("/")):
        if plain.match(pattern):
            return split
    by_name = {split for p, split in patterns if fnmatch(plain.name, p.rpartition("/")[2])}
    if len(by_name) == 1:
        return by_name.pop()
    return wanted[0] if len(wanted) == 1 else plain.stem


def _matching(where: Path, patterns: tuple[str, ...]) -> list[Path]:
    for pattern in patterns:
        paths: dict[str, Path] = {}
        # The plain file goes before the packed one, and each text is read once.
        for path in [*sorted(where.glob(pattern)), *sorted(where.glob(f"{pattern}.gz"))]:
            if path.is_file():
                paths.setdefault(str(path).removesuffix(".gz"), path)
        if paths:
            return list(paths.values())
    return []
