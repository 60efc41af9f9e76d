"""Making a model of the cache: one process at a time, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from emotone import files
from emotone.errors import ModelMissing
from emotone.models import inventory, progress, sources
from emotone.models.catalog import Entry
from emotone.models.convert import convert

Fetch = Callable[[Entry, Path, Path], None]
Convert = Callable[[Entry, Path, Path], None]


@dataclass(frozen=True, slots=True)
class Places:
    """Where one model lives in the cache; all on one file system, so that renaming is atomic.

    Args:
        root: The cache.
        name: Name of the model.
    """

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """The finished model."""
        return self.root / "models" / self.name

    @property
    def partial(self) -> Path:
        """The model while it is made."""
        return self.root / "models" / f".{self.name}.partial"

    @property
    def aside(self) -> Path:
        """A model on its way out."""
        return self.root / "models" / f".{self.name}.old"

    @property
    def raw(self) -> Path:
        """Published files, kept until the model is finished so that they come only once."""
        return self.root / "raw" / self.name

    @property
    def work(self) -> Path:
        """Wheels on their way in."""
        return self.root / "work" / self.name

    @property
    def leftovers(self) -> tuple[Path, ...]:
        """What a finished model does not need."""
        return (self.partial, self.aside, self.work, self.raw)


def is_current(entry: Entry, places: Places) -> bool:
    """Tell whether a model is finished, and made from the weights of the catalogue.

    Raises:
        CheckpointError: If the list of its files is damaged.
    """
    listed = inventory.read(places.folder)
    if listed is None:
        return False
    return listed.revision == entry.revision and listed.format == inventory.FORMAT


def prepare(
    entry: Entry, root: Path, *, fetch: Fetch = sources.fetch, convert: Convert = convert
) -> Path:
    """Fetch, check and convert a model, unless that is done.

    A process that is killed at any moment leaves no half model: the folder appears by one rename
    when all of it is on the disk, and the next call clears the rest away.

    Args:
        entry: The model.
        root: The cache.
        fetch: Brings the published files: entry, their folder, a folder for work.
        convert: Makes the model: entry, folder of published files, target.

    Returns:
        Folder of the model.

    Raises:
        ModelMissing: If it cannot be fetched, or the cache cannot be written.
        CheckpointError: If what came is not what the catalogue says.
    """
    places = Places(root, entry.name)
    with writing(places), lock(places):
        if is_current(entry, places):
            return places.folder
        for path in (places.partial, places.aside, places.work):
            files.remove(path)
        fetch(entry, places.raw, places.work)
        places.partial.mkdir(parents=True)
        convert(entry, places.raw, places.partial)
        inventory.write(places.partial, entry.name, entry.revision)
        if places.folder.exists():
            places.folder.rename(places.aside)
        places.partial.rename(places.folder)
        files.sync_folder(places.folder.parent)
        for path in places.leftovers:
            files.remove(path)
    return places.folder


def tidy(places: Places) -> None:
    """Clear away what a process killed after its last rename has left, if nobody is at it."""
    if not any(path.exists() for path in places.leftovers):
        return
    try:
        with _lock_file(places).acquire(timeout=0):
            for path in places.leftovers:
                files.remove(path)
    except (OSError, Timeout):
        return  # in use, or a cache that we may only read; both are fine


@contextmanager
def lock(places: Places) -> Iterator[None]:
    """Keep other processes from changing a model; say so when that means waiting."""
    guard = _lock_file(places)
    try:
        guard.acquire(timeout=0)
    except Timeout:
        progress.note(f"waiting for another process that works on model {places.name}")
        guard.acquire()
    try:
        yield
    finally:
        guard.release()


@contextmanager
def writing(places: Places) -> Iterator[None]:
    """Turn trouble with the disk into one sentence."""
    try:
        yield
    except OSError as error:
        raise ModelMissing(
            f"model {places.name!r} cannot be kept in {places.root} ({error.strerror or error});"
            " make room there, or set EMOTONE_HOME to a folder that you can write"
        ) from error


def _lock_file(places: Places) -> FileLock:
    path = places.root / "locks" / f"{places.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)
