"""What a system learns from: what is read, and every reason that it cannot be, in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotone.data import synthetic
from emotone.data.vocab import EOS
from emotone.emotions import EKMAN
from emotone.errors import ConfigError, DataError, UnknownName
from emotone.recurrent.config import Data, Sizes
from emotone.recurrent.corpus import read_corpus
from emotone.recurrent.fitting import drawn_rows
from emotone.recurrent.model import initial
from emotone.systems import a_seq2seq


@pytest.fixture
def data(tmp_path: Path) -> Data:
    synthetic.write(tmp_path, 140)
    return Data(tmp_path / "train.jsonl", tmp_path / "dev.jsonl", lang="en", taxonomy="ekman")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def change(path: Path, edit: Callable[[dict[str, Any]], Any], place: int = 2) -> None:
    found = rows(path)
    edit(found[place])
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")


def test_pairs_words_labels_and_hashes_are_read(data: Data):
    corpus = read_corpus(data, emotional=True)
    given = rows(data.train)
    assert (len(corpus.train), len(corpus.dev)) == (len(given), len(rows(data.dev)))
    assert (corpus.taxonomy, corpus.lang) == (EKMAN, "en")
    for pair, row in zip(corpus.train, given, strict=True):
        words = corpus.vocabulary.words_of(pair.reply)
        assert words == row["reply"].split()
        assert EKMAN.labels[pair.emotion] + ":100" == row["emotion"]
    assert set(corpus.hashes) == {"train", "dev"}
    assert not corpus.emotion_words
    assert corpus.vectors is None


def test_a_system_without_emotions_reads_pairs_without(data: Data):
    change(data.train, lambda row: row.pop("emotion"))
    corpus = read_corpus(data, emotional=False)
    assert corpus.taxonomy is None
    assert set(corpus.train.emotions.tolist()) == {-1}


def test_limits_hold(data: Data):
    short = replace(data, limit=5, longest=3, vocabulary=20)
    corpus = read_corpus(short, emotional=True)
    assert len(corpus.train) == 5
    assert len(corpus.dev) == len(rows(data.dev))
    assert (corpus.train.post_lengths.max(), corpus.train.reply_lengths.max()) == (3, 2)
    assert len(corpus.vocabulary) <= 20
    assert corpus.longest == 3


def test_emotion_words_come_from_the_file_or_by_log_odds(data: Data):
    file = data.train.parent / "ememory.json"
    given = read_corpus(data, emotional=True, words=file, word_lists=True)
    assert given.emotion_words == synthetic.emotion_words()
    assert "words" in given.hashes
    made = read_corpus(data, emotional=True, word_lists=True).emotion_words
    for label, words in zip(EKMAN.labels, made, strict=True):
        assert set(words) <= set(synthetic.WORDS[label])
    assert any(made)


def test_labelled_texts_are_replies_to_a_post_that_is_held_back(data: Data):
    texts = data.train.parent / "texts.jsonl"
    row = {"id": "t", "dialogue": [{"text": "hooray !", "emotion": "joy"}], "lang": "en"}
    texts.write_text(json.dumps(row | {"taxonomy": "ekman"}) + "\n", "utf-8")
    corpus = read_corpus(replace(data, texts=texts), emotional=True)
    assert len(corpus.train) == len(rows(data.train)) + 1
    last = corpus.train[-1]
    assert last.post == (EOS,)
    assert corpus.vocabulary.words_of(last.reply) == ["hooray", "!"]
    assert EKMAN.labels[last.emotion] == "joy"
    before = read_corpus(data, emotional=True)
    for one, other in zip(corpus.train, before.train, strict=False):
        assert corpus.vocabulary.words_of(one.post) == before.vocabulary.words_of(other.post)
        assert corpus.vocabulary.words_of(one.reply) == before.vocabulary.words_of(other.reply)


def test_vectors_have_one_length_in_the_mean_and_say_what_they_cover(data: Data):
    path = data.train.parent / "vectors.txt"
    path.write_text("hooray 3 4\nbread 0 7\nunheard 1 1\n", "utf-8")
    corpus = read_corpus(replace(data, vectors=path), emotional=True)
    assert corpus.vectors is not None
    assert corpus.vectors.shape == (len(corpus.vocabulary), 2)
    found = [corpus.vectors[corpus.vocabulary.id(word)] for word in ("hooray", "bread")]
    np.testing.assert_allclose(found, [[0.5, 4 / 6], [0, 7 / 6]], rtol=1e-6)
    assert corpus.covered == pytest.approx(2 / len(corpus.vocabulary))


def one_sentence(error: Exception) -> str:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 300
    return text


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda row: row.pop("emotion"), "has no emotion; label the file"),
        (lambda row: row.update(lang="zh"), "is zh and data.lang is en"),
        (lambda row: row.pop("reply"), "has no reply; leave it out"),
        (lambda row: row.update(emotion="joy:60 + fear:20"), "give one emotion"),
        (lambda row: row.update(emotion="bliss"), "bliss"),
    ],
)
@pytest.mark.parametrize("side", ["train", "dev"])
def test_a_row_that_cannot_be_learnt_is_named(edit: Any, said: str, side: str, data: Data):
    path = getattr(data, side)
    name = rows(path)[2]["id"]
    change(path, edit)
    with pytest.raises((DataError, UnknownName)) as caught:
        read_corpus(data, emotional=True)
    text = one_sentence(caught.value)
    assert said in text
    assert name in text or path.name in text


@pytest.mark.parametrize("side", ["train", "dev", "texts"])
def test_a_file_that_is_not_there_is_named(side: str, data: Data):
    gone = data.train.parent / "gone.jsonl"
    changes: dict[str, Any] = {side: gone}
    with pytest.raises(DataError, match="there is no file") as caught:
        read_corpus(replace(data, **changes), emotional=True)
    assert str(gone) in one_sentence(caught.value)


@pytest.mark.parametrize("side", ["train", "dev"])
def test_a_corpus_as_it_was_published_is_told_to_be_prepared(side: str, data: Data):
    raw = data.train.parent / "estc.json.gz"
    raw.write_bytes(b"")
    changes: dict[str, Any] = {side: raw}
    with pytest.raises(DataError, match=r"prepare ecm --from .* --output estc\.jsonl`") as caught:
        read_corpus(replace(data, **changes), emotional=True)
    one_sentence(caught.value)


def test_too_few_replies_for_lists_of_emotion_words_say_what_to_give(data: Data):
    with pytest.raises(DataError, match=r"list of \w+ is empty.*in parts\.words") as caught:
        read_corpus(replace(data, limit=3), emotional=True, word_lists=True)
    assert "min_count" not in one_sentence(caught.value)


def test_word_vectors_must_be_as_wide_as_the_embeddings(data: Data):
    path = data.train.parent / "vectors.txt"
    path.write_text("hooray 3 4\n", "utf-8")
    corpus = read_corpus(replace(data, vectors=path), emotional=False)
    config = a_seq2seq.Config(sizes=Sizes(embedding=3))
    with pytest.raises(ConfigError, match=r"2 wide.*set sizes\.embedding = 2") as caught:
        initial(a_seq2seq.build, config, corpus)
    one_sentence(caught.value)


@pytest.mark.parametrize("side", ["train", "dev"])
def test_without_files_it_is_said_how_to_make_some(side: str, data: Data):
    changes: dict[str, Any] = {side: Path()}
    with pytest.raises(ConfigError, match="emotone data prepare en-pairs"):
        read_corpus(replace(data, **changes), emotional=True)


def test_labels_of_another_set_are_mapped_to_the_wanted_one(data: Data):
    corpus = read_corpus(replace(data, taxonomy="nlpcc"), emotional=True)
    assert corpus.taxonomy is not None
    names = {corpus.taxonomy.labels[e] for e in corpus.train.emotions}
    assert "happiness" in names


# -- balance --------------------------------------------------------------------------------------

EMOTIONS = np.array([0] * 60 + [1] * 25 + [2] * 4 + [5] * 11)


def test_balance_0_is_every_row_once():
    assert drawn_rows(EMOTIONS, 0.0, 1, 0).tolist() == list(range(100))


@pytest.mark.parametrize("balance", [0.3, 0.5, 1.0])
def test_shares_are_powers_of_the_counts_and_rows_come_equally_often(balance: float):
    drawn = drawn_rows(EMOTIONS, balance, 1, 0)
    counts = {label: int(np.equal(EMOTIONS, label).sum()) for label in (0, 1, 2, 5)}
    total = sum(n ** (1 - balance) for n in counts.values())
    for label, n in counts.items():
        times = np.bincount(drawn, minlength=100)[np.equal(EMOTIONS, label)]
        assert abs(times.sum() - 100 * n ** (1 - balance) / total) <= 0.51
        assert times.max() - times.min() <= 1
    assert abs(len(drawn) - 100) <= 2


def test_draws_are_decided_by_seed_and_epoch():
    one = drawn_rows(EMOTIONS, 0.5, 1, 0)
    assert one.tolist() == drawn_rows(EMOTIONS, 0.5, 1, 0).tolist()
    assert one.tolist() != drawn_rows(EMOTIONS, 0.5, 1, 1).tolist()
    assert one.tolist() != drawn_rows(EMOTIONS, 0.5, 2, 0).tolist()


@pytest.mark.parametrize("part", ["train", "dev"])
def test_a_file_without_pairs_is_refused(data: Data, part: str):
    getattr(data, part).write_text("\n", "utf-8")
    with pytest.raises(DataError, match=f"{part}.jsonl holds no pair"):
        read_corpus(data, emotional=True)


def test_judges_that_labelled_lines_are_known_to_the_corpus(tmp_path: Path):
    for name in ("train", "dev"):
        line = {"post": "hi there", "reply": "hello you", "emotion": "joy", "judges": [f"{name}-1"]}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    data = Data(
        train=tmp_path / "train.jsonl", dev=tmp_path / "dev.jsonl", lang="en", taxonomy="ekman"
    )
    assert read_corpus(data, emotional=True, seed=0).judges == ("dev-1", "train-1")
