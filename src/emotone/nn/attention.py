"""Attention of a decoder over the states of an encoder; what is projected once is a value."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Memory(NamedTuple):
    """What a decoder may attend to.

    Args:
        values: Encoder states, [B, S, m].
        keys: Their projection, [B, S, a]; made once a batch, not once a step.
        mask: True at real tokens, [B, S].
    """

    values: Tensor
    keys: Tensor
    mask: Tensor


class Additive(nn.Module):
    """Additive attention: score_j = v^T tanh(W_h h_j + W_q q + b).

    Args:
        memory: Width of the encoder's states, m.
        width: Width of the hidden layer, a.
        query: Width of the decoder's state, q; None where the decoder projects its state itself.

    Source: Bahdanau et al. 2015, appendix A.1.2; ECM's released code.
    """

    def __init__(self, memory: int, width: int, query: int | None = None) -> None:
        super().__init__()
        self.width = width
        self.key = nn.Linear(memory, width)
        self.query = None if query is None else nn.Linear(query, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend with a projected query.

        Args:
            query: W_q q, [B, a].
            memory: What to attend to.

        Returns:
            Context [B, m], and weights [B, S] that sum to 1 over real tokens.
        """
        hidden = torch.tanh(memory.keys + query[:, None])
        return _read(self.score(hidden)[..., 0], memory)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend with the decoder's state [B, q]; see `attend`."""
        return self.attend(query if self.query is None else self.query(query), memory)


class General(nn.Module):
    """General (bilinear) attention: score_j = q^T W_a h_j.

    W_a is applied to the encoder's states, once a batch, so a step is two products.

    Args:
        memory: Width of the encoder's states, m.
        query: Width of the decoder's state, q.

    Source: Luong et al. 2015, section 3.1; Emo-Seq, equation 3-4.
    """

    query = None

    def __init__(self, memory: int, query: int) -> None:
        super().__init__()
        self.width = query
        self.key = nn.Linear(memory, query, bias=False)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend with the decoder's state [B, q]; returns context [B, m] and weights [B, S]."""
        return _read(torch.bmm(memory.keys, query[..., None])[..., 0], memory)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """See `attend`."""
        return self.attend(query, memory)


def project(attention: Additive | General, values: Tensor, mask: Tensor) -> Memory:
    """Make the memory of a batch from encoder states [B, S, m] and their mask [B, S].

    The mask is True at real tokens; a row without one has no context, and its weights are NaN.
    """
    return Memory(values, attention.key(values), mask)


def _read(scores: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    weights = scores.masked_fill(~memory.mask, -torch.inf).softmax(-1)
    return torch.bmm(weights[:, None], memory.values)[:, 0], weights
