"""EPITOME (Reddit): a seeker's post, a response, and its empathy levels with rationales.

Three CSV files, one for each mechanism, hold the same pairs in the same order; a pair of ids can
occur more than once, so rows are joined by ids and by how often the ids came before, and their
texts must be the same.

Source: Sharma et al. 2020; behavioral-data/Empathy-Mental-Health, dataset/*-reddit.csv.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from emotone.data.checks import text, whole
from emotone.data.corpus import Corpus, beside, folder
from emotone.data.formats.csv_rows import csv_rows
from emotone.data.reading import Problems
from emotone.errors import DataError, unknown_name
from emotone.types import Dialogue, EmpathyLevels, Example

CORPUS = Corpus(
    name="epitome",
    title="3,084 pairs of a support forum with three levels of empathy and rationales",
    langs=("en",),
    taxonomies=(),
    licence="academic research only, no redistribution; from behavioral-data/Empathy-Mental-Health",
    files={
        "reddit": (
            "emotional-reactions-reddit.csv",
            "interpretations-reddit.csv",
            "explorations-reddit.csv",
        )
    },
    note="each pair with its levels; rationales by emotone.data.corpora.epitome.read_rated",
)

_HEADER = "sp_id,rp_id,seeker_post,response_post,level,rationales\n"
_COLUMNS = tuple(_HEADER.strip().split(","))
_FIRST = 'a1,b1,I failed again.,"I am so sorry, what happened?"'
_SECOND = "a2,b2,Nobody calls me.,I know how that is."

SAMPLE = {
    "emotional-reactions-reddit.csv": f"{_HEADER}{_FIRST},2,I am so sorry|\n{_SECOND},0,\n",
    "interpretations-reddit.csv": f"{_HEADER}{_FIRST},0,\n{_SECOND},2,I know how that is.|\n",
    "explorations-reddit.csv": f"{_HEADER}{_FIRST},2,what happened?|\n{_SECOND},0,\n",
}

#: The file's start and the name of the level in `EmpathyLevels`.
_MECHANISMS = {
    "emotional-reactions": "reaction",
    "interpretations": "interpretation",
    "explorations": "exploration",
}

# One of the files says "this subreddit" where another was masked to "this".
_MASKED = re.compile(r"(sub)?reddit|\W")

_Key = tuple[str, str, int]
_Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rated:
    """One pair with what its raters marked.

    Args:
        example: The pair and its levels.
        rationales: Mechanism ("reaction", ...) -> spans of the response that show it.
    """

    example: Example
    rationales: Mapping[str, tuple[str, ...]]


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a pair."""
    for rated in read_rated(where, problems, split=split):
        yield rated.example


def read_rated(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Rated]:
    """Yield one rated pair for each that all three files have."""
    if split not in (None, "reddit"):
        raise unknown_name("split of epitome", split, CORPUS.files)
    paths = {start: _path(folder(CORPUS, where), start) for start in _MECHANISMS}
    others = {start: dict(_rows(path, problems)) for start, path in list(paths.items())[1:]}
    first, path = next(iter(paths.items()))
    for key, (line, row) in _rows(path, problems):
        with problems.at(path, line):
            joined = {first: row}
            matches = {start: rows.pop(key, None) for start, rows in others.items()}
            for start, numbered in matches.items():
                _check(key, row, None if numbered is None else numbered[1], paths[start].name)
                if numbered is not None:
                    joined[start] = numbered[1]
            yield _rated("-".join(map(str, key)), joined)
    for start, rows in others.items():
        for key, (line, _) in rows.items():
            problems.bad(paths[start], line, f"the pair {key[0]}, {key[1]} is not in {path.name}")


def _check(key: _Key, row: _Row, other: _Row | None, name: str) -> None:
    pair = f"the pair {key[0]}, {key[1]}"
    if other is None:
        raise DataError(f"{pair} is not in {name}")
    for column in ("seeker_post", "response_post"):
        if _plain(row[column]) != _plain(other[column]):
            raise DataError(f"{pair} has another {column} in {name}; keep the order of the files")


def _plain(text: str) -> str:
    """Leave out what the published files differ in: blanks, case, and a masked "reddit"."""
    return _MASKED.sub("", text.lower())


def _path(where: Path, start: str) -> Path:
    path = beside(where, f"{start}-reddit.csv")
    if path is None:
        raise DataError(f"no {start}-reddit.csv in {where}; epitome needs its three files")
    return path


def _rows(path: Path, problems: Problems) -> Iterator[tuple[_Key, tuple[int, dict[str, str]]]]:
    seen: Counter[tuple[str, str]] = Counter()
    for line, row in csv_rows(path, problems, _COLUMNS):
        ids = (row["sp_id"], row["rp_id"])
        seen[ids] += 1
        yield (*ids, seen[ids]), (line, row)


def _rated(name: str, rows: Mapping[str, Mapping[str, str]]) -> Rated:
    levels = {level: whole(rows[start]["level"], "level") for start, level in _MECHANISMS.items()}
    row = next(iter(rows.values()))
    example = Example(
        name,
        Dialogue.of(text(row["seeker_post"], "the seeker's post")),
        reply=text(row["response_post"], "the response"),
        empathy=EmpathyLevels(**levels),
    )
    spans = {
        level: tuple(span for span in rows[start]["rationales"].split("|") if span.strip())
        for start, level in _MECHANISMS.items()
    }
    return Rated(example, spans)
