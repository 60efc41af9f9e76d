"""What rows and columns of the pages are called, and in which order rows stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
#: Key -> heading, digits, factor.
COLUMNS: Mapping[str, tuple[str, int, float]] = {
    "perplexity": ("PPL ↓", 2, 1),
    "ecm_perplexity": ("PPL, mean over sentences ↓", 2, 1),
    "distinct_1": ("Distinct-1 ↑", 4, 1),
    "distinct_2": ("Distinct-2 ↑", 4, 1),
    "emotion_accuracy": ("accuracy ↑", 3, 1),
    "emotion_macro_f1": ("macro-F1 ↑", 3, 1),
    "emotion_accuracy_felt": ("accuracy without {neutral} ↑", 3, 1),
    "emotion_macro_f1_felt": ("macro-F1 without {neutral} ↑", 3, 1),
    "topic_reference": ("topic: own reference less others ↑", 4, 1),
    "topic_post": ("topic: own post less others", 4, 1),
    "similarity_reference": ("similarity to reference ↑", 3, 1),
    "similarity_post": ("similarity to post", 3, 1),
    "bleu": ("BLEU ↑", 2, 1),
    "repeated_4": ("repeated 4-grams, % ↓", 2, 100),
    "commonest_share": ("commonest reply, % ↓", 2, 100),
    "length_words": ("words", 1, 1),
}
LANGS = {"zh": "Chinese", "en": "English"}
DECODINGS = {"default": "default decoding", "beam": "beam search"}


def title(fact: Mapping[str, Any]) -> str:
    """Name a row by what one of its runs says."""
    system, variant = str(fact["system"]), str(fact["plain"])
    known = TITLES.get((system, variant))
    name = known or f"{SYSTEMS.get(system, system)}, {variant.replace('_', ' ')}"
    return f"{name} ({fact['size']})" if fact["size"] else name


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


def shown(number: Mapping[str, Any] | None, digits: int, times: float = 1, sign: str = "") -> str:
    """Write a value with its interval; "" for one that was not measured."""
    if number is None or number["value"] is None:
        return ""
    said = f"{number['value'] * times:{sign}.{digits}f}"
    if number["low"] is None:
        return said
    ends = (f"{number[k] * times:{sign}.{digits}f}" for k in ("low", "high"))
    return f"{said} [{', '.join(ends)}]"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Write a Markdown table; columns that are empty in every row are left out."""
    kept = [i for i in range(len(head)) if not i or any(row[i] for row in rows)]
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line[i] for i in kept)} |" for line in lines]
