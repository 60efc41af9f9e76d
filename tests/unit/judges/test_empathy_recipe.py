"""What the training recipe says of pairs, splits and figures."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recipes.judges import epitome
from recipes.judges.epitome import FOLDS, SETS, Pair, spans, token_marks
from recipes.judges.fit_empathy import class_weights
from recipes.judges.train_empathy import (
    LEANS,
    SETTINGS,
    accuracy_and_f1,
    confusion,
    decide_on,
    figures,
    gold_of,
    is_dev,
)
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from emotone.types import MECHANISMS
from unit.judges.toy_encoders import word_tokenizer


def pair(response: str = "why", levels: tuple[int, ...] = (0, 0, 0), post: str = "i") -> Pair:
    return Pair(post, response, levels, ((), (), ()), 0, 0)


def test_marked_texts_are_found_again():
    text = "So  hard.\nI know, why?"
    assert spans(text, "so hard|why?", 2) == ((0, 8), (18, 22))
    assert spans(text, " i know |", 1) == ((10, 16),)
    assert spans(text, "gone", 1) is None
    assert spans(text, "|", 1) is None
    assert spans(text, "", 0) == ()


def test_marks_fall_on_the_words_they_name():
    tokenizer = word_tokenizer()
    response = "sorry that was so hard"
    marked = Pair("i", response, (2, 1, 0), (((0, 5), (18, 22)), None, ()), 0, 0)
    ids = tokenizer(response)["input_ids"]
    reaction, interpretation, exploration = token_marks(tokenizer, marked, ids, 64)
    assert reaction == [0, 1, 0, 0, 0, 1, 0]
    assert interpretation is None
    assert exploration == [0] * 7
    with pytest.raises(SystemExit, match="tokens"):
        token_marks(tokenizer, marked, ids[:-1], 64)


def test_class_weights_are_one_on_average_and_undone_by_their_logarithm():
    levels = [0] * 80 + [1] * 4 + [2] * 16
    pairs = [pair(levels=(level, 0, 0)) for level in levels]
    weights = class_weights(pairs, 0, 0.5)
    assert weights[torch.tensor(levels)].mean() == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx((80 / 4) ** 0.5)
    assert torch.equal(class_weights(pairs, 0, 0.0), torch.ones(3))
    # The best constant under the weighted loss, less log weight, is the share of each level.
    logits = torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(
            logits.expand(100, 3), torch.tensor(levels), weights, reduction="sum"
        )
        value.backward()
        return value

    optimiser.step(loss)
    share = (logits.detach() - weights.log()).softmax(-1)
    torch.testing.assert_close(share, torch.tensor([0.8, 0.04, 0.16]), atol=1e-3, rtol=0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_figures_equal_scikit_learn(rows: list[tuple[int, int]]):
    gold, said = (np.array(x) for x in zip(*rows, strict=True))
    table = confusion(gold, said)
    np.testing.assert_array_equal(table, confusion_matrix(gold, said, labels=[0, 1, 2]))
    accuracy, f1 = accuracy_and_f1(table)
    assert accuracy == pytest.approx(accuracy_score(gold, said))
    expected = f1_score(gold, said, labels=[0, 1, 2], average="macro", zero_division=0)
    assert f1 == pytest.approx(expected)
    # Weights count a pair as often as they say.
    weights = np.arange(len(rows)) % 3
    again = confusion(np.repeat(gold, weights), np.repeat(said, weights))
    np.testing.assert_allclose(confusion(gold, said, weights.astype(float)), again)


def test_intervals_widen_when_posts_repeat():
    draw = np.random.default_rng(0)
    levels = draw.integers(0, 3, size=(100, 3))
    chances = {m: draw.dirichlet([1, 1, 1], size=100) for m in MECHANISMS}
    said = {m: c.argmax(-1) for m, c in chances.items()}
    apart = [pair(levels=tuple(map(int, x)), post=f"post {i}") for i, x in enumerate(levels)]
    # The same answers four times over are no more evidence, if the posts are the same.
    four = {m: np.tile(v, 4) for m, v in said.items()}
    even = {m: np.tile(v, (4, 1)) for m, v in chances.items()}
    once, repeated = figures(chances, said, apart), figures(even, four, apart * 4)
    assert repeated["posts"] == once["posts"] == 100
    for m in MECHANISMS:
        assert repeated[m]["accuracy"] == once[m]["accuracy"]
        width = once[m]["accuracy"]["high"] - once[m]["accuracy"]["low"]
        assert 0.1 < width < 0.3
        assert once[m]["accuracy"]["always_0"] == pytest.approx((levels[:, 0] == 0).mean(), abs=0.2)


def test_the_lean_finds_a_rare_level():
    draw = np.random.default_rng(1)
    levels = draw.choice(3, size=(1200, 3), p=[0.85, 0.05, 0.10])
    pairs = [pair(levels=tuple(map(int, x))) for x in levels]
    noise = draw.normal(size=(1200, 3, 3))
    logits = {
        m: np.eye(3)[levels[:, i]] * 1.6 + noise[:, i] + np.log([0.85, 0.05, 0.10])
        for i, m in enumerate(MECHANISMS)
    }
    decision = decide_on(logits, pairs, pairs)
    assert decision.lean > 0
    assert decision.lean in LEANS
    gold = gold_of(pairs)
    for m in MECHANISMS:
        offsets = decision.offsets[m]
        assert offsets[0] < offsets[2] < offsets[1]
        assert 0.3 < decision.temperatures[m] < 3
        leaning = (logits[m] / decision.temperatures[m] + offsets).argmax(-1)
        plain = logits[m].argmax(-1)
        f1 = [accuracy_and_f1(confusion(gold[m], x))[1] for x in (leaning, plain)]
        assert f1[0] > f1[1]


def test_the_two_sets_differ_in_kind_and_share_no_bucket():
    score, reward = (set(SETS[name]) for name in ("empathy-score", "empathy-reward"))
    assert not score & reward
    assert score | reward == set(range(100))
    assert SETTINGS["empathy-score"].seed != SETTINGS["empathy-reward"].seed
    assert SETTINGS["empathy-score"].spec != SETTINGS["empathy-reward"].spec


def test_real_splits(data: Path):
    if not (data / "epitome").is_dir():
        pytest.skip("EMOTONE_DATA has no folder epitome")
    pairs = epitome.read()
    assert len(pairs) == 2625
    share = len([p for p in pairs if p.bucket in SETS["empathy-score"]]) / len(pairs)
    assert 0.66 < share < 0.74
    for fold in range(FOLDS):
        inside = {p.key for p in pairs if p.fold == fold}
        outside = {p.key for p in pairs if p.fold != fold}
        assert not inside & outside
        assert 0.17 < len(inside) / (len(inside) + len(outside)) < 0.23
    for name, settings in SETTINGS.items():
        own = [p for p in pairs if p.bucket in SETS[name]]
        dev = [is_dev(p, settings.dev_every) for p in own]
        assert 0.08 < np.mean(dev) < 0.25
        assert not {p.key for p, d in zip(own, dev, strict=True) if d} & {
            p.key for p, d in zip(own, dev, strict=True) if not d
        }
    # People marked what carries a level; nearly all marks are found again.
    for i, level in product(range(3), (1, 2)):
        marked = [p.spans[i] is not None for p in pairs if p.levels[i] == level]
        assert np.mean(marked) > 0.85
    assert all(p.spans[i] == () for i in range(3) for p in pairs if p.levels[i] == 0)
