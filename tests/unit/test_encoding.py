"""What is not UTF-8 is named as what it is."""

from __future__ import annotations

import bz2
import lzma

import pytest

from emotone.encoding import decode, decode_file, kind_of
from emotone.errors import DataError, number_of

SIMPLE = "今天下雨了，没带伞。我真的很难过，你呢？"
TRADITIONAL = "今天下雨了，沒帶傘。我真的很難過，你呢？"


def test_marks_at_the_start_of_lines_are_no_text():
    mark = b"\xef\xbb\xbf"
    assert decode(mark + b"a\n" + mark + mark + b"b \xef\xbb\xbfc") == "a\nb \ufeffc"


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        (SIMPLE, "gbk", "looks like GBK; convert it with `iconv -f GB18030 -t UTF-8`"),
        (TRADITIONAL, "gbk", "looks like GBK"),
        (TRADITIONAL, "big5", "looks like Big5; convert it with `iconv -f BIG5 -t UTF-8`"),
        ("I’m here… she said “late”", "cp1252", "looks like Windows-1252 (cp1252)"),
        ("un café déjà vu", "latin-1", "looks like Windows-1252 (cp1252)"),
        ('["外面 下雪 了", 1', "gb18030", "looks like GBK"),
    ],
)
def test_the_encodings_of_the_field_are_named(text, encoding, said):
    with pytest.raises(DataError) as caught:
        decode(text.encode(encoding))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b'{"post": "\xff"}', "你好".encode()[:-1], "好".encode() + b"\xff"]
)
def test_damage_is_no_encoding(raw):
    with pytest.raises(DataError, match=r"byte \d+ is not UTF-8; save the file in UTF-8$"):
        decode(raw)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"PK\x03\x04a", "a zip archive"),
        (bz2.compress(b"a"), "packed with bzip2"),
        (lzma.compress(b"a"), "packed with xz"),
        ("a".encode("utf-16"), "UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`"),
        ("hello there".encode("utf-16-le"), "UTF-16LE"),
        ("hello there".encode("utf-32"), "UTF-32"),
        (b"\x80\x04\x95", "a Python pickle, which is never opened"),
        (b"PAR1abc", "a parquet file"),
    ],
)
def test_what_is_no_text_is_named_by_its_first_bytes(raw, kind):
    assert str(kind_of(raw)).startswith(kind)
    with pytest.raises(DataError, match=r"^cannot read a: it is "):
        decode_file(raw, "a")


@pytest.mark.parametrize("raw", [b"", b"PK", "好".encode(), b"a\x00b", b"[1]"])
def test_what_may_be_text_has_no_such_name(raw):
    assert kind_of(raw) is None


def test_a_file_says_its_line():
    with pytest.raises(DataError, match=r"^cannot read a, line 2: byte 3 is not UTF-8; save"):
        decode_file(b"ab\ncd\xff\nef", "a")


@pytest.mark.parametrize(
    ("count", "one", "text"),
    [
        (1, "reply", "1 reply"),
        (2, "reply", "2 replies"),
        (0, "bad line", "0 bad lines"),
        (2, "turn after the same speaker's", "2 turns after the same speaker's"),
        (3, "message of a tool", "3 messages of a tool"),
        (2, "essay", "2 essays"),
    ],
)
def test_things_are_counted_as_a_sentence_does(count, one, text):
    assert number_of(count, one) == text
