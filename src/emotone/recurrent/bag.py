"""Emo-Seq's classifier M(e | Y), trained before the generator and then frozen.

A plain loop of seconds, which a resumed training makes again: it needs no checkpoint and is not a
`training.run.Run`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from emotone.data.pairs import Pairs
from emotone.nn.expected import BagClassifier
from emotone.recurrent.corpus import Corpus
from emotone.training.seeding import seed_for

#: Replies a step, and the learning rate.
BATCH, RATE = 256, 0.01


def fit_bag(
    classifier: BagClassifier, corpus: Corpus, *, epochs: int, seed: int, tune: bool
) -> dict[str, float]:
    """Train the classifier on the labelled training replies, each emotion weighing the same.

    Args:
        classifier: Changed in place; without gradient afterwards.
        corpus: Pairs with emotions; and word vectors, if there are, are its input.
        epochs: Passes over the replies.
        seed: Of the order of the replies.
        tune: Whether the embeddings are trained too, for where there are no word vectors.

    Returns:
        Accuracy on development replies and the share of their largest class.

    Source: Emo-Seq, equation 3-12 (W_e alone is trained there).
    """
    with torch.no_grad():
        if corpus.vectors is not None:
            classifier.embedding.copy_(torch.from_numpy(corpus.vectors))
        classifier.weight.zero_()
    classifier.requires_grad_(True)
    parameters = [classifier.weight]
    if tune:
        classifier.embedding.requires_grad_(True)
        parameters.append(classifier.embedding)  # pyright: ignore[reportArgumentType]
    labels = torch.from_numpy(corpus.train.emotions).long()
    counts = torch.bincount(labels, minlength=len(classifier.weight)).clamp_min(1)
    weight = len(labels) / (len(counts) * counts.float())
    optimizer = torch.optim.Adam(parameters, lr=RATE)
    draws = np.random.default_rng(seed_for(seed, "bag"))
    for _ in range(epochs):
        order = draws.permutation(len(labels))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            logits = classifier(_means(classifier, corpus.train, rows))
            loss = cross_entropy(logits, labels[rows], weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    classifier.requires_grad_(False)
    classifier.embedding.requires_grad_(False)
    gold = torch.from_numpy(corpus.dev.emotions).long()
    if not len(gold):
        return {}
    with torch.no_grad():
        predicted = classifier(_means(classifier, corpus.dev, np.arange(len(gold)))).argmax(-1)
    return {
        "classifier_accuracy": float((predicted == gold).float().mean()),
        "largest_class": float(torch.bincount(gold).max() / len(gold)),
    }


def _means(classifier: BagClassifier, pairs: Pairs, rows: np.ndarray) -> torch.Tensor:
    """Mean embedding of some replies, [B, d]."""
    replies = [pairs[int(i)].reply for i in rows]
    flat = torch.tensor([w for reply in replies for w in reply], dtype=torch.long)
    starts = np.cumsum([0, *(len(r) for r in replies[:-1])])
    return torch.nn.functional.embedding_bag(
        flat, classifier.embedding, torch.from_numpy(starts), mode="mean"
    )
