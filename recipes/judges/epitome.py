"""The labelled pairs of EPITOME (Reddit): who may see which, and which words carry a mechanism.

A seeker's post belongs to one bucket from 0 to 99 (by `text_key`, as in `corpora`) and to one of
five folds, so no post is on two sides of a split. The two sets of identifiers share no post:
`empathy-reward` has buckets 0-29, `empathy-score` 30-99.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emotone.data.text import text_key
from emotone.types import MECHANISMS
from recipes.judges import corpora

FILES = {
    "reaction": "epitome/emotional-reactions-reddit.csv.gz",
    "interpretation": "epitome/interpretations-reddit.csv.gz",
    "exploration": "epitome/explorations-reddit.csv.gz",
}
SETS: dict[str, range] = {"empathy-reward": range(30), "empathy-score": range(30, 100)}
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """One labelled pair.

    Args:
        context: The seeker's post.
        response: What was answered.
        levels: Level of each mechanism, in the order of `MECHANISMS`.
        spans: Character ranges of the response that people marked for each mechanism; None where
            they cannot be found again in the response.
        bucket: 0 to 99.
        fold: 0 to 4, independent of the bucket.
    """

    context: str
    response: str
    levels: tuple[int, ...]
    spans: tuple[tuple[tuple[int, int], ...] | None, ...]
    bucket: int
    fold: int

    @property
    def key(self) -> str:
        """Name of the seeker's post: pairs of one post are no independent draws."""
        return text_key(self.context)


def read() -> list[Pair]:
    """Read all pairs; the three files have the same pairs in the same order.

    Texts are those of the first file: in the others some differ by blanks, a few by a word.
    """
    tables = [corpora.csv_rows(FILES[m]) for m in MECHANISMS]
    pairs: list[Pair] = []
    for number, rows in enumerate(zip(*tables, strict=True), 2):
        if len({(r["sp_id"], r["rp_id"]) for r in rows}) != 1:
            raise SystemExit(f"row {number} of the three files of EPITOME is not the same pair")
        key = text_key(rows[0]["seeker_post"])
        response = rows[0]["response_post"]
        pairs.append(
            Pair(
                rows[0]["seeker_post"],
                response,
                tuple(int(r["level"]) for r in rows),
                tuple(spans(response, r["rationales"], int(r["level"])) for r in rows),
                int(key[:8], 16) % 100,
                int(key[8:16], 16) % FOLDS,
            )
        )
    return pairs


def spans(response: str, rationales: str, level: int) -> tuple[tuple[int, int], ...] | None:
    """Find the marked texts ("a|b|") in a response, whatever their blanks and case.

    Returns:
        Character ranges, none at level 0; None where a marked text is missing or not there.
    """
    if level == 0:
        return ()
    ranges: list[tuple[int, int]] = []
    for text in filter(None, map(str.strip, rationales.split("|"))):
        pattern = r"\s+".join(map(re.escape, text.split()))
        match = re.search(pattern, response, re.IGNORECASE)
        if match is None:
            return None
        ranges.append(match.span())
    return tuple(ranges) or None


def token_marks(
    tokenizer: Any, pair: Pair, ids: Sequence[int], limit: int
) -> list[list[float] | None]:
    """Say of each token of the response whether it lies in a marked text, for each mechanism.

    Args:
        tokenizer: A fast tokenizer.
        pair: The pair.
        ids: The response's token ids, as the network reads them.
        limit: Most tokens of a response.

    Returns:
        For each mechanism 0 or 1 a token, or None where the marks are not known.
    """
    encoded = tokenizer(
        pair.response, truncation=True, max_length=limit, return_offsets_mapping=True
    )
    if list(ids) != encoded["input_ids"]:
        raise SystemExit("the tokens of a response differ between two readings; report this")
    offsets = encoded["offset_mapping"]
    return [
        None
        if marked is None
        else [
            float(any(start < end and start < b and end > a for a, b in marked))
            for start, end in offsets
        ]
        for marked in pair.spans
    ]
