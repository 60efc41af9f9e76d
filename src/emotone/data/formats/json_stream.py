"""The items of a large JSON file, one at a time, each with the line it starts in.

A corpus of a million pairs is one JSON array; read whole it takes several times its size. Here one
item and one chunk are in memory. The decoder is the standard library's; only the array or object
around the items is read by hand.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from emotone.data import reading
from emotone.data.reading import DAMAGED, Problems, filled_lines, open_binary
from emotone.encoding import advice, kind_of
from emotone.errors import DataError
from emotone.types import is_unicode

_CHUNK = 1 << 20
_BLANK = re.compile(r"[ \t\n\r]*")
_OPENING = re.compile(rb"\s*[\[{]\s*[\"\[{\]}]")
_DECODER = json.JSONDecoder()
# The longest token besides strings, "-Infinity", and the longest escape, a surrogate pair, fit.
_TAIL = 2  # "-0." and "1e+" decode as far as the number before what was cut
_TOKEN = 16


class Item(NamedTuple):
    """One item: the line it starts in and its number, from 1, its place for people, key, value."""

    line: int
    number: int
    place: str
    key: str | None
    value: Any


def json_items(
    path: Path, problems: Problems, *, within: bool = False, objects: bool = False
) -> Iterator[Item]:
    """Yield the items of an array, the members of an object, or the values of JSON lines.

    Which of them a file is shows in it, not in its name. What is no JSON is a problem that ends an
    array or object: where the next item starts is not known then.

    Args:
        path: The file, gzipped or not.
        problems: Where damage goes.
        within: In an object, yield each item of a member that is an array instead of the member.
        objects: Whether an object is one item, and not its members.

    Raises:
        DataError: If the file cannot be opened, or at damage where problems are to raise.
    """
    if is_json_lines(path):
        yield from _lines(path, problems)
        return
    text = _Window(_chunks(path))
    number, last = 0, 0
    try:
        for line, key, value in _members(text, within, objects=objects):
            number += 1
            yield Item(line, number, _place(line, number, alone=line > last), key, value)
            last = line
    except _Damage as damage:
        place = line = damage.line
        if line is not None and text.entered:
            place = _place(line, number + 1, alone=line > last)
        problems.bad(path, place, damage.message)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        place = _place(text.line, number + 1, alone=text.line > last)
        problems.bad(path, place, json_fault(error, "fetch or write the file again"))


def _place(line: int, number: int, *, alone: bool) -> str:
    """Name an item by its line, unless others are in that line: corpora are files of one line."""
    if line == 1:
        return f"item {number}"
    return f"line {line}" if alone else f"line {line}, item {number}"


def json_fault(error: Exception, remedy: str) -> str:
    """Say in half a sentence what is wrong with JSON."""
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply; no corpus is"
    if isinstance(error, json.JSONDecodeError):
        rest, before = error.doc[error.pos :].lstrip(), error.doc[: error.pos].rstrip()
        if error.msg == "Extra data" and rest == ",":
            return "a comma after the value; remove it"
        if before.endswith(",") and rest[:1] in ("]", "}"):
            return f"a comma before the {rest[0]!r}; remove it"
        if error.msg.startswith("Expecting") and not rest:
            return f"the JSON goes on in the next line or is cut off; {remedy}"
        return f"no JSON ({error.msg.removesuffix(' starting at')}); {remedy}"
    return f"no JSON that can be read ({error})"  # a number of thousands of digits


def is_json_lines(path: Path) -> bool:
    """Tell JSON lines: the first line is a value, and another value follows in the next."""
    with open_binary(path) as source:
        try:
            start = source.read(_CHUNK)
        except DAMAGED:
            return False
    first, _, rest = start.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    rest = rest.lstrip(b"\xef\xbb\xbf \t\r\n")
    if first[:1] not in (b"[", b"{") or rest[:1] != first[:1]:
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return first[:1] == b"{" and first.rstrip().endswith(b"}")  # a bad line among others
    return True


def holds_json(path: Path) -> bool:
    """Tell a file of JSON by its name, else by its start; text may begin with a bracket too."""
    if {".json", ".jsonl"} & set(path.suffixes):
        return True
    with open_binary(path) as source:
        try:
            start = source.read(_CHUNK)
        except DAMAGED:
            return False
    return _OPENING.match(start.removeprefix(b"\xef\xbb\xbf")) is not None


def _lines(path: Path, problems: Problems) -> Iterator[Item]:
    for line, content in filled_lines(path, problems):
        try:
            value = json_line(content)
        except DataError as error:
            problems.bad(path, line, str(error))
        else:
            yield Item(line, line, f"line {line}", None, value)


class _Damage(Exception):
    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


_Member = tuple[int, "str | None", Any]


def _members(text: _Window, within: bool, *, objects: bool) -> Iterator[_Member]:
    opened = text.peek()
    if opened not in ("[", "{"):
        if not opened:
            raise _Damage(None, "the file is empty; a JSON array or object is needed")
        raise _Damage(text.line, f"{opened!r} where a JSON array or object is needed")
    text.entered = True
    if opened == "[":
        yield from _array(text, None)
    elif objects:
        yield text.line, None, text.value()
    else:
        yield from _object(text, within)
    text.entered = False
    if rest := text.peek():
        raise _Damage(text.line, f"{rest!r} after the end of the JSON; write one value a file")


def _array(text: _Window, key: str | None) -> Iterator[_Member]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        text.peek()
        line = text.line
        yield line, key, text.value()
        if text.take(",", "]") == "]":
            return
        text.needs_more("]")


def _object(text: _Window, within: bool) -> Iterator[_Member]:
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        text.peek()
        line = text.line
        key = text.value()
        if not isinstance(key, str):
            raise _Damage(line, "a key that is not text; write the keys of an object in quotes")
        if not is_unicode(key):  # keys become names of examples, which are written as UTF-8
            raise _Damage(line, "a key with half a surrogate pair; write the text in UTF-8")
        text.take(":")
        if within and text.peek() == "[":
            yield from _array(text, key)
        else:
            text.peek()
            yield line, key, text.value()
        if text.take(",", "}") == "}":
            return
        text.needs_more("}")


class _Window:
    """The part of a JSON text that is in memory; `line` is the line of the next character.

    `entered` says whether the array or object around the items has begun.
    """

    def __init__(self, chunks: Iterator[str]) -> None:
        self.line = 1
        self.entered = False
        self._chunks = chunks
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """Return the next character that is not a blank, or "" at the end."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._advance(blank.end() if blank else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def take(self, *allowed: str) -> str:
        """Go past the next character, which must be one of those allowed."""
        came = self.peek()
        if came not in allowed:
            wanted = " or ".join(map(repr, allowed))
            raise _Damage(self.line, f"{came or 'the end'!r} where the JSON needs {wanted}")
        self._advance(self._at + 1)
        return came

    def needs_more(self, end: str) -> None:
        """Refuse the end of an array or object where an item must follow a comma."""
        if self.peek() == end:
            raise _Damage(self.line, f"a comma before the {end!r}; remove it")

    def value(self) -> Any:
        """Go past the next value and return it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _TOKEN or "Unterminated" in error.msg
                if cut and self._grow():
                    continue
                raise
            if end >= len(self._text) - _TAIL and self._grow():
                continue  # a number may go on
            self._advance(end)
            return value

    def _advance(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _grow(self) -> bool:
        """Read on, at least as much as waits already, so that a long item is tried few times."""
        rest = self._text[self._at :]
        if len(rest) > reading.MAX_LINE:
            raise _Damage(
                self.line, f"the item is longer than {reading.MAX_LINE} characters; split it"
            )
        pieces = [rest]
        gained = 0
        for piece in self._chunks:
            pieces.append(piece)
            gained += len(piece)
            if gained >= len(rest):
                break
        if not gained:
            return False
        self._text = "".join(pieces)
        self._at = 0
        return True


def _chunks(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    line, first = 1, True
    with open_binary(path) as source:
        while True:
            try:
                raw = source.read(_CHUNK)
                if first and (kind := kind_of(raw)):
                    raise _Damage(line, f"it is {kind}")
                first = False
                text = decoder.decode(raw, final=not raw)
            except DAMAGED as error:
                raise _Damage(
                    line, f"the packed file is damaged ({error}); fetch it again"
                ) from error
            except UnicodeDecodeError as error:
                at = line + bytes(error.object[: error.start]).count(b"\n")
                words = advice(bytes(error.object), error.start)
                raise _Damage(at, f"bytes that are not UTF-8; {words}") from error
            if text:
                line += text.count("\n")
                yield text
            if not raw:
                return


def json_line(line: str) -> Any:
    """Read one line of a JSON-lines file.

    Raises:
        DataError: If it is no JSON.
    """
    try:
        return json.loads(line)
    except (RecursionError, ValueError) as error:
        raise DataError(json_fault(error, "write one object a line")) from error
