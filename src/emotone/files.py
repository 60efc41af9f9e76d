"""Files: written whole or not at all, on the disk before going on, and their checksums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emotone.errors import DataError


def sha256(path: Path) -> str:
    """Compute the checksum of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def under(folder: Path) -> Iterator[Path]:
    """List every regular file below a folder, in a stable order."""
    return (p for p in sorted(folder.rglob("*")) if p.is_file())


def sync_file(path: Path) -> None:
    """Make the system write a file to the disk before going on."""
    with path.open("r+b") as stream:  # Windows syncs only what is open for writing
        os.fsync(stream.fileno())


def sync_folder(path: Path) -> None:
    """Make the system write the names in a folder to the disk before going on."""
    if os.name == "nt":  # Windows cannot open a folder, and needs no such call
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Refuse a place where no file can be, before any work is done; nothing is left there.

    Raises:
        DataError: If the place cannot be written.
    """
    new = not path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise DataError(
            f"cannot write {path} ({error.strerror}); name a file in a folder that exists"
        ) from error
    if new:
        path.unlink()


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
        sync_file(temporary)
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise DataError(
                f"cannot write {path} ({error.strerror}); name a file, not a folder"
            ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Write a value as JSON in UTF-8, atomically.

    Raises:
        DataError: If the place cannot be written.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
