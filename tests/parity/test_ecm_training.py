"""ECM's style "faithful" against the arithmetic of the released code: a step, a schedule, a start.

The loss is written in plain numpy in `test_ecm_step`; here it is minimised by hand. What the code
does is told in words in docs/systems/ecm.md; nothing of it is copied.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity.test_ecm_step import PAIRS, Paper, network

from emotone.data import synthetic
from emotone.data.batch import collate, plan_as_released
from emotone.recurrent.config import Data, Sizes
from emotone.recurrent.responder import tiny_corpus
from emotone.systems import ecm
from emotone.systems.ecm import BUCKETS, Config, Parts, build
from emotone.training import Training
from emotone.training.loop import fit

SIZES = Sizes(
    embedding=5,
    encoder_hidden=6,
    encoder_layers=2,
    bidirectional=False,
    hidden=6,
    layers=2,
    bridge="copy",
    out=7,
    tied=False,
    dropout=0.0,
    blank=0.0,
)
#: A batch of the code has one emotion.
BATCH = tuple(replace(pair, emotion=2) for pair in (PAIRS[0], PAIRS[4]))
RATE = 0.5


def objective(of: Any) -> tuple[float, float]:
    """Mean over replies of the words' mean loss, without and with types and memory."""
    terms = [Paper(of, faithful=True).loss(pair) for pair in BATCH]
    words = sum(w / n for w, _, _, n in terms) / len(terms)
    return words, words + sum(t / n + m for _, t, m, n in terms) / len(terms)


def numbers(of: Any) -> list[tuple[str, torch.Tensor, int]]:
    """A number of each tensor of which the batch reads one."""
    read = {"core.source.weight": 5, "core.target.weight": 3, "embedding.weight": 2}
    read["internal.weight"] = 2
    places: list[tuple[str, torch.Tensor, int]] = []
    for name, value in of.named_parameters():
        width = value.shape[-1] if value.ndim > 1 else 1
        places.append((name, value.data.view(-1), read.get(name, 0) * width))
    return places


def test_a_step_of_training_is_the_released_code_s(tmp_path: Path):
    made = network(True, True, True, 2, "faithful")
    with torch.no_grad():
        for value in made.parameters():
            value.mul_(0.5)
    words, total = objective(made)
    slopes: dict[str, float] = {}
    step = 1e-6
    for name, flat, at in numbers(made)[::2]:
        before = float(flat[at])
        ends: list[float] = []
        for sign in (1, -1):
            flat[at] = before + sign * step
            ends.append(objective(made)[1])
        flat[at] = before
        slopes[name] = (ends[0] - ends[1]) / (2 * step)
    at = {name: place for name, _, place in numbers(made)}
    before = {n: p.detach().clone() for n, p in made.named_parameters()}
    losses = made(collate(BATCH))
    (losses.token_loss / losses.tokens + losses.row_loss / losses.rows).backward()
    gradients = {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
    made.zero_grad(set_to_none=True)
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
    limit = norm / 2  # so that the clipping is seen
    fit(
        made,
        train_plan=lambda _: [np.arange(len(BATCH))],
        collate=lambda rows: collate([BATCH[i] for i in rows]),
        dev_batches=lambda: [collate(BATCH)],
        settings=Training(
            optimiser="sgd", lr=RATE, clip=limit, epochs=1, log_every=1, device="cpu", threads=1
        ),
        out=tmp_path,
        watched="words",
        ends_best=False,
        progress=False,
    )
    row = json.loads((tmp_path / "log.jsonl").read_text("utf-8").splitlines()[0])
    assert row["loss"] == pytest.approx(total, abs=1e-5)
    assert row["words"] == pytest.approx(words, abs=1e-5)
    assert row["grad_norm"] == pytest.approx(norm, rel=1e-4)
    after = dict(made.named_parameters())
    for name, slope in slopes.items():
        change = float((before[name] - after[name].detach()).view(-1)[at[name]])
        assert change == pytest.approx(RATE * slope * limit / norm, abs=2e-6), name


def schedule(losses: list[float], rate: float, factor: float) -> list[float]:
    """Learning rate after each loss: lower it when the loss is above each of the last three."""
    rates: list[float] = []
    for k, loss in enumerate(losses):
        if k > 2 and loss > max(losses[k - 3 : k]):
            rate *= factor
        rates.append(rate)
    return rates


@pytest.fixture
def data(tmp_path: Path) -> Data:
    synthetic.write(tmp_path, 140)
    return Data(tmp_path / "train.jsonl", tmp_path / "dev.jsonl", lang="en", taxonomy="ekman")


def test_the_rate_falls_by_the_loss_of_words_and_the_last_weights_stay(data: Data, tmp_path: Path):
    how = Training(
        optimiser="sgd",
        lr=1.0,
        decay=0.5,
        batch=8,
        max_steps=36,
        evaluate_every=1,
        log_every=1,
        patience=0,
        balanced=True,
        device="cpu",
        threads=1,
    )
    parts = Parts(width=3, memory=40, words=tmp_path / "ememory.json", style="faithful")
    out = ecm.train(Config(data=data, sizes=SIZES, parts=parts, training=how), tmp_path / "run")
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    steps = [row for row in rows if "words" in row]
    rates = [row["lr"] for row in rows if "dev_loss" in row]
    want = schedule([row["words"] for row in steps], how.lr, how.decay)
    assert rates == pytest.approx(want)
    assert want[-1] < how.lr
    # On the whole objective, as it was, it falls at other steps.
    assert schedule([row["loss"] for row in steps], how.lr, how.decay) != want
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["training"]["best_step"] == how.max_steps
    dev = [row["dev_loss"] for row in rows if "dev_loss" in row]
    assert manifest["training"]["dev_loss"] == pytest.approx(dev[-1])
    assert dev[-1] > min(dev)


def test_it_begins_as_tensorflow_draws_weights():
    wide = replace(SIZES, embedding=20, hidden=64, encoder_hidden=64, out=50)
    made = build(
        Config(sizes=wide, parts=Parts(width=12, memory=30, style="faithful")),
        tiny_corpus("zh", "nlpcc"),
    )
    paper = Paper(made, faithful=True)
    h = 64
    for layer in range(2):
        bias = paper.W_b[layer] + np.concatenate([paper.U_b[layer], paper.C[layer][1]])
        assert bias[: 2 * h] == pytest.approx(1.0)  # reset and update gates
        assert bias[2 * h :] == pytest.approx(0.0)  # candidate
        rnn = made.core.encoder.rnn
        both = rnn.get_parameter(f"bias_ih_l{layer}") + rnn.get_parameter(f"bias_hh_l{layer}")
        assert both[: 2 * h].tolist() == pytest.approx([1.0] * 2 * h)
        assert both[2 * h :].tolist() == pytest.approx([0.0] * h)
    assert paper.b_rg == pytest.approx(1.0)
    assert paper.b_wg == pytest.approx(1.0)
    first, read, states = 20 + 64 + h, 20 + 64 + 12 + 2 * h, 2 * h
    outer = made.core.decoder.out
    assert outer is not None
    for matrix, inputs in (
        (paper.W[0][:, : 20 + 64], first),
        (paper.W[0][:, 20 + 64 :], 12 + 30),
        (paper.U[0], first),
        (paper.C[0][0], first),
        (paper.W[1], 2 * h),
        (paper.U[1], 2 * h),
        (paper.C[1][0], 2 * h),
        (paper.W_rg, read),
        (paper.W_wg, states),
        (paper.W_q, states),
        (paper.W_h, 64),
        (paper.v, 1),
        (outer.weight.detach().numpy(), h + 64),
        (paper.P, len(paper.P)),
        (paper.b_P, 1),
        (made.core.encoder.rnn.get_parameter("weight_ih_l1").detach().numpy(), 2 * h),
    ):
        bound = math.sqrt(3 / inputs)
        assert np.abs(matrix).max() <= bound
        assert np.abs(matrix).max() > 0.8 * bound


def test_batches_are_drawn_with_replacement_of_one_length_and_emotion():
    draws = np.random.default_rng(0)
    posts, replies = draws.integers(1, 29, 500), draws.integers(1, 28, 500)
    emotions = draws.choice(6, 500, p=[0.5, 0.3, 0.1, 0.05, 0.04, 0.01])
    batches = [
        b for e in range(40) for b in plan_as_released(posts, replies, emotions, 16, 1, e, BUCKETS)
    ]
    assert len(batches) == 40 * -(-500 // 16)
    longest = np.maximum(posts, replies + 1)
    edges = np.array(BUCKETS)
    of_row = np.array([int(edges[edges > n][0]) for n in longest])
    for batch in batches:
        assert len(batch) == 16
        assert len(set(emotions[batch])) == len(set(of_row[batch])) == 1
    assert any(len(set(b.tolist())) < 16 for b in batches)
    # Lengths by their share, emotions evenly, though one has a hundredth of the rows.
    drawn = np.array([of_row[b[0]] for b in batches])
    for edge in BUCKETS:
        assert np.mean(drawn == edge) == pytest.approx(np.mean(of_row == edge), abs=0.05)
    longest_of = [emotions[b[0]] for b in batches if of_row[b[0]] == 30]
    here = len(set(emotions[of_row == 30]))
    shares = np.bincount(longest_of, minlength=6) / len(longest_of)
    assert shares[shares > 0] == pytest.approx(1 / here, abs=0.07)


def test_vectors_digits_vocabularies_and_long_pairs_are_those_of_the_code(tmp_path: Path):
    from emotone.recurrent.corpus import read_corpus

    rows = [("她 有 12 岁", "真 的 3 岁 ？"), ("好 " * 9, "好"), ("好", "好 " * 9), ("早", "早 安")]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(
                json.dumps({"id": str(i), "post": p, "reply": r, "lang": "zh", "taxonomy": "nlpcc",
                            "emotion": "like"}) + "\n"
                for i, (p, r) in enumerate(rows)
            )
        )  # fmt: skip
    (tmp_path / "vectors.txt").write_text("早 3 4\n岁 6 8\n")
    data = Data(
        tmp_path / "train.jsonl",
        tmp_path / "dev.jsonl",
        vectors=tmp_path / "vectors.txt",
        longest=7,
        words="corpus",
    )
    corpus = read_corpus(data, emotional=True, as_released=True, apart=True)
    assert corpus.posts is not None
    assert set(corpus.posts.words[4:]) == {"她", "有", "00", "岁", "好", "早"}
    assert set(corpus.vocabulary.words[4:]) == {"真", "的", "0", "岁", "？", "好", "早", "安"}
    assert (len(corpus.train), len(corpus.dev), corpus.dropped) == (2, 2, 2)
    assert corpus.vectors is not None
    assert corpus.post_vectors is not None
    assert corpus.vectors[corpus.vocabulary.id("岁")].tolist() == [6, 8]
    assert corpus.post_vectors[corpus.posts.id("早")].tolist() == [3, 4]
    plain = read_corpus(data, emotional=True)
    assert plain.posts is None
    assert plain.vectors is not None
    assert "12" in plain.vocabulary.words
    assert (len(plain.train), plain.dropped) == (4, 0)
    assert np.linalg.norm(plain.vectors[plain.vocabulary.id("岁")]) < 2
