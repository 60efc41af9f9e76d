"""Emo-Seq's classifier: what it hears, what it learns, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emotone.data.pairs import Pairs
from emotone.nn.expected import BagClassifier
from emotone.recurrent.bag import _means, fit_bag
from emotone.recurrent.corpus import Corpus
from emotone.recurrent.responder import tiny_corpus
from emotone.systems import emo_seq

V, D = 23, 24


def pairs(replies: list[tuple[int, ...]], emotions: list[int]) -> Pairs:
    ends = np.cumsum([len(r) for r in replies])
    flat = np.array([w for r in replies for w in r], np.int32)
    posts = np.full(len(replies), 5, np.int32)
    return Pairs(posts, np.arange(len(replies)) + 1, flat, ends, np.array(emotions, np.int32))


def corpus(*, vectors: bool) -> Corpus:
    """Emotion e says word 6 + e among others; the first emotion is ten times as frequent."""
    draws = np.random.default_rng(0)
    emotions = [0] * 200 + [1] * 20 + [2] * 20
    said = [(6 + e, *draws.integers(9, V, 3).tolist()) for e in emotions]
    made = pairs(said, emotions)
    table = draws.normal(size=(V, D)).astype(np.float32) if vectors else None
    return replace(tiny_corpus("en", "ekman"), train=made, dev=made, vectors=table)


def classifier() -> BagClassifier:
    return BagClassifier(torch.randn(V, D, generator=torch.Generator().manual_seed(1)), 7)


def test_means_are_of_the_words_and_of_nothing_where_there_is_none():
    made, table = classifier(), classifier().embedding
    some = pairs([(6, 7, 7), (), (8,)], [0, 0, 0])
    want = torch.stack([(table[6] + 2 * table[7]) / 3, torch.zeros(D), table[8]])
    torch.testing.assert_close(_means(made, some, np.arange(3)), want)
    torch.testing.assert_close(_means(made, some, np.array([1])), torch.zeros(1, D))


@pytest.mark.parametrize("vectors", [True, False])
def test_it_learns_the_words_of_rare_emotions_too_and_is_frozen(vectors: bool):
    made, given = classifier(), corpus(vectors=vectors)
    before = torch.get_rng_state()
    found = fit_bag(made, given, epochs=300, seed=1, tune=not vectors)
    assert torch.equal(torch.get_rng_state(), before)
    assert found["largest_class"] == pytest.approx(200 / 240)
    assert found["classifier_accuracy"] > 0.95
    assert not made.weight.requires_grad
    assert not made.embedding.requires_grad
    if vectors:
        assert given.vectors is not None
        assert torch.equal(made.embedding, torch.from_numpy(given.vectors))
    again = classifier()
    fit_bag(again, given, epochs=300, seed=1, tune=not vectors)
    assert torch.equal(again.weight, made.weight)


@pytest.mark.parametrize("joint", [True, False])
def test_both_ways_of_training_hear_the_word_vectors(joint: bool):
    given = corpus(vectors=True)
    config = emo_seq.Config(guide=emo_seq.Guide(joint=joint, epochs=1))
    config = replace(config, sizes=replace(config.sizes, embedding=D))
    network = emo_seq.build(config, given)
    figures = emo_seq.prepare(network, config, given)
    assert network.classifier is not None
    assert given.vectors is not None
    assert torch.equal(network.classifier.embedding, torch.from_numpy(given.vectors))
    assert network.classifier.weight.requires_grad == joint
    assert bool(figures) != joint
