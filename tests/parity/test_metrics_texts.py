"""Metrics over texts against sacrebleu, nltk and rouge-score on 250 random corpora each."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from emotone.metrics.distinct import distinct_n, per_reply
from emotone.metrics.self_bleu import scores
from unit.metrics.doubles import build, pair, random_corpus

CORPORA = 250
#: The same arithmetic in another order differs in the last digits.
CLOSE = 1e-9
SIGNS = ("don't", "well-known", "3.5", "a.b", "ok,", "(no)", "he's", "...", "&amp;", "U.S.")
HAN = ("你好", "我", "很", "高兴", "ok", "吗", "？", "3", "难过", "，")


def value(name: str, pairs) -> float:
    return build(name).stats(pairs).value()


def corpus(seed: int, words=None):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 6))
    return random_corpus(rng, size, words or ("the", "cat", "ran", "well", "A", *SIGNS))


def as_chinese(pairs):
    cut = [(e.id, r.text.replace(" ", ""), (e.reply or "").replace(" ", "")) for e, r in pairs]
    return [pair(text, reference, id=id, lang="zh") for id, text, reference in cut]


def test_bleu_is_sacrebleu_s():
    from sacrebleu.metrics.bleu import BLEU

    english, chinese = BLEU(), BLEU(tokenize="zh")
    zeros = 0
    for seed in range(CORPORA):
        pairs = corpus(seed)
        if seed % 4 == 0:
            pairs = as_chinese(corpus(seed, HAN))
        theirs = (chinese if seed % 4 == 0 else english).corpus_score(
            [r.text for _, r in pairs], [[e.reply for e, _ in pairs]]
        )
        assert value("bleu", pairs) == pytest.approx(theirs.score, abs=CLOSE), seed
        zeros += theirs.score == 0
    assert 0 < zeros < CORPORA / 2  # both the cut and the sum were tried


def test_bleu_of_weights_is_sacrebleu_s_of_repeats():
    from sacrebleu.metrics.bleu import BLEU

    for seed in range(100):
        rng = np.random.default_rng(seed)
        pairs = corpus(seed)
        weights = rng.integers(0, 3, len(pairs))
        weights[0] += 1
        again = [p for p, w in zip(pairs, weights, strict=True) for _ in range(w)]
        theirs = BLEU().corpus_score([r.text for _, r in again], [[e.reply for e, _ in again]])
        ours = build("bleu").stats(pairs).value(weights)
        assert ours == pytest.approx(theirs.score, abs=CLOSE)


def test_chrf_is_sacrebleu_s():
    from sacrebleu.metrics.chrf import CHRF

    for seed in range(CORPORA):
        pairs = corpus(seed, HAN if seed % 4 == 0 else None)
        theirs = CHRF().corpus_score([r.text for _, r in pairs], [[e.reply for e, _ in pairs]])
        assert value("chrf", pairs) == pytest.approx(theirs.score, abs=CLOSE), seed


def test_rouge_l_is_the_library_s():
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    for seed in range(CORPORA):
        pairs = corpus(seed)
        each = [scorer.score(e.reply, r.text)["rougeL"].fmeasure for e, r in pairs]
        assert value("rouge_l", pairs) == pytest.approx(np.mean(each), abs=CLOSE)


def test_rouge_l_of_chinese_counts_tokens_which_the_default_would_throw_away():
    pairs = [pair("我很高兴", "我不很高兴", lang="zh")]
    # Longest common subsequence 4 of 4 and of 5 characters: precision 1, recall 0.8.
    assert value("rouge_l", pairs) == pytest.approx(2 * 0.8 / 1.8, abs=CLOSE)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_distinct_is_a_set_of_nltk_s_ngrams(n: int):
    import nltk

    for seed in range(CORPORA):
        rng = np.random.default_rng(seed)
        rows = [
            [str(x) for x in rng.integers(0, 9, rng.integers(0, 12))]
            for _ in range(rng.integers(0, 7))
        ]
        grams = [gram for row in rows for gram in nltk.ngrams(row, n)]
        assert distinct_n(rows, n) == (len(set(grams)), len(grams))


def test_long_ngrams_over_many_words_fit_in_an_integer():
    rng = np.random.default_rng(0)
    rows = [[str(x) for x in rng.integers(0, 3000, 20)] for _ in range(200)] * 2
    for n in (5, 6, 12):  # 3000**6 is more than 2**63
        assert distinct_n(rows, n) == (200 * (21 - n), 400 * (21 - n))


def test_what_would_fall_off_the_end_of_an_integer_is_kept():
    # With 2**12 words the first of seven would stand at 2**72.
    rows = [[str(i), *"000000"] for i in range(2**12)]
    assert distinct_n(rows, 7) == (2**12, 2**12)


def test_distinct_within_replies_is_nltk_s():
    import nltk

    for seed in range(200):
        rng = np.random.default_rng(seed)
        row = [str(x) for x in rng.integers(0, 5, rng.integers(0, 9))]
        grams = list(nltk.ngrams(row, 2))
        found = per_reply([row], 2)[0]
        assert found == len(set(grams)) / len(grams) if grams else math.isnan(found)


def test_repeated_4_is_counted_with_nltk():
    import nltk

    for seed in range(300):
        pairs = corpus(seed, ("a", "b", "c"))
        total = again = 0
        for _, reply in pairs:
            grams = Counter(nltk.ngrams(reply.text.split(), 4))
            total += grams.total()
            again += grams.total() - len(grams)
        ours = value("repeated_4", pairs)
        assert ours == pytest.approx(again / total, abs=CLOSE) if total else math.isnan(ours)


def test_self_bleu_is_sacrebleu_s_of_each_reply_against_the_others():
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(tokenize="none", effective_order=True)
    for seed in range(CORPORA):
        rng = np.random.default_rng(seed)
        rows = [
            [str(x) for x in rng.integers(0, 6, rng.integers(1, 8))]
            for _ in range(rng.integers(2, 6))
        ]
        texts = [" ".join(row) for row in rows]
        theirs = [
            scorer.sentence_score(text, texts[:i] + texts[i + 1 :]).score
            for i, text in enumerate(texts)
        ]
        assert scores(rows) == pytest.approx(theirs, abs=CLOSE), seed
