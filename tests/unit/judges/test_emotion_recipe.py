"""What judges of emotion learn from readers (recipes/judges/train_emotion.py)."""

from __future__ import annotations

import pytest
import torch
from recipes.judges.train_emotion import Text, data_hashes, label_loss, readings

from emotone.data import everyday
from emotone.emotions import EVERYDAY


def test_a_label_that_is_not_heard_becomes_unlikely_and_says_nothing_of_the_others():
    logits = torch.tensor([[2.0, 0.0, 1.0]])
    chances = logits.softmax(-1)
    loss = label_loss(logits, torch.tensor([[0.0, -1.0, 0.0]]), torch.ones(3))
    assert loss.item() == pytest.approx(-(1 - chances[0, 1]).log().item(), rel=1e-5)


def test_a_label_that_is_heard_has_smoothed_and_weighted_cross_entropy():
    logits, weights = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([1.0, 2.0, 0.5])
    loss = label_loss(logits, torch.tensor([[0.0, 1.0, 0.0]]), weights)
    logprobs = logits.log_softmax(-1)[0]
    third = 0.05 / 3
    by_hand = -(third * logprobs[0] + 2 * (0.95 + third) * logprobs[1] + third / 2 * logprobs[2])
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_readers_give_the_asked_emotion_or_take_it_away(lang: str):
    texts = list(readings(lang, "train-b"))
    ratings = everyday.ratings(lang, splits=["train-b"])
    told = {(r.post, r.reply, EVERYDAY.parse(r.emotion).label, r.heard) for r in ratings}
    assert len(texts) > 0.9 * len(ratings)
    for text in texts:
        values = text.target["everyday"]
        (asked,) = [label for label, value in zip(EVERYDAY.labels, values, strict=False) if value]
        assert (text.post, text.text, asked, int(max(values))) in told


def test_a_hash_tells_what_was_heard_from_what_was_not():
    one = Text("Oh no!", None, {"everyday": [0.0, 1.0]})
    other = one._replace(target={"everyday": [0.0, -1.0]})
    assert data_hashes([one]) != data_hashes([other])
