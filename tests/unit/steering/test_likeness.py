"""How like posts are to a model, and replies by hand that words alone would not find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emotone.data.everyday.nearest import Posts, learned_posts
from emotone.errors import CheckpointError
from emotone.lm.chat import FRIENDS
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.likeness import FILE, Likeness, beside, embedded, hash_of, states, whole
from emotone.steering.retrieve import FEATURES, Retriever
from emotone.steering.vector_file import shipped_file, shipped_names
from emotone.types import Dialogue

POSTS = Posts(learned_posts("en").lines[:20])
LIKE = {"bias": 0.0, **dict.fromkeys(FEATURES, 0.0), "likeness": 1.0}


@pytest.fixture(scope="module")
def lm():
    return tiny_causal_lm()


def likeness(lm, posts: Posts) -> Likeness:
    hidden = states(lm, [line.post for line in posts.lines], 1)
    mean = hidden.mean(0)
    projection = torch.eye(hidden.shape[1])[:8] / hidden.std(0)
    rows = whole(embedded(hidden, mean, projection))
    return Likeness(1, mean, projection, rows, hash_of(posts))


@pytest.fixture(scope="module")
def reading(lm):
    return likeness(lm, POSTS)


def test_it_is_the_cosine_of_projected_states(lm, reading):
    texts = [line.post for line in POSTS.lines]
    hidden = np.stack([states(lm, [text], 1)[0].numpy() for text in texts])  # each alone
    own = (hidden - reading.mean.numpy()) @ reading.projection.numpy().T
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    for i, text in enumerate(texts):
        np.testing.assert_allclose(reading.all(lm, text), own @ own[i], atol=0.02)
        assert int(reading.all(lm, text).argmax()) == i


def test_what_is_written_is_read_again(lm, reading, tmp_path: Path):
    reading.save(tmp_path)
    again = beside(tmp_path)
    assert again is not None
    assert (again.block, again.posts) == (reading.block, reading.posts)
    np.testing.assert_allclose(again.all(lm, "It rains."), reading.all(lm, "It rains."), atol=0.01)
    assert beside(tmp_path / "elsewhere") is None


def test_a_damaged_file_is_an_error_and_not_a_file_that_is_missing(reading, tmp_path: Path):
    reading.save(tmp_path)
    whole_file = (tmp_path / FILE).read_bytes()
    for broken in (whole_file[:100], b"", b"x" * 50):
        (tmp_path / FILE).write_bytes(broken)
        with pytest.raises(CheckpointError, match="cannot be read"):
            beside(tmp_path)


def test_a_line_that_shares_no_word_is_found(lm, reading):
    far = np.full(len(POSTS.lines), -0.5)
    far[7] = 0.9
    label = next(iter(POSTS.lines[7].replies))
    (near,) = POSTS.near("Zxqv wkjp.", [label], 1, likeness=far)
    assert (near.line, near.similarity, near.likeness) == (POSTS.lines[7], 0.0, 0.9)
    assert POSTS.near("Zxqv wkjp.", [label], 1) == []


def test_its_weight_decides_between_it_and_words():
    own = POSTS.lines[3]
    label = next(e for e in own.replies if e in POSTS.lines[7].replies)
    far = np.zeros(len(POSTS.lines))
    far[7] = 0.9
    for weight, first in ((0.5, own), (2.0, POSTS.lines[7])):
        assert POSTS.near(own.post, [label], 1, likeness=far, weight=weight)[0].line == first


def test_the_retriever_asks_it(lm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emotone.steering.retrieve.learned_posts", lambda _lang: POSTS)
    reading = likeness(lm, POSTS)
    line = next(own for own in POSTS.lines if "joy" in own.replies)
    with_it, without = (Retriever(lm, FRIENDS["en"], LIKE, r) for r in (reading, None))
    dialogue = Dialogue.of(line.post)
    assert with_it.replies(dialogue, ["joy"], 1)[0].content == pytest.approx(1.0, abs=0.02)
    assert without.replies(dialogue, ["joy"], 1)[0].content == 0.02


def test_one_of_other_posts_is_left_out_and_said(lm, capsys: pytest.CaptureFixture[str]):
    other = replace(likeness(lm, POSTS), posts="other")
    retriever = Retriever(lm, FRIENDS["en"], LIKE, other)
    assert retriever.replies(Dialogue.of(POSTS.lines[0].post), ["joy"], 1)[0].content == 0.02
    assert "by words alone" in capsys.readouterr().err


def test_what_ships_belongs_to_the_posts_that_ship():
    of = {"smollm2-companion": "en", "gemma3-270m-companion": "zh"}
    for name in set(of) & set(shipped_names()):
        shipped = beside(shipped_file(name).parent)
        posts = learned_posts("en" if of[name] == "en" else "zh")
        assert shipped is not None, name
        assert shipped.posts == hash_of(posts), name
        assert len(shipped.rows) == len(posts.lines), name
