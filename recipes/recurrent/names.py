"""What rows and columns of the pages are called, and in which order rows stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recipes.compare import table as compare
from recipes.compare.table import Column

SYSTEMS = {"a_seq2seq": "A-Seq2Seq", "ecm": "ECM", "emo_seq": "Emo-Seq"}
#: (system, variant) -> title; others are called by system and variant.
TITLES = {
    ("a_seq2seq", "plain"): "A-Seq2Seq",
    ("emo_seq", "tag"): "A-Seq2Seq + tag",
    ("ecm", "full"): "ECM",
    ("ecm", "emb_only"): "ECM, Emb only",
    ("ecm", "no_emb"): "ECM w/o Emb",
    ("ecm", "no_imem"): "ECM w/o IMem",
    ("ecm", "no_emem"): "ECM w/o EMem",
    ("emo_seq", "full"): "Emo-Seq",
    ("emo_seq", "joint"): "Emo-Seq, joint classifier",
}
#: Title -> its name in table 4 of the ECM paper.
ECM_ROWS = {
    "A-Seq2Seq": "Seq2Seq",
    "ECM, Emb only": "Emb",
    "ECM": "ECM",
    "ECM w/o Emb": "ECM w/o Emb",
    "ECM w/o IMem": "ECM w/o IMem",
    "ECM w/o EMem": "ECM w/o EMem",
}
PEOPLE = "People's replies"
COLUMNS: Mapping[str, Column] = {
    **compare.COLUMNS,
    "ecm_perplexity": ("PPL, mean over sentences ↓", 2, 1),
    "emotion_accuracy": ("accuracy ↑", 3, 1),
    "emotion_macro_f1": ("macro-F1 ↑", 3, 1),
    "emotion_accuracy_felt": ("accuracy without {neutral} ↑", 3, 1),
    "emotion_macro_f1_felt": ("macro-F1 without {neutral} ↑", 3, 1),
    "sense": ("sense ↑", 3, 1),
    "topic_reference": ("topic: own reference minus others ↑", 4, 1),
    "topic_post": ("topic: own post minus others", 4, 1),
    "similarity_post": ("similarity to post", 3, 1),
}
LANGS = {"zh": "Chinese", "en": "English"}
DECODINGS = {"default": "default decoding", "beam": "beam search"}


def title(fact: Mapping[str, Any]) -> str:
    """Name a row by what one of its runs says."""
    system, variant = str(fact["system"]), str(fact["plain"])
    known = TITLES.get((system, variant))
    name = known or f"{SYSTEMS.get(system, system)}, {variant.replace('_', ' ')}"
    return f"{name} ({fact['size']})" if fact["size"] else name


def default(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the numbers of the default decoding, or of the first that there is."""
    decodings = results["decodings"]
    return decodings.get("default") or next(iter(decodings.values()), {"rows": {}, "ratios": {}})


def rows_of(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return row -> what its first run says, in the order of the tables.

    Rows trained on all pairs come first; then systems, their main variant, the known, the others.
    """
    first: dict[str, Mapping[str, Any]] = {}
    for fact in runs.values():
        first.setdefault(str(fact["row"]), fact)
    known = list(TITLES)

    def place(row: str) -> tuple[str, int, str]:
        fact = first[row]
        key = (str(fact["system"]), str(fact["plain"]))
        rank = known.index(key) if key in known else len(known)
        if key not in known and key[0] in SYSTEMS:
            rank = max(i for i, k in enumerate(known) if k[0] == key[0])
        return str(fact["size"]), rank, row

    return {row: first[row] for row in sorted(first, key=place)}


def columns(neutral: str) -> dict[str, Column]:
    """Name the columns of a language whose label for no emotion is `neutral`."""
    return {k: (c[0].format(neutral=neutral), c[1], c[2]) for k, c in COLUMNS.items()}
