"""ECM's loss written plainly from its equations, one step at a time, as an oracle.

No matrix is shared between steps, nothing is projected before or after the loop, and each step
makes two softmaxes over the whole vocabulary. It reads the weights of the fast model, so that both
must lose the same and have the same gradients; `bench.recurrent` says what the fast way saves.

Source: Zhou et al. 2018 (ECM), equations 1 to 15 as in `emotone.systems.ecm`, style "fixed".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from emotone.data.batch import Batch
from emotone.nn.attention import Additive
from emotone.nn.losses import Losses
from emotone.systems.ecm import ECM


def naive_losses(model: ECM, batch: Batch) -> Losses:
    """Return what `model(batch)` returns, the slow way; without dropout and for all parts."""
    core, external = model.core, model.external
    if model.embedding is None or model.internal is None or external is None or model.faithful:
        raise ValueError("the oracle has all parts and the style 'fixed'")
    w = _Weights(model)
    # (1) encoder, and the decoder's first states.
    encoded = core.encoder(core.source(batch.source), batch.source_lengths)
    rows = len(batch.source)
    first = torch.tanh(linear(encoded.last.reshape(rows, -1), *w.bridge))
    s = list(first.chunk(w.layers, -1))
    v_e = model.embedding(batch.emotion)
    memory = model.internal(batch.emotion)
    masks = external.masks[batch.emotion]
    c = _attention(w, encoded.states, encoded.mask, s)
    words, types = encoded.states.new_zeros(()), encoded.states.new_zeros(())
    nll_sum, left = encoded.states.new_zeros(()), encoded.states.new_zeros(())
    for t in range(batch.target_in.shape[1]):
        e_y = core.target(batch.target_in[:, t])
        # (6) to (8) read gate and what is read; it is made from the states before the step.
        gate = linear(e_y, *w.read_word) + linear(c, w.read_context) + linear(v_e, w.read_emotion)
        gate = gate + _total([linear(s[i], *w.read_state[i]) for i in range(w.layers)])
        read = torch.sigmoid(gate) * memory
        # (10) the layers.
        x = linear(e_y, *w.word) + linear(c, w.context) + linear(v_e, w.emotion)
        x = x + linear(read, w.memory)
        for i in range(w.layers):
            if i:
                x = linear(s[i - 1], *w.between[i - 1])
            s[i] = _gru(x, linear(s[i], *w.state[i]), s[i])
        # (7), (9) write gate: the memory only decays.
        write = _total([linear(s[i], *w.write_state[i]) for i in range(w.layers)])
        memory = torch.sigmoid(write) * memory
        c = _attention(w, encoded.states, encoded.mask, s)
        # (11) to (14) two softmaxes and the type.
        features = torch.cat((s[-1], c), -1)
        if w.out is not None:
            features = linear(features, *w.out)
        logits = linear(features, core.weight, core.bias)
        within = logits.masked_fill(~masks, -torch.inf).softmax(-1)
        others = logits.masked_fill(masks, -torch.inf).softmax(-1)
        alpha = torch.sigmoid(external.select(features))
        p = alpha * within + (1 - alpha) * others
        # (15), over the rows that still speak.
        gold = batch.target_out[:, t, None]
        real = t < batch.target_lengths
        nll = -p.gather(1, gold)[:, 0].log()
        is_emotion = masks.gather(1, gold)[:, 0]
        type_ = -torch.where(is_emotion, alpha[:, 0], 1 - alpha[:, 0]).log()
        words = words + nll[real].sum()
        types = types + type_[real].sum()
        nll_sum = nll_sum + nll[real].sum().detach()
        left = left + memory[t == batch.target_lengths - 1].square().sum()
    return Losses(
        words + types,
        int(batch.target_lengths.sum()),
        left,
        rows,
        {"nll": nll_sum, "type": types.detach(), "memory": left.detach()},
    )


class _Weights:
    """The decoder's matrices, taken apart by what the equations call them."""

    def __init__(self, model: ECM) -> None:
        decoder = model.core.decoder
        shape, h, m = decoder.shape, decoder.shape.hidden, decoder.shape.internal
        self.layers = shape.layers
        gates = 3 * h
        word, context = decoder.from_word, decoder.from_context
        if decoder.from_emotion is None or decoder.from_memory is None or decoder.bridge is None:
            raise ValueError("the oracle maps the first states and has all parts")
        self.word = word.weight[:gates], word.bias[:gates]
        self.read_word = word.weight[gates:], word.bias[gates:]
        self.context, self.read_context = context.weight[:gates], context.weight[gates:]
        emotion = decoder.from_emotion.weight
        self.emotion, self.read_emotion = emotion[:gates], emotion[gates:]
        self.memory = decoder.from_memory.weight
        self.between = [_of(layer) for layer in decoder.between]
        self.bridge = decoder.bridge.weight, decoder.bridge.bias
        self.out = None if decoder.out is None else (decoder.out.weight, decoder.out.bias)
        if not isinstance(decoder.attention, Additive):
            raise ValueError("the oracle's attention is additive")
        self.key, self.score = decoder.attention.key, decoder.attention.score
        sizes = [gates, h, m, m]
        parts = [
            list(zip(weight.split(sizes), bias.split(sizes), strict=True))
            for weight, bias in map(_of, decoder.from_state)
        ]
        self.state = [p[0] for p in parts]
        self.query = [p[1] for p in parts]
        self.read_state = [p[2] for p in parts]
        self.write_state = [p[3] for p in parts]


def _of(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias  # pyright: ignore[reportReturnType]


def _total(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum(0)


def _gru(inputs: Tensor, gates: Tensor, state: Tensor) -> Tensor:
    x_r, x_u, x_n = inputs.chunk(3, -1)
    h_r, h_u, h_n = gates.chunk(3, -1)
    r, u = torch.sigmoid(x_r + h_r), torch.sigmoid(x_u + h_u)
    return u * state + (1 - u) * torch.tanh(x_n + r * h_n)


def _attention(w: _Weights, states: Tensor, mask: Tensor, s: list[Tensor]) -> Tensor:
    """(2) context: additive attention, keys projected anew at every step."""
    query = _total([linear(s[i], *w.query[i]) for i in range(w.layers)])
    keys = w.key(states)
    scores = w.score(torch.tanh(keys + query[:, None]))[..., 0]
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return (weights[..., None] * states).sum(1)
