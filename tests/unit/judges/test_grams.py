"""Our counting against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from emotone.judges.grams import Counted, Grams, fit, tfidf

CORPUS = [
    "So so happy, so happy today!",
    "I am  not happy\tat all\nat all.",
    "a b c I you a",
    "今天很开心，很开心",
    "今天 不 开心 ！",
    "ÄRGER and ärger",
    "x" * 50,
    "",
]
KINDS = [
    Grams("word", 1, 2, 1),
    Grams("word", 2, 3, 1),
    Grams("word", 1, 1, 2),
    Grams("char_wb", 2, 4, 1),
    Grams("char_wb", 3, 5, 1, 40),
    Grams("char", 1, 3, 1),
    Grams("char", 2, 2, 2),
]


def theirs(grams: Grams) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer=grams.analyzer,
        ngram_range=(grams.low, grams.high),
        min_df=grams.min_texts,
        max_features=grams.most,
        sublinear_tf=True,
    ).fit(CORPUS)


FITTED: list[tuple[Counted, TfidfVectorizer]] = [(fit(g, CORPUS), theirs(g)) for g in KINDS]


@pytest.mark.parametrize("case", FITTED, ids=[str(g) for g in KINDS])
def test_equal_to_scikit_learn(case: tuple[Counted, TfidfVectorizer]):
    ours, vectorizer = case
    assert list(ours.terms) == vectorizer.get_feature_names_out().tolist()
    texts = [*CORPUS, "happy happy happy at all", "unseen wörds  only", " ", "一"]
    np.testing.assert_allclose(
        tfidf(ours, texts).toarray(), vectorizer.transform(texts).toarray(), atol=1e-12
    )


@given(st.lists(st.text(st.sampled_from("ab Ä\n\t开心!,1_"), max_size=12), max_size=4))
def test_equal_on_any_text(texts: list[str]):
    for ours, vectorizer in FITTED:
        if texts:
            expected = vectorizer.transform(texts).toarray()
            np.testing.assert_allclose(tfidf(ours, texts).toarray(), expected, atol=1e-12)
