"""JSON arrays and objects, item by item."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.data import reading
from emotone.data.formats import json_stream
from emotone.data.formats.json_stream import Item, json_items
from emotone.data.reading import Problems
from emotone.errors import DataError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=9,
)


def items(tmp_path: Path, text: str | bytes, **kwargs: bool) -> list[Item]:
    path = tmp_path / "f.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return list(json_items(path, Problems(), **kwargs))


@given(
    value=st.lists(JSON, max_size=5) | st.dictionaries(st.text(max_size=3), JSON, max_size=5),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
)
def test_any_array_or_object_gives_what_json_gives_at_any_chunk(
    tmp_path_factory: pytest.TempPathFactory,
    value: Any,
    chunk: int,
    indent: int | None,
    ascii_only: bool,
):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    text = text.encode("utf-8", "replace").decode()
    value = json.loads(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        found = items(tmp_path_factory.mktemp("json"), text)
    if isinstance(value, list):
        assert [item.value for item in found] == value
        assert all(item.key is None for item in found)
    else:
        assert {item.key: item.value for item in found} == value
    for item in found:
        line = text.split("\n")[item.line - 1]
        start = json.dumps(item.key if item.key is not None else item.value)
        assert ascii_only is False or start[:1] in line


@given(st.dictionaries(st.text("abc", max_size=3), st.lists(st.integers(), max_size=4), max_size=4))
def test_within_an_object_the_items_of_arrays_come_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, list[int]]
):
    found = items(tmp_path_factory.mktemp("json"), json.dumps(value), within=True)
    assert [(i.key, i.value) for i in found] == [(k, v) for k in value for v in value[k]]


def test_each_item_has_its_line(tmp_path: Path):
    text = '\ufeff[\n 1,\n\n {"a":\n "b"}\n,\r\n "c\\nd", [\n]\n]\n\n'
    assert items(tmp_path, text) == [
        Item(2, 1, "line 2", None, 1),
        Item(4, 2, "line 4", None, {"a": "b"}),
        Item(7, 3, "line 7", None, "c\nd"),
        Item(7, 4, "line 7, item 4", None, []),
    ]


DAMAGED = {
    "nothing": ("", "f.json: the file is empty; a JSON array or object is needed"),
    "blanks": ("\n\n", "f.json: the file is empty"),
    "a text": ('"a"', "line 1: '\"' where a JSON array"),
    "no end": ("[1,\n2", "line 2, item 3: 'the end' where the JSON needs ',' or ']'"),
    "a comma too many": ("[1,\n]", "line 2: a comma before the ']'; remove it"),
    "a comma too many inside": ("[[1,2,]]", "item 1: a comma before the ']'; remove it"),
    "no comma": ("[1\n2]", "line 2: '2' where the JSON needs"),
    "half an item": ('[1,\n{"a": ', "line 2: the JSON goes on in the next line or is cut off"),
    "a comma too many in an object": ('{"a": 1,}', "item 2: a comma before the '}'; remove it"),
    "half a text": ('[1,\n"a', "line 2: no JSON (Unterminated string"),
    "a line end in a text": ('[\n"a\nb"]', "line 2: no JSON (Invalid control character"),
    "more after the end": ("[1,\n2]\n[2]", "line 3: '[' after the end"),
    "a key that is none": ("{1: 2}", "a key that is not text"),
    "half a surrogate in a key": (
        '{\n"a\\ud800": [1]}',
        "line 2: a key with half a surrogate pair",
    ),
    "no colon": ('{"a" 2}', "needs ':'"),
    "no UTF-8": (b'[1,\n"a\xff"]', "line 2: bytes that are not UTF-8"),
    "cut UTF-8": ('[1,\n"天'.encode()[:-1], "line 2: bytes that are not UTF-8"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep object": ('{"a":' * 100_000, "nested too deeply"),
    "a huge number": ("[" + "9" * 5000 + "]", "no JSON that can be read (Exceeds the limit"),
    "UTF-16": ("[1]".encode("utf-16"), "it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`"),
    "GBK": ('["外面下雪了"]'.encode("gbk"), "not UTF-8; it looks like GBK; convert it with `iconv"),
    "cut in one line": ('["a", "b", "c', "item 3: no JSON (Unterminated string"),
}


@pytest.mark.parametrize(("text", "said"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_problem_with_its_line(text: str | bytes, said: str, tmp_path: Path):
    with pytest.raises(DataError) as caught:
        items(tmp_path, text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("f.json")
    problems = Problems("skip")
    list(json_items(tmp_path / "f.json", problems))
    assert problems.count == 1


def test_what_stands_before_the_damage_is_given(tmp_path: Path):
    path = tmp_path / "f.json"
    path.write_text('["a", "b", oops, "c"]')
    assert [item.value for item in json_items(path, Problems("skip"))] == ["a", "b"]


def test_a_giant_item_is_refused_before_it_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reading, "MAX_LINE", 1000)
    monkeypatch.setattr(json_stream, "_CHUNK", 100)
    with pytest.raises(DataError, match="line 2: the item is longer than 1000 characters"):
        items(tmp_path, '["a",\n"' + "b" * 100_000 + '"]')


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"cannot read absent\.json"):
        list(json_items(tmp_path / "absent.json", Problems()))


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_stream, "_CHUNK", 1 << 14)
    path = tmp_path / "f.json"
    pair = json.dumps([["今天 下雨 了 ， 没 带 伞", 2], ["快 找 个 地方 躲 一下", 1]])
    path.write_text(f"[{', '.join([pair] * 10_000)}]")
    tracemalloc.start()
    try:
        count = sum(1 for _ in json_items(path, Problems()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 10_000
    assert peak < path.stat().st_size / 4


@pytest.mark.parametrize("number", ["-0.0", "1.25", "1e5", "1e+5", "1E-07", "12"])
def test_a_number_may_be_cut_anywhere(number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "numbers.json"
    text = f"[null, {number}, {number}]"
    path.write_text(text, encoding="utf-8")
    for chunk in range(1, len(text) + 1):
        monkeypatch.setattr("emotone.data.formats.json_stream._CHUNK", chunk)
        found = [item.value for item in json_items(path, Problems())]
        assert found == json.loads(text), chunk
