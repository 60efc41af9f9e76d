"""Recurrent encoders, in one direction or both."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from emotone.nn.cells import gru_reset_first, uniform

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
        reset_first: GRU with the reset gate before the candidate's product; see
            `cells.gru_reset_first`. For one direction only, and a LSTM has no such gate.

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
        reset_first: bool = False,
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
        self.reset_first = reset_first and cell == "gru"
        if self.reset_first and bidirectional:
            raise ValueError("a GRU that resets first reads in one direction here")
        self.width = hidden * (2 if bidirectional else 1)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        """Read a batch.

        Args:
            embedded: Tokens, padded at the end, [B, S, d].
            lengths: Real tokens of each row, at least 1, on the CPU, [B].
        """
        if self.reset_first:
            return self._reset_first(embedded, lengths)
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

    def _reset_first(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        rnn, (rows, size, _) = self.rnn, embedded.shape
        h = rnn.hidden_size
        mask = (torch.arange(size) < lengths[:, None]).to(embedded.device)
        states, last = embedded, list[Tensor]()
        for layer in range(self.layers):
            if layer:
                states = dropout(states, rnn.dropout, self.training)
            w, u, b, c = self._weights(layer)
            inputs = linear(states, w, b)
            candidate = partial(linear, weight=u[2 * h :], bias=c[2 * h :])
            state, steps = embedded.new_zeros(rows, h), list[Tensor]()
            for t in range(size):
                gates = linear(state, u[: 2 * h], c[: 2 * h])
                after = gru_reset_first(inputs[:, t], gates, state, candidate)
                state = torch.where(mask[:, t, None], after, state)
                steps.append(state)
            states = torch.stack(steps, 1) * mask[..., None]
            last.append(state)
        return Encoded(states, torch.stack(last, 1), mask)

    def _weights(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of input and state, [3h, d] and [3h, h], and their biases, [3h] each."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w, u, b, c = (self.rnn.get_parameter(f"{name}_l{layer}") for name in names)
        return w, u, b, c

    @torch.no_grad()
    def start_unit_scaled(self) -> None:
        """Start a GRU as TensorFlow 0.12 does; see `Seq2Seq.start_unit_scaled`."""
        if not isinstance(self.rnn, nn.GRU) or self.rnn.bidirectional:
            return
        h = self.rnn.hidden_size
        for layer in range(self.layers):
            w, u, b, c = self._weights(layer)
            uniform(w, w.shape[1] + h)
            uniform(u, w.shape[1] + h)
            for bias in (b, c):
                bias.zero_()
            b[: 2 * h] = 1.0
