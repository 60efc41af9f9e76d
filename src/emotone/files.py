"""Files: written whole or not at all, on the disk before going on, and their checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from emotone.errors import DataError, RunError

_NAMED = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_NUMBERED = re.compile(rf"/(?:dev|proc/self|proc/{os.getpid()})/fd/([0-9]{{1,9}})")


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


def is_stream(path: Path) -> bool:
    """Tell whether what is written to a path goes on to somebody: a device, a pipe, a descriptor.

    So `/dev/stdout` is one though it may lead to a file, for whoever opened that holds it open. No
    file may be renamed to such a place, and none be kept beside it.
    """
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def open_stream(path: Path) -> IO[bytes]:
    """Open what `is_stream` tells, to write on where it is; an open descriptor is not opened anew.

    Raises:
        DataError: If it cannot be written.
    """
    number = _descriptor(path)
    try:
        return path.open("wb") if number is None else os.fdopen(os.dup(number), "wb")
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def _descriptor(path: Path) -> int | None:
    """Return which open file of this process a path names, such as 1 for `/dev/stdout`."""
    hop = path.absolute()
    for _ in range(40):  # links, as far as systems follow them
        name = hop.as_posix()
        if name in _NAMED:
            return _NAMED[name]
        if match := _NUMBERED.fullmatch(name):
            return int(match[1])
        if not hop.is_symlink():
            return None
        hop = hop.parent / hop.readlink()
    return None


def check_writable(path: Path, *, keeps: str = "") -> None:
    """Refuse a place where no file can be, before any work is done; nothing is left there.

    Args:
        path: Where the file will be; a link leads to it.
        keeps: What is kept beside the file, if anything; then it must be a regular one.

    Raises:
        DataError: If the place cannot be written.
    """
    if is_stream(path):
        if keeps:
            raise DataError(
                f"{path} is no regular file, and {keeps} is kept beside the output; name a file"
            )
        if not os.access(path, os.W_OK):
            raise _unwritable(path, "it is not open for writing")
        return  # opening a pipe would tell its reader that all was written
    new = not path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise _unwritable(path, error.strerror) from error
    if new:
        path.resolve().unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write; at the end it takes the place of `path`, in whose folder it is.

    After an error `path` is as it was, and nothing else is left. A link stays, and what it leads to
    is replaced. To a device or a pipe the finished file is copied.

    Raises:
        DataError: If the place cannot be written.
        RunError: If there is no room for the file.
    """
    # A folder of its own: a name that can be guessed is not safe in one that all share.
    own = Path(tempfile.mkdtemp()) if is_stream(path) else None
    place = own / path.name if own else Path(os.path.realpath(path))
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        try:
            temporary.open("wb").close()
        except OSError as error:
            raise _unwritable(path, error.strerror) from error
        with room_for(path):
            yield temporary
            if own:
                with temporary.open("rb") as source, open_stream(path) as target:
                    shutil.copyfileobj(source, target)
                return
            sync_file(temporary)
        try:
            os.replace(temporary, place)
        except OSError as error:
            raise DataError(
                f"cannot write {path} ({error.strerror}); name a file, not a folder"
            ) from error
    finally:
        temporary.unlink(missing_ok=True)
        if own:
            own.rmdir()


@contextmanager
def room_for(path: Path | str) -> Iterator[None]:
    """Turn a full disk into one sentence.

    Raises:
        RunError: If what is written inside finds no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise RunError(
            f"cannot write {path} ({error.strerror}); make room, or name another place"
        ) from error


def _unwritable(path: Path, why: str | None) -> DataError:
    return DataError(f"cannot write {path} ({why}); name a file in a folder that exists")


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Write a value as JSON in UTF-8, atomically.

    Raises:
        DataError: If the place cannot be written.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
