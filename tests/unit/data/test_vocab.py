"""The vocabulary: ids of words, and signs that no text can spell."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.data.vocab import EOS, GO, PAD, SPECIALS, UNK, Vocabulary
from emotone.errors import DataError

TEXTS = (["b", "a", "b"], ["c", "a", "b"], ["d"])


def test_signs_have_ecms_ids():
    assert (PAD, UNK, EOS, GO) == (0, 1, 2, 3)
    assert SPECIALS == ("<pad>", "<unk>", "</s>", "<s>")


def test_frequent_words_come_first_and_equal_ones_by_code_point():
    assert Vocabulary.build(TEXTS).words == (*SPECIALS, "b", "a", "c", "d")


def test_size_counts_the_signs_and_min_count_drops_rare_words():
    assert Vocabulary.build(TEXTS, size=6).words == (*SPECIALS, "b", "a")
    assert Vocabulary.build(TEXTS, min_count=2).words == (*SPECIALS, "b", "a")


def test_a_sign_in_a_text_is_an_unknown_word():
    vocabulary = Vocabulary.build([["<pad>", "<s>", "</s>", "<unk>", "a"]])
    assert vocabulary.words == (*SPECIALS, "a")
    assert vocabulary.ids(["<pad>", "<unk>", "</s>", "<s>", "a", "b"]) == [1, 1, 1, 1, 4, 1]
    assert [vocabulary.id(sign) for sign in SPECIALS] == [UNK] * 4


@given(st.lists(st.lists(st.text(min_size=1, max_size=3), max_size=6), min_size=1, max_size=6))
def test_known_words_come_back(texts):
    words = {word for text in texts for word in text if word not in SPECIALS}
    if not words:
        return
    vocabulary = Vocabulary.build(texts)
    assert set(vocabulary.words[4:]) == words
    assert len(vocabulary) == len(words) + 4
    for word in words:
        assert vocabulary.words_of([vocabulary.id(word)]) == [word]


def test_file_comes_back(tmp_path):
    vocabulary = Vocabulary.build([["好", "\u2028", '"', "a b", "\n"]])
    vocabulary.save(tmp_path / "vocab.json")
    assert Vocabulary.load(tmp_path / "vocab.json") == vocabulary
    assert json.loads((tmp_path / "vocab.json").read_text("utf-8")) == list(vocabulary.words)
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.json"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "no JSON"),
        ('{"a": 1}', "holds an object"),
        ('["a", "b"]', "must begin with '<pad>'"),
        ('["<pad>", "<unk>", "</s>", "<s>", "a", "a"]', "'a' twice"),
        ('["<pad>", "<unk>", "</s>", "<s>", 7]', "holds 7"),
        ('["<pad>", "<unk>", "</s>", "<s>", ["a"]]', r"holds \['a'\]"),
        ('["<pad>", "<unk>", "</s>", "<s>", ""]', "holds ''"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, text, says):
    (tmp_path / "v.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"v.json.*{says}"):
        Vocabulary.load(tmp_path / "v.json")


def test_no_room_and_no_word_are_refused():
    with pytest.raises(DataError, match=r"size 4 leaves no room.*use 5"):
        Vocabulary.build(TEXTS, size=4)
    with pytest.raises(DataError, match="give more texts"):
        Vocabulary.build(TEXTS, min_count=9)


@pytest.mark.parametrize("i", [-1, 8])
def test_an_id_of_no_word_is_refused(i):
    with pytest.raises(DataError, match=f"id {i} is not the id of a word; the ids are 0 to 7"):
        Vocabulary.build(TEXTS).words_of([i])


def test_words_and_pairs_load_no_torch():
    code = (
        "import sys, emotone.data.vocab, emotone.data.pairs, emotone.data.batch; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
