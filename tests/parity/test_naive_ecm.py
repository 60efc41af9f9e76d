"""ECM's fast loss against its equations written plainly, one step at a time."""

from __future__ import annotations

import copy

import pytest
import torch
from bench.naive_ecm import naive_losses
from torch import nn

from emotone.data.batch import collate
from emotone.data.pairs import Pair
from emotone.nn.memory import ExternalMemory, word_masks
from emotone.recurrent import model as networks
from emotone.recurrent.config import Sizes
from emotone.systems.ecm import ECM

WORDS = 23
LISTS = [[5, 9, 11], [4, 9, 20, 21], []]
PAIRS = [
    Pair((5, 6, 7), (9, 8), 0),
    Pair((8,), (20, 9, 4, 5, 21, 6), 1),
    Pair((11, 12, 13, 14, 15), (7,), 1),
    Pair((4, 4), (11, 5, 22, 10), 0),
]


def made(layers: int, bidirectional: bool, tied: bool) -> ECM:
    torch.manual_seed(7)
    sizes = Sizes(
        embedding=6, encoder_hidden=5, encoder_layers=layers, bidirectional=bidirectional,
        hidden=7, layers=layers, out=0 if tied else 4, tied=tied, dropout=0.0, blank=0.0,
    )  # fmt: skip
    core = networks.core(WORDS, sizes, emotion=3, internal=4)
    model = ECM(core, 3, 3, 4, ExternalMemory(core.decoder.width, word_masks(LISTS, WORDS)))
    for parameter in model.parameters():  # no bias is 0, no gate at its start
        nn.init.uniform_(parameter, -0.6, 0.6)
    return model.double()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("bidirectional", "tied"), [(True, False), (False, True)])
def test_fast_and_plain_lose_the_same_and_learn_the_same(layers, bidirectional, tied):
    fast = made(layers, bidirectional, tied)
    plain, batch = copy.deepcopy(fast), collate(PAIRS)
    a, b = fast(batch), naive_losses(plain, batch)
    assert (a.tokens, a.rows) == (b.tokens, b.rows) == (17, 4)
    torch.testing.assert_close(a.token_loss, b.token_loss)
    torch.testing.assert_close(a.row_loss, b.row_loss)
    assert a.logged.keys() == b.logged.keys()
    for name, value in a.logged.items():
        torch.testing.assert_close(value, b.logged[name])
    for lost in (a, b):
        (lost.token_loss / lost.tokens + lost.row_loss / lost.rows).backward()
    learnt = dict(plain.named_parameters())
    for name, parameter in fast.named_parameters():
        wanted = learnt[name].grad
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        torch.testing.assert_close(parameter.grad, wanted, msg=name)
