"""ECM against the paper's equations (1) to (15), written plainly in numpy with the paper's letters.

One row at a time, no batch, no padding but where the released code pads. Weights are read out of
our fused matrices by name of the source (word, context, emotion, memory, state) and put side by
side as the paper writes them, [e(y); c; v_e; M_r].
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from emotone.data.batch import collate
from emotone.data.pairs import Pair
from emotone.recurrent.config import Sizes
from emotone.recurrent.responder import tiny_corpus
from emotone.systems.ecm import ECM, Config, Parts, build

PAD, EOS, GO = 0, 2, 3
#: Post, reply, emotion; the first emotion has no words of its own.
PAIRS = (
    Pair((5, 6, 7), (11, 9, 4), 1),
    Pair((8,), (12, 13), 2),
    Pair((9, 4, 5, 6, 7, 10, 11), (12, 5, 13), 0),
    Pair((5, 5), (11, 12, 13), 5),
    # Longer than the first bucket: one by its post, one by its reply.
    Pair((9, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17), (8, 8), 3),
    Pair((6,), (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 4),
)
OPTIONS = list(itertools.product(*[(False, True)] * 3, (1, 2), ("fixed", "faithful")))


def network(embedding: bool, internal: bool, external: bool, layers: int, style: Any) -> ECM:
    """A tiny ECM whose numbers, biases too, are all random."""
    faithful = style == "faithful"
    sizes = Sizes(
        embedding=5,
        encoder_hidden=6 if faithful else 4,
        encoder_layers=layers,
        bidirectional=not faithful,
        hidden=6,
        layers=layers,
        bridge="copy" if faithful else "map",
        out=0 if not faithful else 7,
        tied=not faithful,
        dropout=0.0,
        blank=0.0,
    )
    parts = Parts(embedding, internal, external, width=3, memory=4, style=style)
    made = build(Config(sizes=sizes, parts=parts), tiny_corpus("zh", "nlpcc")).double()
    draws = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in made.parameters():
            value.normal_(0, 0.7, generator=draws)
    return made


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def array(value: Any) -> np.ndarray:
    return value.detach().numpy()


@dataclass
class Paper:
    """The equations, with the weights of a network."""

    of: ECM
    faithful: bool

    def __post_init__(self) -> None:
        core, d = self.of.core, self.of.core.decoder
        self.h = d.shape.hidden
        self.m = d.shape.internal
        self.gates = 3 * self.h
        # Rows of each product with a state: its own gates, query, read gate, write gate.
        own = (2 if self.faithful else 3) * self.h
        a = self.h
        at = np.cumsum([own, a, self.m, self.m])
        weights = [array(layer.weight) for layer in d.from_state]
        biases = [array(layer.bias) for layer in d.from_state]
        self.U = [w[:own] for w in weights]
        self.U_b = [b[:own] for b in biases]
        self.W_q = np.concatenate([w[own : at[1]] for w in weights], 1)
        self.W_q_b = sum(b[own : at[1]] for b in biases)
        state_r = np.concatenate([w[at[1] : at[2]] for w in weights], 1)
        self.W_wg = np.concatenate([w[at[2] : at[3]] for w in weights], 1)
        self.b_wg = sum(b[at[2] : at[3]] for b in biases)
        # Columns of a step's input: [e(y); c; v_e].
        sources = [d.from_word, d.from_context, *([d.from_emotion] if d.from_emotion else [])]
        inputs = np.concatenate([array(s.weight) for s in sources], 1)
        bias = array(d.from_word.bias)
        self.W_rg = np.concatenate([inputs[self.gates :], state_r], 1)
        self.b_rg = bias[self.gates :] + sum(b[at[1] : at[2]] for b in biases)
        first = [inputs[: self.gates]] + ([array(d.from_memory.weight)] if d.from_memory else [])
        self.W = [np.concatenate(first, 1), *(array(b.weight) for b in d.between)]
        self.W_b = [bias[: self.gates], *(array(b.bias) for b in d.between)]
        self.C = [(array(c.weight), array(c.bias)) for c in d.candidate]
        self.W_h, self.b_h = array(d.attention.key.weight), array(d.attention.key.bias)
        self.v = array(d.attention.get_parameter("score.weight"))[0]
        self.e_x, self.e_y = array(core.source.weight), array(core.target.weight)
        self.P, self.b_P = array(core.weight), array(core.bias)

    def gru(self, layer: int, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        x_r, x_u, x_n = np.split(self.W[layer] @ x + self.W_b[layer], 3)
        held = self.U[layer] @ s + self.U_b[layer]
        if self.faithful:  # the reset gate before the product
            r, u = sigmoid(x_r + held[: self.h]), sigmoid(x_u + held[self.h :])
            weight, bias = self.C[layer]
            n = np.tanh(x_n + weight @ (r * s) + bias)
        else:
            h_r, h_u, h_n = np.split(held, 3)
            r, u = sigmoid(x_r + h_r), sigmoid(x_u + h_u)
            n = np.tanh(x_n + r * h_n)
        return u * s + (1 - u) * n

    def encode(self, post: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        """(1): states of the top layer, and each layer's last one, both directions together."""
        rnn = self.of.core.encoder.rnn
        states = self.e_x[post]
        last = []
        for layer in range(rnn.num_layers):
            ways = []
            for end in ("", "_reverse")[: 2 if rnn.bidirectional else 1]:
                w, u, b, c = (
                    array(getattr(rnn, f"{name}_l{layer}{end}"))
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
                h = np.zeros(rnn.hidden_size)
                made = []
                for x in states[::-1] if end else states:
                    x_r, x_u, x_n = np.split(w @ x + b, 3)
                    h_r, h_u, h_n = np.split(u @ h + c, 3)
                    z, r = sigmoid(x_u + h_u), sigmoid(x_r + h_r)
                    if self.faithful:
                        n = 2 * len(h)
                        h_n = u[n:] @ (r * h) + c[n:]
                        r = 1.0
                    h = z * h + (1 - z) * np.tanh(x_n + r * h_n)
                    made.append(h)
                ways.append((made[::-1] if end else made, h))
            states = np.concatenate([np.array(made) for made, _ in ways], 1)
            last.append(np.concatenate([h for _, h in ways]))
        return states, last

    def attend(self, s: list[np.ndarray], states: np.ndarray) -> np.ndarray:
        q = self.W_q @ np.concatenate(s) + self.W_q_b
        scores = [self.v @ np.tanh(self.W_h @ h + self.b_h + q) for h in states]
        return softmax(np.array(scores)) @ states

    def begin(self, post: tuple[int, ...], emotion: int, words_after: int = 0) -> None:
        """State before the first word; the released code pads to 12, 16, 20 or 30 and reverses."""
        words = list(post)
        if self.faithful:
            size = bucket(max(len(words), words_after))
            words = (words + [PAD] * (size - len(words)))[::-1]
        self.states, last = self.encode(words)
        d = self.of.core.decoder
        if d.bridge is None:
            self.s = last
        else:
            made = array(d.bridge.weight) @ np.concatenate(last) + array(d.bridge.bias)
            self.s = np.split(np.tanh(made), len(d.from_state))
        self.c = self.attend(self.s, self.states)
        of = self.of
        self.v_e = np.zeros(0) if of.embedding is None else array(of.embedding.weight)[emotion]
        self.M = np.zeros(0) if of.internal is None else array(of.internal.weight)[emotion]
        self.emotion = emotion

    def step(self, y: int) -> tuple[np.ndarray, float]:
        """(5) to (14): p of every word after y, and alpha."""
        x = np.concatenate([self.e_y[y], self.c, self.v_e])
        g_r = sigmoid(self.W_rg @ np.concatenate([x, *self.s]) + self.b_rg)  # (6)
        M_r = g_r * self.M  # (8)
        given = np.concatenate([x, M_r])  # (10)
        s = []
        for layer, before in enumerate(self.s):
            s.append(self.gru(layer, given, before))
            given = s[-1]
        self.s = s
        g_w = sigmoid(self.W_wg @ np.concatenate(s) + self.b_wg)  # (7)
        self.M = g_w * self.M  # (9)
        self.c = self.attend(s, self.states)
        o = np.concatenate([s[-1], self.c])
        out = self.of.core.decoder.out
        if out is not None:
            o = array(out.weight) @ o + array(out.bias)
        scores = self.P @ o + self.b_P
        external = self.of.external
        words = np.zeros(len(scores), bool)
        if external is not None:
            words = array(external.masks)[self.emotion]
        if external is None or not words.any():
            return softmax(scores), 0.0
        alpha = float(
            sigmoid(array(external.select.weight)[0] @ o + array(external.select.bias))[0]
        )
        p = np.zeros(len(scores))
        p[words] = alpha * softmax(scores[words])  # (11), (13), (14)
        p[~words] = (1 - alpha) * softmax(scores[~words])  # (12), (14)
        return p, alpha

    def loss(self, pair: Pair) -> tuple[float, float, float, int]:
        """(15): -sum log p(y), the types' cross entropy, |M|^2 at the end, and the words."""
        words, types = 0.0, 0.0
        gold = [*pair.reply, EOS]
        self.begin(pair.post, pair.emotion, len(gold))
        for before, y in zip([GO, *pair.reply], gold, strict=True):
            p, alpha = self.step(before)
            words -= np.log(p[y])
            if alpha:
                assert self.of.external is not None
                q = bool(self.of.external.masks[pair.emotion, y])
                types -= np.log(alpha if q else 1 - alpha)
        if self.faithful:  # the code's loop goes on to the end of the bucket
            for t in range(len(gold), bucket(max(len(gold), len(pair.post)))):
                self.step(EOS if t == len(gold) else PAD)
        return words, types, float(self.M @ self.M), len(gold)


def bucket(size: int) -> int:
    return next(b for b in (12, 16, 20, 30) if size < b)


def put(*options: Any) -> tuple[ECM, Paper]:
    made = network(*options)
    return made, Paper(made, options[-1] == "faithful")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps_are_the_paper_s(options: tuple):
    ours, paper = put(*options)
    batch = collate(PAIRS)
    with torch.inference_mode():
        state = ours.encode(batch.source, batch.source_lengths, batch.emotion)
        for t in range(4):
            token = batch.target_in[:, t]
            logits, state = ours.step(token, state)
            p = logits.softmax(-1).numpy()
            if ours.external is not None:  # these are log-probabilities already
                np.testing.assert_allclose(logits.exp().sum(-1), 1, rtol=0, atol=1e-9)
            for row, pair in enumerate(PAIRS):
                paper.begin(pair.post, pair.emotion)
                want = [paper.step(int(y))[0] for y in batch.target_in[row, : t + 1]][-1]
                np.testing.assert_allclose(want.sum(), 1, rtol=0, atol=1e-12)
                np.testing.assert_allclose(p[row], want, rtol=0, atol=1e-6)
                after = state.decoder
                for layer, s in enumerate(paper.s):
                    np.testing.assert_allclose(after.hidden[layer][row], s, rtol=0, atol=1e-6)
                np.testing.assert_allclose(after.context[row], paper.c, rtol=0, atol=1e-6)
                if after.internal is not None:
                    np.testing.assert_allclose(after.internal[row], paper.M, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_loss_is_equation_15(options: tuple):
    ours, paper = put(*options)
    ours.requires_grad_(False)
    batch = collate(PAIRS)
    terms = [paper.loss(pair) for pair in PAIRS]
    made = ours(batch)
    objective = made.token_loss / made.tokens + made.row_loss / made.rows
    memory = sum(m for _, _, m, _ in terms) / len(terms)
    if options[-1] == "faithful":  # each reply's mean, then the mean of replies
        want = sum((w + t) / n for w, t, _, n in terms) / len(terms) + memory
    else:
        want = sum(w + t for w, t, _, _ in terms) / sum(n for *_, n in terms) + memory
    assert float(objective) == pytest.approx(want, abs=1e-6)
    assert float(made.logged["nll"]) == pytest.approx(sum(w for w, *_ in terms), abs=1e-6)
    for row, nats in enumerate(ours.nll(batch)):
        assert float(nats) == pytest.approx(terms[row][0], abs=1e-6)
    assert ("memory" in made.logged) == options[1]
    assert ("type" in made.logged) == options[2]


def test_each_part_changes_what_is_said():
    """So that no part is left out by both sides alike."""
    full = network(True, True, True, 2, "fixed")
    batch = collate([PAIRS[0]] * 2)
    emotions = torch.tensor([1, 5])

    def said(model: ECM) -> torch.Tensor:
        state = model.encode(batch.source, batch.source_lengths, emotions)
        return model.step(batch.target_in[:, 0], state)[0]

    with torch.inference_mode():
        one, other = said(full)
        assert not torch.allclose(one, other)
        assert full.embedding is not None
        assert full.internal is not None
        before = said(full)
        for part in (full.embedding.weight, full.internal.weight):
            kept = part.clone()
            part.zero_()
            assert not torch.allclose(said(full), before)
            part.copy_(kept)
