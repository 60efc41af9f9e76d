"""Recurrent encoders, in one direction or both."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Cell = Literal["gru", "lstm"]


class Encoded(NamedTuple):
    """What an encoder says of a batch.

    Args:
        states: Of the top layer, both directions side by side, [B, S, m].
        last: Each layer's state after its last real token, directions side by side, [B, L, m].
        mask: True at real tokens, [B, S].
    """

    states: Tensor
    last: Tensor
    mask: Tensor


class Encoder(nn.Module):
    """GRU or LSTM over embedded tokens.

    Padding is never read: the backward direction starts at each row's last real token.

    Args:
        embedding: Width of the embedded tokens, d.
        hidden: Units of one direction, h.
        layers: Number of layers, L.
        cell: "gru" or "lstm".
        bidirectional: Whether a second pass reads from the end; then m = 2h, else m = h.
        dropout: Share dropped between layers.

    Source: Cho et al. 2014 (GRU); Emo-Seq, equations 3-1 to 3-3.
    """

    def __init__(
        self,
        embedding: int,
        hidden: int,
        layers: int,
        *,
        cell: Cell = "gru",
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.rnn = kind(
            embedding,
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.layers = layers
        self.width = hidden * (2 if bidirectional else 1)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        """Read a batch.

        Args:
            embedded: Tokens, padded at the end, [B, S, d].
            lengths: Real tokens of each row, at least 1, on the CPU, [B].
        """
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        out, last = self.rnn(packed)
        size = embedded.shape[1]
        states, _ = pad_packed_sequence(out, batch_first=True, total_length=size)
        hidden = last[0] if isinstance(last, tuple) else last
        rows = embedded.shape[0]
        # [L * directions, B, h] -> [B, L, m]
        by_layer = hidden.view(self.layers, -1, rows, hidden.shape[-1]).permute(2, 0, 1, 3)
        at = lengths.to(embedded.device, non_blocking=True)
        mask = torch.arange(size, device=embedded.device) < at[:, None]
        return Encoded(states, by_layer.reshape(rows, self.layers, self.width), mask)
