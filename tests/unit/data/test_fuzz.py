"""Malformed files for every corpus reader: a DataError with its place, or examples; nothing else.

About 500 files in a usual run; `-m slow` makes more than 5,000.
"""

from __future__ import annotations

import gc
import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotone.data import corpora, reading
from emotone.data.corpus import find
from emotone.data.examples import example_line, read_examples
from emotone.data.reading import Problems
from emotone.errors import DataError

NAMES = corpora.names()
QUICK = 20
THOROUGH = 200

Mutation = Callable[[bytes, random.Random], bytes]


def _at(blob: bytes, dice: random.Random) -> int:
    return dice.randrange(len(blob) + 1)


def _insert(*pieces: bytes) -> Mutation:
    def insert(blob: bytes, dice: random.Random) -> bytes:
        at = _at(blob, dice)
        return blob[:at] + dice.choice(pieces) + blob[at:]

    return insert


def _noise(blob: bytes, dice: random.Random) -> bytes:
    at = _at(blob, dice)
    return blob[:at] + dice.randbytes(dice.randrange(1, 9)) + blob[at + dice.randrange(9) :]


def _cut(blob: bytes, dice: random.Random) -> bytes:
    return blob[: _at(blob, dice)]


def _drop(blob: bytes, dice: random.Random) -> bytes:
    at = _at(blob, dice)
    return blob[:at] + blob[at + dice.randrange(1, 30) :]


def _twice(blob: bytes, dice: random.Random) -> bytes:
    first, last = sorted((_at(blob, dice), _at(blob, dice)))
    return blob[:last] + blob[first:]


def _lines(blob: bytes, dice: random.Random) -> bytes:
    lines = blob.splitlines(keepends=True)
    dice.shuffle(lines)
    return b"".join(lines[: dice.randrange(len(lines) + 1)] if dice.random() < 0.5 else lines)


def _word(blob: bytes, dice: random.Random) -> bytes:
    """Put another label, number or word in the place of one."""
    words = list(re.finditer(rb"[A-Za-z]+|[0-9]+", blob))
    if not words:
        return blob
    word = dice.choice(words)
    other = dice.choice([b"dreamy", b"-1", b"99", b"1e9", b"true", b"null", b"", b"9" * 5000])
    return blob[: word.start()] + other + blob[word.end() :]


def _swap_marks(blob: bytes, dice: random.Random) -> bytes:
    """Put one mark of the format in the place of another."""
    marks = list(re.finditer(rb"[\[\]{}\",:\t<>/|-]", blob))
    if not marks:
        return blob
    at = dice.choice(marks).start()
    return (
        blob[:at] + dice.choice([b"[", b"]", b"{", b'"', b",", b"\t", b"<", b">"]) + blob[at + 1 :]
    )


def _reshape(blob: bytes, dice: random.Random) -> bytes:
    """Put a value of another kind somewhere in a JSON file; other files are left alone."""
    try:
        value = json.loads(blob)
    except (ValueError, RecursionError):  # an earlier mutation may have nested it without end
        return _word(blob, dice)
    odd: list[Any] = [None, 3, -1, 1.5, True, "", " ", "\ud800", [], {}, [[]], {"a": []}, "x" * 99]
    node, key = value, None
    while isinstance(node, list | dict) and node:
        key = dice.choice(list(node) if isinstance(node, dict) else range(len(node)))
        child = node[key]
        if dice.random() < 0.3 or not (isinstance(child, list | dict) and child):
            node[key] = dice.choice(odd)
            return json.dumps(value).encode()
        node = child
    return json.dumps(dice.choice(odd)).encode()


def _deep(blob: bytes, dice: random.Random) -> bytes:
    at = dice.choice([0, _at(blob, dice)])
    return blob[:at] + dice.choice([b"[", b'{"a":', b"<a>", b"- "]) * 100_000 + blob[at:]


def _pack(blob: bytes, dice: random.Random) -> bytes:
    packed = bytearray(gzip.compress(blob))
    if dice.random() < 0.5:
        return bytes(packed[: dice.randrange(len(packed))])
    packed[dice.randrange(2, len(packed))] ^= 1 << dice.randrange(8)
    return bytes(packed)


MUTATIONS: tuple[Mutation, ...] = (
    _noise,
    _cut,
    _drop,
    _twice,
    _lines,
    _word,
    _word,
    _swap_marks,
    _swap_marks,
    _reshape,
    _reshape,
    _deep,
    _pack,
    _insert(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x00", b"\xe5\xa4"),
    _insert(b"\xef\xbb\xbf", b"\xff\xfe"),
    _insert(b"\\ud800", b"\\udc00", b"&#xD800;", b"&bomb;", b"<!DOCTYPE a [<!ENTITY b 'c'>]>"),
    _insert(b"\n", b"\r", b"\n\n", "\u2028".encode(), "\x85".encode()),
    _insert(b"*a", b"&a ", b"!!python/object:os.system ", b"? ", b"|\n"),
    lambda blob, dice: b"",
    lambda blob, dice: b" \n",
)


def _check(name: str, where: Path, cases: st.DataObject) -> None:
    dice = random.Random(cases.draw(st.integers(0, 2**32), label="seed"))
    module = corpora.module(name)
    files = {file: text.encode() for file, text in module.SAMPLE.items()}
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        file = dice.choice(sorted(files))
        files[file] = dice.choice(MUTATIONS)(files[file], dice)
    for file, blob in files.items():
        path = where / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob)
    limit = dice.choice([None, None, None, 60])
    with pytest.MonkeyPatch.context() as patch:
        if limit is not None:
            patch.setattr(reading, "MAX_LINE", limit)
        for split in [None, *module.CORPUS.files]:
            _read_both_ways(name, where, split, {Path(file).name for file in files})


def _read_both_ways(name: str, where: Path, split: str | None, files: set[str]) -> None:
    module = corpora.module(name)
    skipping = Problems("skip")
    try:
        find(module.CORPUS, where, split)
    except DataError:
        return  # a sample need not have every split
    made = list(module.read(where, skipping, split=split))
    assert list(read_examples(map(example_line, made), "again")) == made
    strict = Problems()
    if not skipping.count:
        assert list(module.read(where, strict, split=split)) == made
        return
    with pytest.raises(DataError) as caught:
        list(module.read(where, strict, split=split))
    said = str(caught.value)
    assert said == skipping.places[0]
    assert any(said.startswith(file) for file in files), said
    assert len(said) < 2000
    assert said.isprintable(), said


@pytest.fixture(autouse=True)
def others_are_swept_away_before() -> Iterator[None]:
    """What other tests left is not collected within a recursion that has no room for it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", NAMES)
@given(cases=st.data())
@settings(
    max_examples=QUICK, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_a_malformed_file_is_a_data_error_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, name: str, cases: st.DataObject
):
    _check(name, tmp_path_factory.mktemp("fuzz"), cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@given(cases=st.data())
@settings(
    max_examples=THOROUGH, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_thousands_of_malformed_files_are_data_errors_with_their_place(
    tmp_path_factory: pytest.TempPathFactory, name: str, cases: st.DataObject
):
    _check(name, tmp_path_factory.mktemp("fuzz"), cases)


def test_there_are_as_many_as_promised():
    assert QUICK * len(NAMES) >= 500
    assert THOROUGH * len(NAMES) >= 5000
