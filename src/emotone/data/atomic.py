"""Files that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotone.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write in the same folder; at the end it takes the place of `path`.

    After an error `path` is as it was, and nothing else is left.

    Raises:
        DataError: If the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            temporary.open("wb").close()
        except OSError as error:
            raise DataError(
                f"cannot write {path} ({error.strerror}); name a file in a folder that exists"
            ) from error
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise DataError(
                f"cannot write {path} ({error.strerror}); name a file, not a folder"
            ) from error
    finally:
        temporary.unlink(missing_ok=True)
