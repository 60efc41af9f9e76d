"""Emo-Seq against its equations (3-1) to (3-16), written plainly in numpy with their letters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from emotone.data.batch import collate
from emotone.data.pairs import Pair
from emotone.recurrent.config import Sizes
from emotone.recurrent.responder import tiny_corpus
from emotone.systems.emo_seq import Config, EmoSeq, Guide, build

EOS, GO = 2, 3
V = 23
PAIRS = (
    Pair((5, 6, 7), (11, 9, 4), 1),
    Pair((8,), (12, 13), 2),
    Pair((9, 4, 5, 6, 7, 10, 11), (12, 5, 13), 0),
    Pair((5, 5), (), 5),
)
GUIDES = (
    Guide(width=3),
    Guide(width=3, renormalise=False),
    Guide(width=3, threshold=0.05, most=4, weight=0.5),
    Guide(width=3, threshold=0.05, most=4, renormalise=False),
    Guide(width=3, threshold=0.5, most=2),
    Guide(width=3, threshold=0.0, most=V, renormalise=False, joint=True),
    Guide(width=3, weight=0.0),
    Guide(width=0),
    Guide(width=3, tag=False),
    Guide(width=3, weight=1.0, scale="printed"),
)


def network(guide: Guide, layers: int = 1, reads: Any = "state") -> EmoSeq:
    """A tiny Emo-Seq with the paper's parts, whose numbers, biases too, are all random."""
    sizes = Sizes(
        embedding=5,
        encoder_hidden=3,
        encoder_layers=layers,
        hidden=6,
        layers=layers,
        cell="lstm",
        attention="general",
        first_context="last",
        reads=reads,
        tied=False,
        dropout=0.0,
        blank=0.0,
    )
    corpus = tiny_corpus("en", "ekman")
    made = build(Config(sizes=sizes, guide=guide), corpus).double()
    assert (len(made.core.bias), made.core.decoder.width) == (V, 6 if reads == "state" else 12)
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in made.parameters():
            value.normal_(0, 0.7, generator=draws)
        if made.classifier is not None:
            made.classifier.embedding.normal_(0, 1, generator=draws)
    return made


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def lstm(gates: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, f, g, o = np.split(gates, 4)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


class Paper:
    """The equations on the weights of a network, one reply at a time."""

    def __init__(self, of: EmoSeq) -> None:
        self.of = of
        self.w = {k: v.detach().numpy() for k, v in of.named_parameters()}
        self.layers = len(of.core.decoder.from_state)

    def encode(self, post: tuple[int, ...], e: int) -> tuple[np.ndarray, np.ndarray]:
        """(3-1) to (3-3), (3-8): H^Enc, and each layer's last states."""
        x = [self.w["core.source.weight"][i] for i in post]
        if self.of.tag is not None:
            x.append(self.w["tag.weight"][e])  # {x_1 .. x_m, e_x}
        last = []
        for layer in range(self.layers):
            ways = []
            for end in ("", "_reverse"):
                w, u, b, c = (
                    self.w[f"core.encoder.rnn.{name}_l{layer}{end}"]
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
                h = cell = np.zeros(3)
                made = []
                for x_i in x[::-1] if end else x:
                    h, cell = lstm(w @ x_i + b + u @ h + c, cell)
                    made.append(h)
                ways.append(made[::-1] if end else made)
                last.append(h)
            x = [np.concatenate(both) for both in zip(*ways, strict=True)]
        return np.array(x), np.concatenate(last)

    def run(self, pair: Pair) -> list[np.ndarray]:
        """(3-4) to (3-7), (3-9), (3-11): P(y_t) of each step."""
        w, d = self.w, "core.decoder."
        states, last = self.encode(pair.post, pair.emotion)
        first = np.tanh(w[d + "bridge.weight"] @ last + w[d + "bridge.bias"])
        parts = np.split(first, 2 * self.layers)
        h, cells = parts[: self.layers], parts[self.layers :]
        context = states[-1]  # (3-7)
        e_y = self.of.embedding
        e_y = np.zeros(0) if e_y is None else w["embedding.weight"][pair.emotion]
        sources = ["from_word", "from_context", *(["from_emotion"] if len(e_y) else [])]
        W = np.concatenate([w[f"{d}{s}.weight"] for s in sources], 1)
        found = []
        for y in (GO, *pair.reply):
            given = W @ np.concatenate([w["core.target.weight"][y], context, e_y])  # (3-9)
            given = given + w[d + "from_word.bias"]
            for layer in range(self.layers):
                if layer:
                    given = w[f"{d}between.{layer - 1}.weight"] @ h[layer - 1]
                    given = given + w[f"{d}between.{layer - 1}.bias"]
                held = w[f"{d}from_state.{layer}.weight"] @ h[layer]
                held = held + w[f"{d}from_state.{layer}.bias"]
                h[layer], cells[layer] = lstm(given + held, cells[layer])
            alpha = softmax(h[-1] @ w[d + "attention.key.weight"] @ states.T)  # (3-4)
            context = alpha @ states  # (3-5)
            if self.of.core.decoder.shape.reads == "state":
                read = h[-1]  # (3-11) as printed
            else:
                read = np.concatenate([h[-1], context])
            found.append(softmax(w["core.output"] @ read + w["core.bias"]))
        return found

    def expected(self, p: np.ndarray) -> np.ndarray:
        """(3-13): Emb_new of one step."""
        guide, classifier = self.of.guide, self.of.classifier
        assert classifier is not None
        order = np.argsort(-p)[: guide.most]
        kept = [w for i, w in enumerate(order) if i == 0 or p[w] >= guide.threshold]
        scale = p[kept].sum() if guide.renormalise else 1.0
        return p[kept] @ classifier.embedding.numpy()[kept] / scale

    def loss(self, pair: Pair) -> tuple[float, float, int]:
        """(3-10), (3-14): -sum log P(y_t), and -log M(e | Y)."""
        found = self.run(pair)
        gold = (*pair.reply, EOS)
        words = -sum(np.log(p[y]) for p, y in zip(found, gold, strict=True))
        heard = 0.0
        if self.of.classifier is not None:
            mean = np.mean([self.expected(p) for p in found], 0)  # (3-15)
            heard = -np.log(softmax(self.w["classifier.weight"] @ mean)[pair.emotion])
        return float(words), float(heard), len(gold)


@pytest.mark.parametrize("reads", ["state", "state+context"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("guide", GUIDES, ids=range(len(GUIDES)))
def test_the_loss_is_equation_3_16(guide: Guide, layers: int, reads: str):
    ours = network(guide, layers, reads)
    terms = [Paper(ours).loss(pair) for pair in PAIRS]
    ours.requires_grad_(False)
    batch = collate(PAIRS)
    made = ours(batch)
    words, heard, tokens = (sum(t[i] for t in terms) for i in range(3))
    assert (made.tokens, made.rows) == (tokens, len(PAIRS))
    if guide.scale == "printed":  # sums of both terms over the replies, in the printed proportion
        assert float(made.token_loss) == pytest.approx(words + guide.weight * heard, abs=1e-6)
        assert float(made.row_loss) == 0
    else:
        assert float(made.token_loss) == pytest.approx(words, abs=1e-6)
        assert float(made.row_loss) == pytest.approx(guide.weight * heard, abs=1e-6)
    assert float(made.logged["nll"]) == pytest.approx(words, abs=1e-6)
    assert ("emotion" in made.logged) == bool(guide.weight)
    if guide.weight:
        assert float(made.logged["emotion"]) == pytest.approx(heard, abs=1e-6)
    for nats, (want, *_) in zip(ours.nll(batch), terms, strict=True):
        assert float(nats) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_steps_are_the_paper_s(layers: int):
    ours = network(GUIDES[0], layers)
    batch = collate(PAIRS)
    want = [Paper(ours).run(pair) for pair in PAIRS]
    with torch.inference_mode():
        state = ours.encode(batch.source, batch.source_lengths, batch.emotion)
        for t in range(batch.target_in.shape[1]):
            logits, state = ours.step(batch.target_in[:, t], state)
            for row, steps in enumerate(want):
                if t < len(steps):
                    p = logits[row].softmax(-1)
                    np.testing.assert_allclose(p, steps[t], rtol=0, atol=1e-6)


def test_without_threshold_limit_and_scale_it_is_the_full_expectation_of_emods():
    guide = Guide(weight=1.0, width=3, threshold=0.0, most=V, renormalise=False)
    ours = network(guide)
    assert ours.classifier is not None
    table, weight = ours.classifier.embedding.numpy(), ours.classifier.weight.detach().numpy()
    heard = 0.0
    for pair in PAIRS:
        p = np.array(Paper(ours).run(pair))
        heard -= np.log(softmax(weight @ (p @ table).mean(0))[pair.emotion])
    assert float(ours(collate(PAIRS)).row_loss.detach()) == pytest.approx(heard, abs=1e-6)
    scaled = network(Guide(weight=1.0, width=3, threshold=0.0, most=V))
    assert float(scaled(collate(PAIRS)).row_loss.detach()) == pytest.approx(heard, abs=1e-6)


def test_a_frozen_classifier_has_no_gradient_and_a_joint_one_has():
    for joint in (False, True):
        guide = Guide(width=3, joint=joint)
        ours = network(guide)
        made = ours(collate(PAIRS))
        (made.token_loss + made.row_loss).backward()
        assert ours.classifier is not None
        assert (ours.classifier.weight.grad is not None) == joint
        assert not ours.classifier.embedding.requires_grad
        assert all(p.grad is not None for p in ours.parameters() if p.requires_grad)
    # What guides the generator is the classifier alone: words are no part of the rows' loss.
    ours = network(Guide(width=3))
    ours(collate(PAIRS)).row_loss.backward()
    assert ours.core.decoder.from_word.weight.grad is not None
    assert ours.core.decoder.from_word.weight.grad.any()
