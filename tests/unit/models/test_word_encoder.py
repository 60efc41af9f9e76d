"""Sentence vectors from word vectors, and the shelf they come from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from recipes.word_vectors.pack import frequent, pack

from emotone.data.text import segment
from emotone.data.word_vectors import WordVectors
from emotone.errors import CheckpointError, DataError, ModelMissing, UnknownName
from emotone.models import word_encoder, zoo
from emotone.models.word_encoder import load_word_encoder, quantised, shared_direction

#: int8 with a scale of its own for each row: half a step of 127 at most, and the scale's rounding.
STEP = 0.5 / 127 + 2**-11
CLOSE = 1e-5

WORDS = ("the", "cat", "dog", "car", "ran", "猫", "狗")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    vectors = WordVectors(WORDS, rng.normal(size=(7, 8)).astype(np.float32))
    counts = Counter(dict(zip(WORDS, (90, 3, 2, 2, 1, 1, 1), strict=True)))
    texts = [["the", "cat", "ran"], ["the", "dog", "ran"], ["the", "car"], ["猫", "the"]]
    pack(tmp_path / "toy", vectors, counts, texts, {"toy": 4})
    return tmp_path / "toy"


def in_zoo() -> word_encoder.WordEncoder:
    if "zh-words" not in zoo.listed("vectors"):
        pytest.skip("emotone-zoo is not installed; install it with `pip install -e zoo`")
    return load_word_encoder("zh-words", segment)


def test_rounding_to_eight_bits_loses_little():
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(50, 30)) * 10.0 ** rng.integers(-1, 3, (50, 1))).astype(np.float32)
    matrix[7] = 0
    rows, scales = quantised(matrix)
    assert rows.dtype == np.int8
    assert scales.dtype == np.float16
    back = rows * scales[:, None].astype(np.float32)
    top = np.abs(matrix).max(axis=1, keepdims=True)
    assert (np.abs(back - matrix) <= STEP * top + 1e-7).all()
    assert not back[7].any()
    for wrong in (np.inf, np.nan, 1e30):
        with pytest.raises(DataError, match="scale the vectors down"):
            quantised(np.full((1, 2), wrong, np.float32))


def test_a_sentence_is_the_weighted_mean_less_the_shared_direction(folder: Path):
    made = load_word_encoder(folder, str.split)
    matrix = made.matrix(WORDS)
    p = made.probabilities
    assert p.sum() == pytest.approx(1)
    weight = 1e-3 / (1e-3 + p)
    mean = (weight[0] * matrix[0] + 2 * weight[1] * matrix[1]) / 3
    u = made.component
    assert np.linalg.norm(u) == pytest.approx(1, abs=CLOSE)
    rest = mean - u * (u @ mean)
    expected = rest / np.linalg.norm(rest)
    assert made(["the cat cat"])[0] == pytest.approx(expected, abs=CLOSE)
    # Its order and the texts beside it count for nothing.
    assert made(["dog", "cat the cat"])[1] == pytest.approx(expected, abs=CLOSE)


def test_the_shared_direction_is_the_largest_one():
    rng = np.random.default_rng(1)
    axis = np.array([0.6, 0.0, -0.8])
    sums = rng.normal(size=(200, 1)) + 3
    found = shared_direction(sums * axis + 0.01 * rng.normal(size=(200, 3)))
    assert found == pytest.approx(axis, abs=0.01)


def test_a_text_of_which_nothing_is_known_is_like_no_other(folder: Path):
    made = load_word_encoder(folder, str.split)
    found = made(["", "xyz", "the cat", "car", "the"])
    assert np.isfinite(found).all()
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(5), abs=CLOSE)
    assert found[0] @ found[1] == pytest.approx(1, abs=CLOSE)
    assert found[:2] @ found[2:].T == pytest.approx(np.zeros((2, 3)), abs=CLOSE)
    assert made([]).shape == (0, 8)


def test_a_word_without_a_vector_is_read_by_its_characters(folder: Path):
    made = load_word_encoder(folder, str.split)
    assert made(["猫狗兔"])[0] == pytest.approx(made(["猫 狗"])[0], abs=CLOSE)
    assert made(["cat xyz"])[0] == pytest.approx(made(["cat"])[0], abs=CLOSE)
    with pytest.raises(DataError, match="'xyz' has no vector in zh-words"):
        made.matrix(["cat", "xyz"])


def test_the_most_frequent_words_are_kept_in_order():
    vectors = WordVectors(("a", "b", "c"), np.eye(3, dtype=np.float32))
    kept = frequent(vectors, Counter(c=5, a=2, b=2), 2)
    assert kept.words == ("c", "a")
    assert kept.matrix.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_damaged_files_and_unknown_names_are_refused(folder: Path, monkeypatch):
    name = load_word_encoder(folder, str.split).name
    assert name.startswith("zh-words-1-")
    whole = (folder / "words.json").read_text(encoding="utf-8")
    (folder / "words.json").write_text(whole.replace("cat", "cow"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="'toy' are damaged; install"):
        load_word_encoder(folder, str.split)
    shorter = json.dumps(json.loads(whole)[:-1]).encode()
    (folder / "words.json").write_bytes(shorter)
    card = json.loads((folder / "vectors.json").read_text(encoding="utf-8"))
    card["words"] = hashlib.sha256(shorter).hexdigest()
    (folder / "vectors.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(CheckpointError, match="for 6 words; make them again"):
        load_word_encoder(folder, str.split)
    (folder / "vectors.json").write_text(json.dumps(card | {"format": 2}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="have format 2; this emotone reads 1"):
        load_word_encoder(folder, str.split)
    (folder / "vectors.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_word_encoder(folder, str.split)
    monkeypatch.setattr("emotone.models.zoo._root", lambda: folder.parent)
    with pytest.raises(UnknownName, match="unknown word vectors 'zh-words'"):
        load_word_encoder("zh-words", str.split)
    monkeypatch.setattr("emotone.models.zoo._root", lambda: None)
    with pytest.raises(ModelMissing, match=r"'zh-words' is in the distribution emotone-zoo"):
        load_word_encoder("zh-words", str.split)
    assert zoo.listed("vectors") == []


def test_shelves_are_told_by_the_file_that_their_items_have(tmp_path: Path, monkeypatch):
    for path in ("systems/ecm-zh/config.toml", "systems/half/README.md", "judges/a/judge.json"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    monkeypatch.setattr("emotone.models.zoo._root", lambda: tmp_path)
    assert zoo.listed("systems") == ["ecm-zh"]
    assert zoo.listed("judges") == ["a"]
    assert zoo.listed("vectors") == []
    assert zoo.folder("systems", "ecm-zh") == tmp_path / "systems" / "ecm-zh"
    with pytest.raises(UnknownName, match="unknown trained model 'ecm-en'; did you mean 'ecm-zh'"):
        zoo.folder("systems", "ecm-en")


RELATED = (
    ("今天天气真好，太阳很大", "外面阳光明媚，天气不错"),
    ("我昨晚没睡好，困死了", "我好困，想睡觉"),
    ("这家餐厅的菜很好吃", "晚饭吃了火锅，味道真好"),
    ("考试没及格，我很难过", "这次考试考得太差了，伤心"),
    ("我家的猫又胖了", "小猫真可爱，想养一只"),
)


def test_related_chinese_sentences_are_nearer_than_others():
    encoder = in_zoo()
    near = encoder([a for a, _ in RELATED]) @ encoder([b for _, b in RELATED]).T
    assert (near.argmax(axis=1) == np.arange(len(RELATED))).all()
    others = near[~np.eye(len(RELATED), dtype=bool)]
    assert np.diag(near).min() > others.max()


def test_the_vectors_of_the_zoo_are_small_and_described():
    encoder = in_zoo()
    folder = zoo.folder("vectors", "zh-words")
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 4_500_000
    assert encoder.rows.shape == (12_000, 300)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(name in card for name in ("LCCC", "CPED", "XDailyDialog", "SMP2020-EWECT"))


def test_replies_are_nearer_to_their_own_posts_than_to_others(data: Path):
    from emotone.data.corpora import module
    from emotone.data.reading import Problems

    encoder = in_zoo()
    examples = module("lccc").read(data / "lccc_toy", Problems(on_error="skip"), split="valid")
    rows = [(e.dialogue.posts[-1].text, e.reply) for e in examples if e.reply][:400]

    def nearness(replies: Sequence[str]) -> float:
        return float((encoder([p for p, _ in rows]) * encoder(replies)).sum(axis=1).mean())

    own = [r for _, r in rows]
    assert nearness(own) > nearness([*own[1:], own[0]]) + 0.1
