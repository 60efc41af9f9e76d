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
from emotone.data.reading import DAMAGED, Problems, open_binary
from emotone.errors import DataError
from emotone.types import is_unicode

_CHUNK = 1 << 20
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
# The longest token besides strings, "-Infinity", and the longest escape, a surrogate pair, fit.
_TAIL = 2  # "-0." and "1e+" decode as far as the number before what was cut
_TOKEN = 16


class Item(NamedTuple):
    """One item: the line it starts in, its key where the file is an object, and its value."""

    line: int
    key: str | None
    value: Any


def json_items(path: Path, problems: Problems, *, within: bool = False) -> Iterator[Item]:
    """Yield the items of an array, or the members of an object.

    What is no JSON is a problem that ends the file: where the next item starts is not known then.

    Args:
        path: The file, gzipped or not.
        problems: Where damage goes.
        within: In an object, yield each item of a member that is an array instead of the member.

    Raises:
        DataError: If the file cannot be opened, or at damage where problems are to raise.
    """
    text = _Window(_chunks(path))
    try:
        yield from _members(text, within)
    except _Damage as damage:
        problems.bad(path, damage.line, damage.message)
    except json.JSONDecodeError as error:
        problems.bad(path, text.line, f"no JSON ({error.msg}); fetch or write the file again")
    except RecursionError:
        problems.bad(path, text.line, "the JSON is nested too deeply; no corpus is")
    except ValueError as error:  # a number of thousands of digits
        problems.bad(path, text.line, f"no JSON that can be read ({error})")


class _Damage(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def _members(text: _Window, within: bool) -> Iterator[Item]:
    opened = text.peek()
    if opened not in ("[", "{"):
        what = repr(opened) if opened else "nothing"
        raise _Damage(text.line, f"{what} where a JSON array or object is needed")
    if opened == "[":
        yield from _array(text, None)
    else:
        yield from _object(text, within)
    if rest := text.peek():
        raise _Damage(text.line, f"{rest!r} after the end of the JSON; write one value a file")


def _array(text: _Window, key: str | None) -> Iterator[Item]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        text.peek()
        line = text.line
        yield Item(line, key, text.value())
        if text.take(",", "]") == "]":
            return


def _object(text: _Window, within: bool) -> Iterator[Item]:
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
            yield Item(line, key, text.value())
        if text.take(",", "}") == "}":
            return


class _Window:
    """The part of a JSON text that is in memory; `line` is the line of the next character."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self.line = 1
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
    line = 1
    with open_binary(path) as source:
        while True:
            try:
                raw = source.read(_CHUNK)
                text = decoder.decode(raw, final=not raw)
            except DAMAGED as error:
                raise _Damage(
                    line, f"the gzip file is damaged ({error}); fetch it again"
                ) from error
            except UnicodeDecodeError as error:
                at = line + bytes(error.object[: error.start]).count(b"\n")
                raise _Damage(at, "bytes that are not UTF-8; save the file in UTF-8") from error
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
    except RecursionError as error:
        raise DataError("the JSON is nested too deeply; no corpus is") from error
    except ValueError as error:
        raise DataError(f"no JSON ({error}); write one object a line") from error
