"""Word lists: which words stand for which emotion, in the formats that people publish.

None of these lists comes with emotone; each has terms of its own, which `Lexicon.licence` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotone.data.formats.plain_yaml import read_plain_yaml
from emotone.data.reading import Problems, read_lines
from emotone.emotions import NLPCC, Taxonomy
from emotone.errors import DataError, EmotoneError, kind_of_value, unknown_name
from emotone.types import is_unicode

DUTIR = Taxonomy("dutir", ("乐", "好", "怒", "哀", "惧", "恶", "惊"))
"""The seven classes of the DUTIR ontology: joy, good, anger, sadness, fear, disgust, surprise.

Source: Xu Linhong et al. 2008, "Constructing the affective lexicon ontology".
"""

NRC = Taxonomy(
    "nrc",
    (
        "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust",
        "negative", "positive",
    ),
)  # fmt: skip
"""Plutchik's eight emotions and two polarities of EmoLex. Source: Mohammad and Turney 2013."""

#: None leaves a label's words out: they stand for nothing that the other set knows.
MAPS: Mapping[tuple[str, str], Mapping[str, str | None]] = {
    # The classes of ECM's own word lists: fear and surprise are its "other" ("none" there).
    ("dutir", "nlpcc"): {
        "乐": "happiness",
        "好": "like",
        "怒": "anger",
        "哀": "sadness",
        "惧": "other",
        "恶": "disgust",
        "惊": "other",
    },
    ("dutir", "ekman"): {
        "乐": "joy",
        "好": "joy",
        "怒": "anger",
        "哀": "sadness",
        "惧": "fear",
        "恶": "disgust",
        "惊": "surprise",
    },
    ("nrc", "nlpcc"): {
        "anger": "anger",
        "anticipation": None,
        "disgust": "disgust",
        "fear": "other",
        "joy": "happiness",
        "sadness": "sadness",
        "surprise": "other",
        "trust": "like",
        "negative": None,
        "positive": None,
    },
    ("nrc", "ekman"): {
        "anger": "anger",
        "anticipation": None,
        "disgust": "disgust",
        "fear": "fear",
        "joy": "joy",
        "sadness": "sadness",
        "surprise": "surprise",
        "trust": None,
        "negative": None,
        "positive": None,
    },
}
"""Every map from the labels of word lists, total on its source."""

_ACADEMIC = "free for academic use; cite Xu et al. 2008 (DUTIR affective lexicon ontology)"
_NRC_TERMS = "research use; cite Mohammad and Turney 2013 (NRC EmoLex)"
#: Labels of ECM's files; "none" is what NLPCC calls "other".
_ECM_FILES = {"none": "other"} | {label: label for label in NLPCC.labels}


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by emotion.

    Args:
        name: Name of the list.
        taxonomy: The labels.
        words: Label -> its words; every label of the taxonomy is a key. A word may have several.
        licence: Terms and source, in one line.
    """

    name: str
    taxonomy: Taxonomy
    words: Mapping[str, frozenset[str]]
    licence: str

    def __post_init__(self) -> None:
        """Refuse words under other labels than those of the taxonomy."""
        if set(self.words) != set(self.taxonomy.labels):
            raise DataError(
                f"lexicon {self.name!r} has words for {', '.join(self.words) or 'nothing'}; give a "
                f"set of words, which may be empty, for each of {', '.join(self.taxonomy.labels)}"
            )

    def map_to(self, taxonomy: Taxonomy) -> Lexicon:
        """Give the words the labels of another set, by the tables of this file or of `emotions`.

        Raises:
            UnknownName: If there is no table between the two sets.
        """
        if taxonomy.name == self.taxonomy.name:
            return self
        table = MAPS.get((self.taxonomy.name, taxonomy.name))
        if table is None:
            table = {e.label: self.taxonomy.map_to(e, taxonomy).label for e in self.taxonomy}
        words: dict[str, set[str]] = {label: set() for label in taxonomy.labels}
        for label, target in table.items():
            if target is not None:
                words[target] |= self.words[label]
        return Lexicon(self.name, taxonomy, _frozen(words), self.licence)


def read_lexicon(path: Path, taxonomy: Taxonomy = NLPCC) -> Lexicon:
    """Read a word list in any known format, told by its name.

    A folder holds ECM's lists, `.yaml` is cntext's form, `.json` is NRCLex's, `.tsv` and `.txt`
    are lines of a word, a tab and a label of `taxonomy`; each may end in `.gz`.

    Raises:
        DataError: If it is not one of these or has another shape; with file and line.
    """
    suffixes = [s for s in path.suffixes if s != ".gz"]
    if path.is_dir():
        return read_ecm_lists(path)
    if suffixes[-1:] in ([".yaml"], [".yml"]):
        return read_cntext(path)
    if suffixes[-1:] == [".json"]:
        return read_nrclex(path)
    if suffixes[-1:] in ([".tsv"], [".txt"]):
        return read_tsv(path, taxonomy)
    raise DataError(
        f"{path.name} is not a word list; give a .yaml of cntext, a .json of NRCLex, a .tsv of "
        "word and label, or a folder of emotion.word.<label>.txt files"
    )


def read_cntext(path: Path) -> Lexicon:
    """Read DUTIR or NRC as cntext ships them: YAML with `Dictionary: {label: [words]}`.

    Raises:
        DataError: If the file has another shape, or its labels are those of neither list.
    """
    body = read_plain_yaml(_text(path), path)
    table = body.get("Dictionary") if isinstance(body, dict) else None
    if not isinstance(table, dict):
        raise DataError(f"{path.name}: no mapping 'Dictionary'; give a YAML file of cntext")
    for taxonomy, licence in ((DUTIR, _ACADEMIC), (NRC, _NRC_TERMS)):
        if set(table) == set(taxonomy.labels):
            words = {label: _words(path, label, table[label]) for label in taxonomy.labels}
            return Lexicon(taxonomy.name, taxonomy, _frozen(words), licence)
    raise DataError(
        f"{path.name}: its labels are {', '.join(list(table)[:12])}; word lists with the labels of "
        "DUTIR or NRC can be read"
    )


def read_nrclex(path: Path) -> Lexicon:
    """Read NRC EmoLex as NRCLex ships it: JSON of word -> [labels].

    Raises:
        DataError: If the file has another shape or an unknown label.
    """
    try:
        body = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: no JSON ({error}); give the JSON file of NRCLex") from error
    if not isinstance(body, dict):
        raise DataError(f"{path.name} holds {kind_of_value(body)}; give an object of words")
    words: dict[str, set[str]] = {label: set() for label in NRC.labels}
    for word, labels in body.items():
        for label in _words(path, word, labels):
            if label not in words:
                error = unknown_name("label", label, NRC.labels)
                raise DataError(f"{path.name}: word {word!r} has {error}")
            words[label].add(word.strip())
    return Lexicon("nrc", NRC, _frozen(words), _NRC_TERMS)


def read_ecm_lists(folder: Path) -> Lexicon:
    """Read a folder of ECM's `emotion.word.<label>.txt`, one word a line, a file a class.

    The labels are NLPCC's; "none" is "other", and holds words of fear and surprise. A class without
    a file has no words.

    Raises:
        DataError: If no such file is there, or a label is unknown.
    """
    words: dict[str, set[str]] = {label: set() for label in NLPCC.labels}
    paths = sorted(folder.glob("emotion.word.*.txt")) + sorted(folder.glob("emotion.word.*.txt.gz"))
    if not paths:
        raise DataError(f"{folder.name} holds no emotion.word.<label>.txt; name the folder of them")
    for path in paths:
        label = path.name.split(".")[2]
        if label not in _ECM_FILES:
            raise DataError(f"{path.name}: {unknown_name('label', label, _ECM_FILES)}")
        for _, line in read_lines(path, Problems()):
            if word := line.strip():
                words[_ECM_FILES[label]].add(word)
    return Lexicon("ecm", NLPCC, _frozen(words), f"{_ACADEMIC}, of which these lists are made")


def read_tsv(path: Path, taxonomy: Taxonomy, *, licence: str = "terms not known") -> Lexicon:
    """Read lines of a word, a tab and a label (or alias) of a taxonomy; empty lines are skipped.

    Raises:
        DataError: With file and line, if a line has other fields or an unknown label.
    """
    words: dict[str, set[str]] = {label: set() for label in taxonomy.labels}
    for number, line in read_lines(path, Problems()):
        if not line.strip():
            continue
        word, *rest = (field.strip() for field in line.split("\t"))
        if len(rest) != 1 or not word:
            raise DataError(f"{path.name}, line {number}: give a word, one tab and a label")
        try:
            words[taxonomy.parse(rest[0]).label].add(word)
        except EmotoneError as error:
            raise DataError(f"{path.name}, line {number}: {error}") from error
    if not any(words.values()):
        raise DataError(f"{path.name}: no word is in it; give lines of a word, a tab and a label")
    return Lexicon(path.name.split(".")[0], taxonomy, _frozen(words), licence)


def _words(path: Path, label: str, listed: Any) -> set[str]:
    if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        raise DataError(f"{path.name}: {label!r} is not a list of words; give a list of text")
    if not all(is_unicode(word) for word in listed):
        raise DataError(f"{path.name}: {label!r} has half a surrogate pair; write it in UTF-8")
    # Published lists have stray blanks at the ends of words, ideographic ones among them.
    return {word.strip() for word in listed} - {""}


def _frozen(words: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    return {label: frozenset(listed) for label, listed in words.items()}


def _text(path: Path) -> str:
    return "\n".join(line for _, line in read_lines(path, Problems()))
