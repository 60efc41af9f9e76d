"""The cache of models: find, fetch, check and remove."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emotone import files
from emotone.errors import CheckpointError, ModelMissing, Unsupported, UsageError, unknown_name
from emotone.models import catalog, inventory, sources, terms, zoo
from emotone.models.catalog import Entry
from emotone.models.prepare import Places, is_current, lock, prepare, tidy, writing

Origin = Literal["catalogue", "folder", "hub"]
CopyState = Literal["absent", "ready", "outdated", "damaged"]

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Location:
    """Where weights are.

    Args:
        name: What to call the model in replies and files.
        path: Folder with the weights; None for a model of the hub, which transformers keeps.
        revision: What exactly the weights are; empty for a model of the hub until it is loaded.
        source: How the name was understood.
    """

    name: str
    path: Path | None
    revision: str
    source: Origin


@dataclass(frozen=True, slots=True)
class Info:
    """What is known about a model of the catalogue and its copy here.

    Args:
        entry: The catalogue's words.
        state: "outdated" means made by another release of emotone.
        path: Its folder, where it is here.
        bytes: Size on the disk.
        problem: What is wrong with a damaged one.
    """

    entry: Entry
    state: CopyState
    path: Path | None = None
    bytes: int = 0
    problem: str | None = None


def cache_root() -> Path:
    """Find the folder of the cache: `EMOTONE_HOME`, else what the platform keeps for caches."""
    if home := os.environ.get("EMOTONE_HOME"):
        return Path(home).expanduser().absolute()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "emotone" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "emotone"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification asks to ignore a relative path here.
    base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "emotone"


def locate(name: str | Path, *, fetch: bool = True, accept_terms: bool = False) -> Location:
    """Find the weights that a name stands for.

    A name of the catalogue is looked up first, then a folder, then the model hub. A model of the
    catalogue is checked against its checksums each time.

    Args:
        name: Name of the catalogue, folder saved by transformers, or hub id like "org/name".
        fetch: Whether the weights may be fetched when they are not here.
        accept_terms: Whether the user has read and accepted the terms of use of this model.

    Returns:
        Where the weights are.

    Raises:
        UnknownName: If the name is none of these; the network is not touched.
        Unsupported: If it is a model that a system trained.
        ModelMissing: If the weights are not here and cannot be fetched.
        CheckpointError: If the weights are here and damaged.
        UsageError: If terms must be accepted before the weights are fetched.
    """
    text = str(name)
    entries = catalog.known()
    if text in entries:
        return _locate_entry(entries[text], fetch=fetch, accept_terms=accept_terms)
    if text and (path := _existing(name)):
        return _locate_folder(path)
    if _HUB_ID.fullmatch(text) and ".." not in text:
        return Location(text, None, "", "hub")
    _refuse_trained(text)
    if Path(text).is_absolute() or len(Path(text).parts) > 1 or text.startswith("."):
        raise unknown_name("model", text, entries, advice="There is no such folder.")
    raise unknown_name(
        "model",
        text,
        entries,
        advice="A folder saved by transformers or a hub id like org/name is also fine.",
    )


def _refuse_trained(name: str) -> None:
    """Say whose model it is that some system trained, and no chat model by itself."""
    if (system := zoo.trained_by(name)) is not None:
        raise Unsupported(f"model {name!r} is one of the system {system}; add --system {system}")


def pull(name: str, *, accept_terms: bool = False) -> Location:
    """Fetch a model of the catalogue, unless it is here.

    Raises:
        UnknownName: If the catalogue has no such model.
        ModelMissing: If it cannot be fetched.
        CheckpointError: If what is here or what came is damaged.
        UsageError: If its terms of use were not accepted.
    """
    return _locate_entry(catalog.entry(name), fetch=True, accept_terms=accept_terms)


def installed() -> tuple[str, ...]:
    """List the models of the cache that are finished."""
    folder = cache_root() / "models"
    if not folder.is_dir():
        return ()
    names = (path.name for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return tuple(name for name in names if (folder / name / inventory.COMPLETE).is_file())


def info(name: str, *, check: bool = True) -> Info:
    """Say what is known about a model of the catalogue and its copy here.

    Args:
        name: Name of the catalogue.
        check: Whether to compare all checksums, 0.2 s for the default model.

    Raises:
        UnknownName: If the catalogue has no such model.
    """
    entry = catalog.entry(name)
    places = Places(cache_root(), entry.name)
    try:
        listed = inventory.read(places.folder)
        if listed is None:
            return Info(entry, "absent")
        if not is_current(entry, places):
            return Info(entry, "outdated", places.folder, listed.bytes)
        if check:
            inventory.verify(places.folder, listed)
    except CheckpointError as error:
        size = sum(path.stat().st_size for path in files.under(places.folder))
        return Info(entry, "damaged", places.folder, size, str(error))
    return Info(entry, "ready", places.folder, listed.bytes)


def remove(name: str) -> int:
    """Remove a model from the cache, and what an interrupted fetch of it has left.

    Args:
        name: Name of the catalogue, or of a model that an older catalogue knew.

    Returns:
        Bytes that were freed.

    Raises:
        UnknownName: If neither the catalogue nor the cache has such a model.
        ModelMissing: If there is nothing to remove, or it cannot be removed.
    """
    here = installed()
    if name not in here and name not in catalog.known():
        raise unknown_name("model", name, {**catalog.known(), **dict.fromkeys(here)})
    places = Places(cache_root(), name)
    paths = (places.folder, *places.leftovers)
    if not any(path.exists() for path in paths):
        raise ModelMissing(
            f"model {name!r} is not in {places.root}, so there is nothing to remove;"
            " see `emotone models list`"
        )
    with writing(places), lock(places):
        size = sum(file.stat().st_size for path in paths for file in files.under(path))
        if places.folder.exists():
            files.remove(places.aside)
            places.folder.rename(places.aside)  # from here on it is gone for all others
        for path in places.leftovers:
            files.remove(path)
    return size


def read_terms(name: str) -> str | None:
    """Fetch and read the terms of use of a model, without its weights.

    Returns:
        Plain text, or None where nothing needs to be accepted.

    Raises:
        UnknownName: If the catalogue has no such model.
        ModelMissing: If they cannot be fetched.
        CheckpointError: If what came is not what the catalogue says.
    """
    entry = catalog.entry(name)
    if entry.terms is None:
        return None
    places = Places(cache_root(), entry.name)
    path = places.folder / entry.terms.file
    if not path.is_file():
        path = places.raw / entry.terms.file
        with writing(places), lock(places):
            sources.bring(entry, (entry.file(entry.terms.file),), places.raw, places.work)
    page = path.read_text(encoding="utf-8")
    return terms.plain_text(page) if path.suffix == ".html" else page


def _locate_entry(entry: Entry, *, fetch: bool, accept_terms: bool) -> Location:
    places = Places(cache_root(), entry.name)
    if is_current(entry, places):
        tidy(places)
    elif not fetch:
        raise ModelMissing(
            f"model {entry.name!r} is not here; go online once and run"
            f" `emotone models pull {entry.name}`, or give a folder with --model"
        )
    else:
        if entry.terms is not None and not accept_terms:
            raise UsageError(
                f"model {entry.name!r} comes under the {entry.terms.name}, which were not accepted"
                f" here; run `emotone models pull {entry.name}` to read and accept them"
            )
        prepare(entry, places.root)
    listed = inventory.read(places.folder)
    if listed is None:
        raise inventory.damaged(entry.name, f"{inventory.COMPLETE} is missing")
    inventory.verify(places.folder, listed)
    return Location(entry.name, places.folder, entry.revision, "catalogue")


def _existing(name: str | Path) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError):  # a name too long for a path, or ~ of an unknown user
        return None


def _locate_folder(path: Path) -> Location:
    if not path.is_dir():
        raise CheckpointError(
            f"model {str(path)!r} is a file; give the folder that holds config.json and"
            " model.safetensors"
        )
    if not (path / "config.json").is_file():
        _refuse_trained(str(path))
        raise CheckpointError(
            f"folder {str(path)!r} holds no config.json; give a folder that was saved with"
            " transformers' save_pretrained"
        )
    return Location(path.resolve().name, path, inventory.folder_revision(path), "folder")
