"""The attentional decoder of all recurrent systems: one step, and the whole target at once.

A system adds to it what its paper adds: an emotion at every step (`emotion`), ECM's internal
memory (`internal`). All maps of one source are one matrix, so that a step is one product with the
state, one with the context and, with an internal memory, one with what was read; words and emotion
are projected before the loop, words of the output after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from emotone.nn.attention import Additive, General, Memory, project
from emotone.nn.cells import gru, gru_reset_first, lstm, uniform
from emotone.nn.encoder import Cell, Encoded


class State(NamedTuple):
    """A decoder between two steps; every tensor has the batch first, so `select` can reorder it.

    Args:
        hidden: State of each layer, [B, h].
        cells: Cell state of each layer of an LSTM, [B, h]; empty for a GRU.
        gates: What each layer's state adds to its next gates, [B, G].
        context: Attention's context, [B, m].
        emotion: What the emotion adds to the gates, [B, G + M]; None without one.
        internal: Internal memory, [B, M]; None without one.
        read: What the states add to the read gate, [B, M]; None without an internal memory.
        memory: The encoder's states.
    """

    hidden: tuple[Tensor, ...]
    cells: tuple[Tensor, ...]
    gates: tuple[Tensor, ...]
    context: Tensor
    emotion: Tensor | None
    internal: Tensor | None
    read: Tensor | None
    memory: Memory


class Unrolled(NamedTuple):
    """Every step of a target.

    Args:
        hidden: States of the top layer, [B, T, h].
        context: Contexts, [B, T, m].
        internal: Internal memory after each step, [B, T, M]; None without one.
    """

    hidden: Tensor
    context: Tensor
    internal: Tensor | None


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Widths and variants of a decoder.

    Args:
        embedding: Width of a token, d.
        hidden: Units of a layer, h.
        layers: Number of layers.
        cell: "gru" or "lstm".
        attention: "additive" or "general".
        emotion: Width of the emotion embedding in every step's input; 0 for none.
        internal: Width of ECM's internal memory, M; 0 for none.
        bridge: "map": first states are tanh of a linear map of the encoder's last states; "copy":
            they are those states, which must have the same shape.
        first_context: "attention" of the first state, or the encoder's "last" state.
        reads: What the words are predicted from: "state" and context, or the "state" alone.
        out: Width of the features that words are predicted from; 0 leaves them as they are.
        dropout: Share dropped of tokens, between layers and of features.
        reset_first: GRU with the reset gate before the candidate's product, as Cho et al. print
            it and TensorFlow computes it; otherwise after it, as cuDNN does.
    """

    embedding: int
    hidden: int
    layers: int = 1
    cell: Cell = "gru"
    attention: Literal["additive", "general"] = "additive"
    emotion: int = 0
    internal: int = 0
    bridge: Literal["map", "copy"] = "map"
    first_context: Literal["attention", "last"] = "attention"
    reads: Literal["state+context", "state"] = "state+context"
    out: int = 0
    dropout: float = 0.0
    reset_first: bool = False


class Decoder(nn.Module):
    """Recurrent layers with attention and input feeding of the last step's context.

    Step t, with y the previous word and c the previous context (the letters of ECM):

        g^r = sigmoid(W [e(y); c; v_e; s^1; ..; s^L])      read gate, ECM equation 6
        s^1 = cell([e(y); c; v_e; g^r * M], s^1)           ECM equation 10
        s^l = cell(s^{l-1}, s^l)
        g^w = sigmoid(W [s^1; ..; s^L]);  M = g^w * M      write gate and memory, equations 7, 9
        c   = attention([s^1; ..; s^L])
        o   = W_o [s^L; c]                                 features

    ECM's paper lists three inputs of the read gate; its code adds v_e and all layers, and so do we.
    General attention asks with the top layer's state alone.

    Args:
        shape: Widths and variants.
        source: Width of the encoder's states, m.
        source_layers: Layers of the encoder.

    Raises:
        ValueError: If states cannot be copied from an encoder of another shape.

    Source: Zhou et al. 2018 (ECM), equations 2, 5-10, and its released code; Emo-Seq, 3-6, 3-9.
    """

    def __init__(self, shape: DecoderShape, source: int, source_layers: int) -> None:
        super().__init__()
        self.shape = shape
        h, layers = shape.hidden, shape.layers
        self._gates = (3 if shape.cell == "gru" else 4) * h
        first = shape.cell == "gru" and shape.reset_first
        own = 2 * h if first else self._gates
        self.attention: Additive | General
        if shape.attention == "additive":
            self.attention = Additive(source, h)
            asks = h
        else:
            self.attention = General(source, h)
            asks = 0
        m = shape.internal
        #: Parts of a product with a state: own gates, query, read gate, write gate.
        self._parts = [own, asks, m, m]
        self.from_state = nn.ModuleList(nn.Linear(h, sum(self._parts)) for _ in range(layers))
        self.candidate = nn.ModuleList(nn.Linear(h, h) for _ in range(layers if first else 0))
        self.from_word = nn.Linear(shape.embedding, self._gates + m)
        self.from_context = nn.Linear(source, self._gates + m, bias=False)
        self.from_emotion = (
            nn.Linear(shape.emotion, self._gates + m, bias=False) if shape.emotion else None
        )
        self.from_memory = nn.Linear(m, self._gates, bias=False) if m else None
        self.between = nn.ModuleList(nn.Linear(h, self._gates) for _ in range(layers - 1))
        self.dropout = nn.Dropout(shape.dropout)
        self.bridge: nn.Linear | None = None
        kinds = 1 if shape.cell == "gru" else 2
        if shape.bridge == "map":
            self.bridge = nn.Linear(source_layers * source, kinds * layers * h)
        elif (source_layers, source) != (layers, h):
            raise ValueError(
                f"the encoder has {source_layers} layers of {source} and the decoder {layers} of"
                f" {h}; set bridge to 'map'"
            )
        read = h + source if shape.reads == "state+context" else h
        self.out = nn.Linear(read, shape.out) if shape.out else None
        self.width = shape.out or read
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with open read and write gates (bias 1, as in ECM's code) and orthogonal states."""
        own, asks, m, _ = self._parts
        h = self.shape.hidden
        with torch.no_grad():
            for layer in self.from_state:
                for start in range(0, own, h):
                    nn.init.orthogonal_(layer.weight[start : start + h])  # pyright: ignore
                if m:
                    layer.bias[own + asks :] = 1.0 / len(self.from_state)  # pyright: ignore
            self.from_word.bias[self._gates :] = 0.0
            if self.shape.cell == "lstm":  # the forget gate is open at first
                self.from_word.bias[h : 2 * h] = 1.0

    @torch.no_grad()
    def start_unit_scaled(self) -> None:
        """Start a GRU that resets first as TensorFlow 0.12 does; see `Seq2Seq.start_unit_scaled`.

        Inputs of a matrix are those of the product that it is a part of there: gates and candidate
        [e(y); c; s], emotion and memory by themselves, read gate [e(y); c; v_e; s^1; ..; s^L],
        write gate and query [s^1; ..; s^L].
        """
        shape, (own, asks, m, _) = self.shape, self._parts
        if not len(self.candidate):
            return
        h, gates, layers = shape.hidden, self._gates, len(self.from_state)
        states, source = layers * h, self.from_context.in_features
        first = shape.embedding + source + h
        read = shape.embedding + source + shape.emotion + states
        for part in (self.from_word, self.from_context):
            uniform(part.weight[:gates], first)
            uniform(part.weight[gates:], read)
        if self.from_emotion is not None:
            uniform(self.from_emotion.weight[:gates], shape.emotion + m)
            uniform(self.from_emotion.weight[gates:], read)
        if self.from_memory is not None:
            uniform(self.from_memory.weight, shape.emotion + m)
        every: Any = zip(self.from_state, self.candidate, strict=True)
        for i, (state, candidate) in enumerate(every):
            inputs = 2 * h if i else first
            for start, size, n in (
                *((0, own, inputs), (own, asks, states)),
                *((own + asks, m, read), (own + asks + m, m, states)),
            ):
                uniform(state.weight[start : start + size], n)
            uniform(candidate.weight, inputs)
            state.bias[: own + asks] = 0.0
            candidate.bias.zero_()
        layers_between: Any = self.between
        for layer in layers_between:
            uniform(layer.weight, 2 * h)
        for layer in (self.from_word, *layers_between):
            layer.bias.zero_()
            layer.bias[: 2 * h] = 1.0
        if isinstance(self.attention, Additive):
            uniform(self.attention.key.weight, source)
            self.attention.key.bias.zero_()
            uniform(self.attention.score.weight, 1)
        if self.out is not None:
            uniform(self.out.weight, self.out.in_features)
            self.out.bias.zero_()

    def start(
        self, encoded: Encoded, emotion: Tensor | None = None, internal: Tensor | None = None
    ) -> State:
        """Return the state before the first word.

        Args:
            encoded: The encoder's states.
            emotion: Emotion embedding of each row, v_e, [B, e]; needed if the shape has one.
            internal: Internal memory of each row before the first word, [B, M]; likewise.
        """
        memory = project(self.attention, encoded.states, encoded.mask)
        shape, rows = self.shape, encoded.states.shape[0]
        cells: tuple[Tensor, ...] = ()
        if self.bridge is None:
            hidden = encoded.last.unbind(1)
            if shape.cell == "lstm":
                cells = tuple(torch.zeros_like(s) for s in hidden)
        else:
            states = torch.tanh(self.bridge(encoded.last.reshape(rows, -1)))
            parts = states.split(shape.hidden, -1)
            hidden, cells = parts[: shape.layers], parts[shape.layers :]
        gates, query, read, _ = self._project(hidden)
        if shape.first_context == "attention":
            context, _ = self.attention.attend(self._ask(query, hidden), memory)
        else:
            at = encoded.mask.sum(1) - 1
            context = encoded.states[torch.arange(rows, device=at.device), at]
        fixed = None
        if self.from_emotion is not None and emotion is not None:
            fixed = self.from_emotion(emotion)
        return State(tuple(hidden), tuple(cells), gates, context, fixed, internal, read, memory)

    def advance(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one word.

        Args:
            embedded: The previous word, [B, d].
            state: State before it.

        Returns:
            Features [B, width], and the state after it.
        """
        state = self._step(self.from_word(self.dropout(embedded)), state)
        return self.features(state.hidden[-1], state.context), state

    def unroll(self, embedded: Tensor, state: State) -> Unrolled:
        """Take all words of known targets (teacher forcing).

        Args:
            embedded: Each step's previous word, [B, T, d].
            state: State before the first.
        """
        words = self.from_word(self.dropout(embedded))
        hidden: list[Tensor] = []
        context: list[Tensor] = []
        internal: list[Tensor] = []
        for word in words.unbind(1):
            state = self._step(word, state)
            hidden.append(state.hidden[-1])
            context.append(state.context)
            if state.internal is not None:
                internal.append(state.internal)
        return Unrolled(
            torch.stack(hidden, 1),
            torch.stack(context, 1),
            torch.stack(internal, 1) if internal else None,
        )

    def features(self, hidden: Tensor, context: Tensor) -> Tensor:
        """Return what words are predicted from: states [.., h] and contexts [.., m] to [.., out].

        Linear, and outside of the loop over steps, so training computes it once for all steps.
        """
        read = hidden
        if self.shape.reads == "state+context":
            read = torch.cat((hidden, context), -1)
        return self.dropout(read if self.out is None else self.out(read))

    def _project(
        self, hidden: tuple[Tensor, ...] | list[Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor | None, Tensor | None]:
        """Return gates of each layer, and the query, read and write gate of all together."""
        parts = [
            layer(state).split(self._parts, -1)
            for layer, state in zip(self.from_state, hidden, strict=True)
        ]
        query, read, write = (_sum([p[i] for p in parts]) for i in (1, 2, 3))
        gates = tuple(p[0] for p in parts)
        if not self.shape.internal:
            return gates, query, None, None
        return gates, query, read, write

    def _ask(self, query: Tensor, hidden: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
        return query if self._parts[1] else hidden[-1]

    def _step(self, word: Tensor, state: State) -> State:
        inputs = word + self.from_context(state.context)
        if state.emotion is not None:
            inputs = inputs + state.emotion
        if self.from_memory is not None and state.internal is not None and state.read is not None:
            inputs, read_inputs = inputs.split([self._gates, self.shape.internal], -1)
            read_gate = torch.sigmoid(read_inputs + state.read)  # g^r, eq. 6
            inputs = inputs + self.from_memory(read_gate * state.internal)  # M_r, eq. 8
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        for i, (before, gates) in enumerate(zip(state.hidden, state.gates, strict=True)):
            if i:
                inputs = self.between[i - 1](self.dropout(hidden[-1]))
            if self.shape.cell == "lstm":
                now, cell = lstm(inputs, gates, state.cells[i])
                cells.append(cell)
            elif self.shape.reset_first:
                now = gru_reset_first(inputs, gates, before, self.candidate[i])
            else:
                now = gru(inputs, gates, before)
            hidden.append(now)
        own, query, read, write = self._project(hidden)
        internal = state.internal
        if internal is not None and write is not None:
            write_gate = torch.sigmoid(write)  # g^w, eq. 7
            internal = write_gate * internal  # eq. 9
        context, _ = self.attention.attend(self._ask(query, hidden), state.memory)
        return State(
            tuple(hidden), tuple(cells), own, context, state.emotion, internal, read, state.memory
        )


def _sum(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
