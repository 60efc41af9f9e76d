"""A judge of emotion by words and letters: logistic regression on n-grams.

Trained in seconds from labelled texts, so nothing has to be shipped to calibrate vectors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from emotone.emotions import EKMAN, Taxonomy
from emotone.errors import DataError
from emotone.types import EmotionScores


@dataclass(frozen=True, slots=True, eq=False)
class NgramJudge:
    """A fitted judge; build it with `train_ngram_judge`.

    Args:
        name: Kind and data hash, for signatures.
        taxonomy: The labels of its scores.
        pipeline: The fitted scikit-learn pipeline.
    """

    name: str
    taxonomy: Taxonomy
    pipeline: Any

    def classify(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Score each text; labels that were never seen have probability 0."""
        if not texts:
            return []
        seen = [str(c) for c in self.pipeline.classes_]
        scores: list[EmotionScores] = []
        for row in self.pipeline.predict_proba(list(texts)):
            by_label = dict.fromkeys(self.taxonomy.labels, 0.0)
            by_label.update(zip(seen, map(float, row), strict=True))
            scores.append(EmotionScores(max(by_label, key=by_label.__getitem__), by_label))
        return scores


def train_ngram_judge(
    rows: Sequence[tuple[str, str]], taxonomy: Taxonomy = EKMAN, *, cap: int = 2500
) -> NgramJudge:
    """Train a judge on (text, label) pairs.

    Word 1- and 2-grams and letter 2- to 4-grams, tf-idf, balanced classes.

    Args:
        rows: Labelled texts; order does not matter.
        taxonomy: The label set.
        cap: Most texts of one label, so that common emotions do not drown rare ones.

    Raises:
        DataError: If a label is foreign, fewer than two labels are there, or the texts are too
            few to share a word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    foreign = sorted({label for _, label in rows} - set(taxonomy.labels))
    if foreign:
        raise DataError(
            f"label {foreign[0]!r} is not in {taxonomy.name}; use {', '.join(taxonomy.labels)}"
        )
    # A text's hash decides whether it is kept, so the judge does not depend on the file's order.
    ordered = sorted(set(rows), key=lambda r: (hashlib.sha256(r[0].encode()).digest(), r))
    kept: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    for text, label in ordered:
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= cap:
            kept.append((text, label))
    if len(counts) < 2:
        raise DataError("a judge needs texts of two labels or more; give more labelled texts")
    digest = hashlib.sha256(json.dumps(kept, ensure_ascii=False).encode()).hexdigest()[:12]
    pipeline = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            TfidfVectorizer(
                analyzer="char_wb",
                ngram_range=(2, 4),
                min_df=3,
                sublinear_tf=True,
                max_features=60_000,
            ),
        ),
        LogisticRegression(C=4.0, max_iter=500, class_weight="balanced"),
    )
    try:
        pipeline.fit([t for t, _ in kept], [label for _, label in kept])
    except ValueError as error:
        raise DataError(
            f"{len(kept)} texts teach a judge nothing ({error}); give more labelled texts"
        ) from error
    return NgramJudge(f"ngram-{digest}", taxonomy, pipeline)


def read_labelled(lines: Iterable[str], where: str) -> list[tuple[str, str]]:
    """Read `{"text", "label"}` lines.

    Raises:
        DataError: If a line has another shape; the message names file and line.
    """
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, label = row["text"], row["label"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{where}, line {number}: write {{"text", "label"}}') from error
        if not isinstance(text, str) or not isinstance(label, str):
            raise DataError(f"{where}, line {number}: text and label must be text")
        rows.append((text, label))
    return rows
