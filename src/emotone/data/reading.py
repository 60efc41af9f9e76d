"""Files of a corpus, line by line, with errors that say where and what was expected."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from emotone.errors import DataError

#: A line longer than this is no line of a corpus, and is never held in memory whole.
MAX_LINE = 50 * 1024 * 1024

OnError = Literal["raise", "skip"]


@dataclass(slots=True)
class Problems:
    """What to do with a bad line, and which ones there were.

    Args:
        on_error: "raise" stops at the first, "skip" counts them.
        keep: So many places are kept to be shown.
        count: Lines skipped so far.
        places: The first ones, "file, line 7: ...".
    """

    on_error: OnError = "raise"
    keep: int = 20
    count: int = 0
    places: list[str] = field(default_factory=list[str])

    def bad(self, where: str | Path, line: int | None, message: str) -> None:
        """Note one bad line or item.

        Args:
            where: The file.
            line: Its line, from 1; None where the whole file is meant.
            message: What came and what is expected.

        Raises:
            DataError: If the first bad line is to stop the reading.
        """
        name = Path(where).name
        text = f"{name}, line {line}: {message}" if line is not None else f"{name}: {message}"
        if self.on_error == "raise":
            raise DataError(text)
        self.count += 1
        if len(self.places) < self.keep:
            self.places.append(text)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file, gzipped or not (by its first bytes, not its name).

    Raises:
        DataError: If it is not there or is a folder.
    """
    try:
        source = path.open("rb")
    except OSError as error:
        raise DataError(
            f"cannot read {path.name}: {error.strerror}; name a file that is here"
        ) from (error)
    magic = source.read(2)
    source.seek(0)
    return gzip.GzipFile(fileobj=source) if magic == b"\x1f\x8b" else source  # pyright: ignore[reportReturnType]


def read_lines(
    path: Path, problems: Problems, *, encoding: str = "utf-8"
) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end); bad bytes and giant lines are problems."""
    with open_binary(path) as source:
        number = 0
        while True:
            try:
                raw = source.readline(MAX_LINE + 1)
            except (OSError, EOFError) as error:
                problems.bad(
                    path, number + 1, f"the gzip file is damaged ({error}); fetch it again"
                )
                return
            if not raw:
                return
            number += 1
            if len(raw) > MAX_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = source.readline(MAX_LINE)
                problems.bad(path, number, f"the line is longer than {MAX_LINE} bytes; split it")
                continue
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw[3:]
            try:
                yield number, raw.decode(encoding).rstrip("\r\n")
            except UnicodeDecodeError as error:
                problems.bad(
                    path, number, f"byte {error.start + 1} is no {encoding}; save it in {encoding}"
                )
