"""Bytes to text: UTF-8, with or without its mark, and everything else named as what it is."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from emotone.errors import DataError

#: What editors put before UTF-8; joined files hold it in their middle, at the start of a line.
MARK = "\ufeff"

_MARKED_LINE = re.compile(f"^{MARK}+", re.MULTILINE)

#: First bytes of what is not text -> its name and what to do.
_KINDS = (
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"PK\x05\x06", "an empty zip archive; fetch it again"),
    (b"\x1f\x8b", "packed with gzip; unpack it first"),
    (b"BZh", "packed with bzip2; unpack it first"),
    (b"\xfd7zXZ\x00", "packed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!", "a rar archive; unpack it first"),
    (b"%PDF", "a PDF; save its text in UTF-8"),
    (b"PAR1", "a parquet file; name it with .parquet at the end"),
    (b"SQLite format 3\x00", "an SQLite database; export its text in UTF-8"),
    (b"\x93NUMPY", "a NumPy array; export it as text"),
    (b"\xba\x16\x4f\x2f", "a fastText model; export its vectors as text (.vec)"),
    (b"\x89HDF", "an HDF5 file; export it as text"),
    (b"\xd0\xcf\x11\xe0", "an old Office document; save it as text in UTF-8"),
)


#: Names of encodings for people, where iconv has others.
_NAMES = {"CP1252": "Windows-1252 (cp1252)", "GB18030": "GBK", "BIG5": "Big5"}


def decode(raw: bytes) -> str:
    """Read UTF-8; marks at the start of lines are no text and are left out.

    Raises:
        DataError: If it is something else; the message says what it looks like.
    """
    try:
        return without_marks(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        at = error.start
        raise DataError(f"byte {at + 1} is not UTF-8; {advice(raw, at)}") from error


def without_marks(text: str) -> str:
    """Leave out the marks at the start of lines, which a reader of joined files meets."""
    return _MARKED_LINE.sub("", text) if MARK in text else text


def read_text(path: Path, what: str = "file") -> str:
    """Read a small text file, such as one of settings.

    Args:
        path: The file.
        what: What is needed, for the message.

    Raises:
        DataError: If it cannot be read or is not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror}); name a {what} that is here"
        ) from error
    return decode_file(raw, str(path))


def decode_file(raw: bytes, name: str) -> str:
    """Read the bytes of a whole file as UTF-8; its lines end as they do.

    Raises:
        DataError: With name and line, if it is something else.
    """
    if kind := kind_of(raw):
        raise DataError(f"cannot read {name}: it is {kind}")
    try:
        return without_marks(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        start = raw.rfind(b"\n", 0, error.start) + 1
        line, at = raw.count(b"\n", 0, start) + 1, error.start - start
        end = raw.find(b"\n", error.start)
        words = advice(raw[start : None if end < 0 else end], at)
        raise DataError(
            f"cannot read {name}, line {line}: byte {at + 1} is not UTF-8; {words}"
        ) from error


def kind_of(start: bytes) -> str | None:
    """Name what a file is by its first bytes, and say what to do; None for what may be text."""
    for magic, kind in _KINDS:
        if start.startswith(magic):
            return kind
    if re.match(rb"\x80[\x02-\x05]", start):
        return "a Python pickle, which is never opened; export it as text"
    utf16 = _utf16(start)
    return None if utf16 is None else _encoded(utf16)


def advice(raw: bytes, at: int) -> str:
    """Say what to do with bytes that are not UTF-8 from a place on, by what they look like."""
    guess = _guess(raw, at)
    return "save the file in UTF-8" if guess is None else f"it looks like {_encoded(guess)}"


def _encoded(encoding: str) -> str:
    return f"{_NAMES.get(encoding, encoding)}; convert it with `iconv -f {encoding} -t UTF-8`"


def _utf16(start: bytes) -> str | None:
    if start.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    # Without a mark: of Latin text every second byte is 0.
    even, odd = start[:200:2], start[1:200:2]
    if len(start) >= 8 and not any(odd) and all(even):
        return "UTF-16LE"
    if len(start) >= 8 and not any(even) and all(odd):
        return "UTF-16BE"
    return None


def _guess(raw: bytes, at: int) -> str | None:
    """Guess among the encodings in which Chinese and English files are found.

    Common characters of GBK have both bytes high; those of Big5 have a low one half of the time; a
    sign of Windows-1252 stands alone between ASCII. A byte that no UTF-8 has, alone in valid
    UTF-8, is damage and not an encoding.
    """
    while at and raw[at - 1] > 127:  # a pair of bytes may be valid UTF-8 by chance
        at -= 1
    around = raw[at : at + 4000]
    high = re.findall(rb"[\x80-\xff]+", around)
    read = around.decode("utf-8", "replace")
    if read.count("\ufffd") <= sum(sign >= "\u0800" and sign != "\ufffd" for sign in read):
        return None  # UTF-8 with some damage
    if max(map(len, high)) == 1:
        signs = b"".join(high)
        return "CP1252" if re.fullmatch(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e-\xfe]+", signs) else None
    for encoding, common in (("GB18030", "gb2312"), ("BIG5", "big5")):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(around)  # may end within a pair
        except UnicodeDecodeError:
            continue
        signs = re.findall(r"[^\x00-\x7f]", text)
        fits = sum(bool(sign.encode(common, "ignore")) for sign in signs)
        if signs and fits >= 0.7 * len(signs):
            return encoding
    return None
