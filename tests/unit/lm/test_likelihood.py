"""How likely replies are: as the model's own loss says, whatever shares the batch."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from emotone.errors import DataError
from emotone.lm.likelihood import reply_nats, token_nats
from emotone.models.tiny import tiny_causal_lm

ROWS = [([5, 6, 7, 8], "Oh no!"), ([9], "a much longer reply than the first"), ([3, 4], "")]

#: Sums of float32 in another order.
CLOSE = 1e-4


@pytest.fixture(scope="module")
def lm():
    return tiny_causal_lm()


@pytest.mark.parametrize("end", [False, True])
def test_it_is_the_loss_of_transformers(lm, end: bool):
    for head, text in ROWS[:2]:
        tail = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
        tail = [*tail, lm.tokenizer.eos_token_id] if end else tail
        ids = torch.tensor([[*head, *tail]])
        labels = torch.tensor([[-100] * len(head) + tail])
        loss = lm.model(input_ids=ids, labels=labels).loss.item()
        (ours,) = token_nats(lm.model, lm.tokenizer, [(head, text)], end=end)
        assert len(ours) == len(tail)
        assert float(ours.mean()) == pytest.approx(loss, abs=CLOSE)


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_batches_change_nothing_and_order_is_kept(lm, batch: int):
    made = reply_nats(lm.model, lm.tokenizer, ROWS * 2, batch=batch)
    alone = [reply_nats(lm.model, lm.tokenizer, [row])[0] for row in ROWS * 2]
    assert [n for _, n in made] == [n for _, n in alone] == [7, 35, 1] * 2
    for (nats, _), (one, _) in zip(made, alone, strict=True):
        assert nats == pytest.approx(one, rel=CLOSE)


def test_what_surrounds_a_pass_is_told_which_rows_it_holds(lm):
    seen: list[list[int]] = []

    @contextmanager
    def steer(places):
        seen.append(list(places))
        yield

    reply_nats(lm.model, lm.tokenizer, ROWS, batch=2, steer=steer)
    assert seen == [[2, 0], [1]]  # rows of like length together


def test_nothing_gives_nothing_and_too_long_is_refused(lm):
    assert token_nats(lm.model, lm.tokenizer, []) == []
    with pytest.raises(DataError, match="exceeds the model's 2048"):
        token_nats(lm.model, lm.tokenizer, [([5] * 2040, "too long a reply")])
