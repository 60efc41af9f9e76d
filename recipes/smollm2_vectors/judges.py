"""The label and the calibration judge: n-grams and sentence embeddings, geometric mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emotone.emotions import EKMAN
from emotone.judges.ngram import NgramJudge, train_ngram_judge
from emotone.models.embed import sentence_embedder
from emotone.types import EmotionScores
from recipes.smollm2_vectors.corpora import Rows, balanced, dailydialog, empathetic, goemotions


class PairJudge:
    """An n-gram judge and a linear judge of sentence embeddings, averaged in logs."""

    taxonomy = EKMAN

    def __init__(self, name: str, ngram: NgramJudge, linear: Any) -> None:
        self.name = name
        self._ngram = ngram
        self._linear = linear
        self._embed = sentence_embedder()

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        """Score each text, its post left aside."""
        del posts
        if not texts:
            return []
        labels = [str(c) for c in self._linear.classes_]
        first = np.array(
            [[s.probabilities[c] for c in labels] for s in self._ngram.classify(texts)]
        )
        both = np.sqrt(first * self._linear.predict_proba(self._embed(texts)))
        both /= both.sum(1, keepdims=True)
        scores = []
        for row in both:
            by_label = dict(zip(labels, map(float, row), strict=True))
            scores.append(EmotionScores(labels[int(row.argmax())], by_label))
        return scores


def _train(name: str, rows: Rows) -> PairJudge:
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(C=20, max_iter=1000, class_weight="balanced")
    linear.fit(sentence_embedder()([t for t, _ in rows]), [e for _, e in rows])
    return PairJudge(name, train_ngram_judge(rows), linear)


def label_judge() -> PairJudge:
    """The judge that chooses self-play replies; a part of the vectors' making."""
    return _train("pair-goemotions-a-1", balanced(goemotions("train", half=0), 2500))


def calibration_judge() -> PairJudge:
    """The judge of the dose sweep; shares no text with the vectors or their label judge."""
    neutral = dailydialog("train")
    return _train("pair-empathetic-dailydialog-1", balanced([*empathetic("train"), *neutral], 2500))
