"""Files of a corpus, line by line, with errors that say where and what was expected."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, cast

from emotone.encoding import decode, decode_file, kind_of
from emotone.errors import DataError, EmotoneError, number_of
from emotone.files import is_stream

#: A line longer than this is not a line of a corpus, and is never held in memory whole.
MAX_LINE = 50 * 1024 * 1024

# A message quotes the file, and a file may hold anything.
_LONGEST = 1000

OnError = Literal["raise", "skip"]

#: What reading a damaged packed file raises, each kind of damage its own.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)

#: First bytes of a packed file -> what unpacks it.
_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


@dataclass(slots=True)
class Problems:
    """What to do with a bad line, and which ones there were.

    Args:
        on_error: "raise" stops at the first, "skip" counts them.
        keep: So many places are kept to be shown.
        count: Lines skipped so far.
        places: The first ones, "file, line 7: ...".
        left_out: What was left out of what could be read, for nothing is lost without a word: what
            it is -> how often.
        mended: What was put right, likewise.
        own_turns: Turns that follow their own speaker's and so make no example; nothing is wrong
            with them.
    """

    on_error: OnError = "raise"
    keep: int = 20
    count: int = 0
    places: list[str] = field(default_factory=list[str])
    own_turns: int = 0
    left_out: Counter[str] = field(default_factory=Counter[str])
    mended: Counter[str] = field(default_factory=Counter[str])

    def bad(self, where: str | Path, line: int | str | None, message: str) -> None:
        """Note one bad line or item.

        Args:
            where: The file.
            line: Its line, from 1, or what else names the place, such as "item 7"; None where the
                whole file is meant.
            message: What came and what is expected.

        Raises:
            DataError: If the first bad line is to stop the reading.
        """
        name, message = Path(where).name, _plain(message)
        place = f"line {line}" if isinstance(line, int) else line
        text = f"{name}: {message}" if place is None else f"{name}, {place}: {message}"
        if self.on_error == "raise":
            raise DataError(text)
        self.count += 1
        if len(self.places) < self.keep:
            self.places.append(text)

    def losses(self) -> list[str]:
        """Say in sentences what was left out or mended without a line being bad."""
        left_out = self.left_out + Counter({"turn after the same speaker's": self.own_turns})
        return [
            f"{what}: {', '.join(number_of(n, name) for name, n in counts.items())}"
            for what, counts in (("left out", left_out), ("mended", self.mended))
            if counts.total()
        ]

    @contextmanager
    def at(self, where: str | Path, line: int | str | None) -> Iterator[None]:
        """Turn an error about one item into a problem with its place.

        Nothing inside may report to these problems itself, or the place would stand there twice.
        """
        try:
            yield
        except EmotoneError as error:
            self.bad(where, line, str(error))


def _plain(message: str) -> str:
    """Make one line of a message that quotes a file: what cannot be printed is spelled out."""
    short = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)


def open_binary(path: Path, name: str | None = None) -> IO[bytes]:
    """Open a file, packed with gzip, bzip2 or xz or not (by its first bytes, not its name).

    Args:
        path: The file.
        name: What messages call it; without one its name without folders.

    Raises:
        DataError: If it is not there, is a folder or is an archive of files.
    """
    try:
        source = path.open("rb")
        start = source.peek(6)  # a pipe gives its bytes once
        for magic, unpacked in _PACKED:
            if start.startswith(magic):
                if is_stream(path):
                    return cast("IO[bytes]", unpacked(source))
                source.close()  # what unpacks a file closes no file that it did not open
                return cast("IO[bytes]", unpacked(path))
        if start.startswith(b"PK") and (kind := kind_of(start)):
            source.close()
            raise DataError(f"cannot read {name or path.name}: it is {kind}")
        return source
    except OSError as error:
        raise DataError(
            f"cannot read {name or path.name}: {error.strerror}; name a file that is here"
        ) from error


def whole_text(source: str | Path) -> str:
    """Read a file, packed or not, or stdin for "-", as UTF-8; lines end with a line feed.

    Raises:
        DataError: With file and line, if it cannot be read or is something else.
    """
    if source == "-":
        stdin = getattr(sys.stdin, "buffer", None)
        raw = sys.stdin.read().encode("utf-8", "surrogateescape") if stdin is None else stdin.read()
        name = "stdin"
    else:
        name = str(source)
        with open_binary(Path(source), name) as stream:
            try:
                raw = stream.read()
            except DAMAGED as error:
                raise DataError(
                    f"cannot read {name}: the packed file is damaged ({error}); fetch it again"
                ) from error
    return decode_file(raw, name).replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end); bad bytes and giant lines are problems."""
    with open_binary(path) as source:
        number = 0
        while True:
            try:
                raw = source.readline(MAX_LINE + 1)
                giant = len(raw) > MAX_LINE
                while giant and raw and not raw.endswith(b"\n"):
                    raw = source.readline(MAX_LINE)
            except DAMAGED as error:
                problems.bad(
                    path, number + 1, f"the packed file is damaged ({error}); fetch it again"
                )
                return
            if not number and (kind := kind_of(raw)):
                problems.bad(path, None, f"it is {kind}")
                return
            if not raw and not giant:
                return
            number += 1
            if giant:
                problems.bad(path, number, f"the line is longer than {MAX_LINE} bytes; split it")
                continue
            try:
                text = decode(raw)
            except DataError as error:
                problems.bad(path, number, str(error))
            else:
                yield number, text.rstrip("\r\n")


def filled_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield what `read_lines` does but blank lines; a row of empty fields is blank."""
    return ((number, line) for number, line in read_lines(path, problems) if line.strip(" "))


def is_utf16(path: Path) -> bool:
    """Tell by the mark at its start whether a file is UTF-16.

    Raises:
        DataError: If the file cannot be opened.
    """
    with open_binary(path) as source:
        try:
            return source.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        except DAMAGED:
            return False


def read_utf16(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of UTF-16; damage ends the file."""
    number = 0
    with open_binary(path) as source, io.TextIOWrapper(source, "utf-16", newline="\n") as lines:
        try:
            while line := lines.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    problems.bad(path, number, f"the line is longer than {MAX_LINE} characters")
                    return
                yield number, line.rstrip("\r\n")
        except UnicodeError as error:
            problems.bad(path, number + 1, f"no UTF-16 ({error}); save the file in UTF-8")
        except DAMAGED as error:
            problems.bad(path, number + 1, f"the packed file is damaged ({error}); fetch it again")


def read_aligned(
    paths: Sequence[Path], problems: Problems
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line number, that line of each file) of files that belong together line by line.

    A file that ends before the others is a problem that ends the reading.
    """
    sources = [read_lines(path, problems) for path in paths]
    heads = [next(source, None) for source in sources]
    while any(heads):
        line = min(head[0] for head in heads if head)
        for path, head in zip(paths, heads, strict=True):
            if head is None:
                longer = next(p.name for p, h in zip(paths, heads, strict=True) if h)
                problems.bad(path, line, f"the file ends, but {longer} goes on; fetch both again")
                return
        row = [head[1] for head in heads if head and head[0] == line]
        if len(row) == len(paths):  # else a line of one file was bad, and is counted already
            yield line, tuple(row)
        heads = [
            next(source, None) if head and head[0] == line else head
            for source, head in zip(sources, heads, strict=True)
        ]
