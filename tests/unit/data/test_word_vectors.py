"""Word vectors in the text format of Chinese-Word-Vectors."""

from __future__ import annotations

import bz2
import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emotone.data.reading import Problems
from emotone.data.word_vectors import WordVectors, read_word_vectors, write_word_vectors
from emotone.errors import DataError, EmotoneError

PLAIN = "3 2\n开心 0.5 -1.25 \n难过 1e-3 2\n神舟 五号 3 4\n"

word = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n \0"),
               min_size=1, max_size=4)  # fmt: skip
floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def put(folder: Path, text: str | bytes, name: str = "v.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize("header", [True, False])
def test_read_plain_and_packed_with_and_without_header(tmp_path, pack, header):
    text = PLAIN if header else PLAIN.partition("\n")[2]
    vectors = read_word_vectors(put(tmp_path, pack(text.encode())))
    assert vectors.words == ("开心", "难过", "神舟 五号")
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_array_equal(
        vectors.matrix, np.array([[0.5, -1.25], [1e-3, 2], [3, 4]], dtype=np.float32)
    )


def test_only_the_words_asked_for_are_kept(tmp_path):
    vectors = read_word_vectors(put(tmp_path, PLAIN), {"难过", "害怕"})
    assert vectors.words == ("难过",)
    assert vectors.matrix.shape == (1, 2)
    assert vectors.coverage(["难过", "害怕"]) == 0.5
    assert math.isnan(vectors.coverage([]))
    none = read_word_vectors(put(tmp_path, PLAIN), {"害怕"})
    assert none.words == ()
    assert none.matrix.shape == (0, 2)


@given(data=st.data(), digits=st.sampled_from([9, 17]))
@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz"])
def test_what_is_written_is_read(tmp_path_factory, name, data, digits):
    words = data.draw(st.lists(word, unique=True, max_size=6))
    width = data.draw(st.integers(1, 4))
    matrix = data.draw(hnp.arrays(np.float32, (len(words), width), elements=floats32))
    path = tmp_path_factory.mktemp("v") / name
    write_word_vectors(path, words, matrix, digits=digits)
    read = read_word_vectors(path)
    assert read.words == tuple(words)
    np.testing.assert_array_equal(read.matrix, matrix)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_words_that_nobody_sees_come_back_too(tmp_path):
    words = ["\ufeff", "\u200b", "\u3000", "\u2028好"]
    write_word_vectors(tmp_path / "v.txt", words, np.eye(4, dtype=np.float32))
    assert read_word_vectors(tmp_path / "v.txt").words == tuple(words)


def test_two_writes_are_the_same_bytes(tmp_path):
    matrix = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    for name in ("a.txt.gz", "b.txt.gz"):
        write_word_vectors(tmp_path / name, ["好", "坏"], matrix)
    assert (tmp_path / "a.txt.gz").read_bytes() == (tmp_path / "b.txt.gz").read_bytes()


BAD = {
    "too few numbers": ("2 3\n好 1 2 3\n坏 1 2\n", r"v\.txt, line 3: 2 fields .* 3 numbers"),
    "too many numbers": ("2 2\n好 0.1 0.2\n坏 0.1 0.2 0.3\n", r"line 3: 3 fields .* 2 numbers"),
    "no header, one line longer": ("好 0.1 0.2\n坏 0.1 0.2 0.3\n", r"line 2: 3 fields"),
    "nan": ("2 2\n好 1 2\n坏 1 nan\n", r"line 3: number 2 is nan"),
    "infinity": ("好 1e400 2\n", r"line 1: number 1 is 1e400"),
    "beyond float32": ("好 1e39 2\n", r"line 1: number 1 is 1e39"),
    "no number": ("2 2\n好 1 2\n坏 1 x\n", r"line 3: 'x' is not a number"),
    "no word": ("1 2\n 1 2\n", r"line 2: 2 fields"),
    "empty line": ("2 2\n好 1 2\n\n", r"line 3: 0 fields"),
    "a line without numbers": (
        "好\n",
        r"line 1: 0 fields after the first; give a word and its numbers",
    ),
    "the end is missing": ("3 2\n好 1 2\n坏 1 2\n", r"promises 3 words, but 2 came"),
    "empty file": ("", r"no word vector is in it"),
    "vectors of nothing": ("2 0\n好\n", r"line 1: vectors of 0 numbers"),
    "no utf-8": (b"1 1\n\xff 1\n", r"line 2: byte 1 is not UTF-8"),
    "cut bzip2": (bz2.compress(PLAIN.encode() * 99)[:60], r"damaged"),
    "changed gzip": (gzip.compress(PLAIN.encode())[:10] + b"\xff" * 40, r"damaged"),
    "cut gzip": (gzip.compress(PLAIN.encode() * 99)[:60], r"damaged"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_with_their_line(tmp_path, case):
    content, message = BAD[case]
    with pytest.raises(DataError, match=message):
        read_word_vectors(put(tmp_path, content))


def test_bad_lines_can_be_skipped_and_counted(tmp_path):
    problems = Problems(on_error="skip")
    path = put(tmp_path, "4 2\n好 1 2\n坏 1\n大 1 nan\n小 3 4\n")
    assert read_word_vectors(path, problems=problems).words == ("好", "小")
    assert problems.count == 2
    assert problems.places[0].startswith("v.txt, line 3:")


def test_numbers_of_words_not_asked_for_are_not_read_but_their_fields_are_counted(tmp_path):
    assert read_word_vectors(put(tmp_path, "2 2\n好 1 2\n坏 1 x\n"), {"好"}).words == ("好",)
    with pytest.raises(DataError, match="line 3"):
        read_word_vectors(put(tmp_path, "2 2\n好 1 2\n坏 1\n"), {"好"})


@given(st.binary(max_size=60) | st.text("好坏 .1e-2nanx\n\t", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_in_words(tmp_path_factory, content):
    path = put(tmp_path_factory.getbasetemp(), content, "any.txt")
    try:
        vectors = read_word_vectors(path)
    except EmotoneError as error:
        vectors, said = None, str(error)
    else:
        said = ""
    assert vectors is not None or said.startswith("any.txt")
    assert vectors is None or np.isfinite(vectors.matrix).all()


def test_embedding_rows_of_a_vocabulary():
    vectors = WordVectors(("好", "坏"), np.array([[9, 9, 9], [8, 8, 8]], dtype=np.float32))
    vocabulary = ["<pad>", "坏", *(f"词{i}" for i in range(400))]
    rows, found = vectors.rows(vocabulary, np.random.default_rng(1))
    again, _ = vectors.rows(vocabulary, np.random.default_rng(1))
    np.testing.assert_array_equal(rows, again)
    assert rows.dtype == np.float32
    assert found.tolist() == [False, True] + [False] * 400
    np.testing.assert_array_equal(rows[1], [8, 8, 8])
    assert np.abs(np.delete(rows, 1, 0)).max() <= 1.0
    assert np.delete(rows, 1, 0).var() == pytest.approx(1 / 3, rel=0.1)


@pytest.mark.parametrize(
    "words", [[""], [" 好"], ["好 "], ["好\n"], ["好 0.5"], ["\ud800"], ["好", "好"]]
)
def test_words_that_cannot_be_read_back_are_not_written(tmp_path, words):
    with pytest.raises(DataError):
        write_word_vectors(tmp_path / "v.txt", words, np.ones((len(words), 2), dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_none_and_shapes_that_do_not_fit_are_not_written(tmp_path):
    with pytest.raises(DataError, match="NaN or infinity"):
        write_word_vectors(tmp_path / "v.txt", ["好"], np.array([[np.nan]], dtype=np.float32))
    with pytest.raises(DataError, match="one row for each word"):
        write_word_vectors(tmp_path / "v.txt", ["好"], np.ones((2, 2), dtype=np.float32))
    with pytest.raises(DataError, match="name a file in a folder that exists"):
        write_word_vectors(tmp_path / "no/v.txt", ["好"], np.ones((1, 2), dtype=np.float32))


def test_gensim_reads_what_we_write_and_we_what_it_writes(tmp_path):
    models = pytest.importorskip("gensim.models", reason="gensim is not installed (recipes only)")
    words, matrix = ["开心", "难过", "abc"], np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    write_word_vectors(tmp_path / "ours.txt", words, matrix)
    theirs = models.KeyedVectors.load_word2vec_format(str(tmp_path / "ours.txt"))
    assert theirs.index_to_key == words
    np.testing.assert_array_equal(theirs.vectors, matrix)
    theirs.save_word2vec_format(str(tmp_path / "theirs.txt"))
    back = read_word_vectors(tmp_path / "theirs.txt")
    assert back.words == tuple(words)
    np.testing.assert_allclose(back.matrix, matrix, rtol=1e-6)
