"""Where the weights are that we trained ourselves: the second distribution, `emotone-zoo`.

It holds data only and is found as an installed package, so `pip install`, an editable checkout
and a machine without network all find it the same way.
"""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from emotone.errors import ModelMissing, unknown_name

Shelf = Literal["judges", "sense", "identifiers", "vectors", "systems", "companions"]

#: Shelf -> what one item of it is called, and the file that every item has.
_ITEMS: Mapping[Shelf, tuple[str, str]] = {
    "judges": ("judge", "judge.json"),
    "sense": ("judge of sense", "judge.json"),
    "identifiers": ("identifier", "judge.json"),
    "vectors": ("word vectors", "vectors.json"),
    "systems": ("trained model", "config.toml"),
    "companions": ("companion", "vectors.safetensors"),
}


def listed(shelf: Shelf) -> list[str]:
    """Names on one shelf of the zoo; empty where the zoo is not installed."""
    root = _root()
    if root is None or not (root / shelf).is_dir():
        return []
    _, file = _ITEMS[shelf]
    return sorted(p.name for p in (root / shelf).iterdir() if (p / file).is_file())


def trained_by(name: str | Path) -> str | None:
    """Tell which system trained a model: that of a folder of `emotone train`, or of the zoo.

    Returns:
        The system's name; None where it is no such model, or says nothing.
    """
    place = folder("systems", str(name)) if str(name) in listed("systems") else Path(name)
    try:
        return str(json.loads((place / "manifest.json").read_text(encoding="utf-8"))["system"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    try:
        stage = tomllib.loads((place / "config.toml").read_text(encoding="utf-8"))["stage"]
        return "emprl" if stage else None
    except (OSError, ValueError, LookupError):
        return None


def folder(shelf: Shelf, name: str) -> Path:
    """Find the folder of one item of the zoo.

    Raises:
        ModelMissing: If the zoo is not installed.
        UnknownName: If the zoo has no such item.
    """
    if _root() is None:
        raise ModelMissing(
            f"{name!r} is in the distribution emotone-zoo, which is not installed; install it"
            " beside emotone with pip (`pip install emotone-zoo`, or `pip install -e zoo` in a"
            " checkout)"
        )
    names = listed(shelf)
    if name not in names:
        raise unknown_name(_ITEMS[shelf][0], name, names)
    root = _root()
    return (root or Path()) / shelf / name


def _root() -> Path | None:
    spec = importlib.util.find_spec("emotone_zoo")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
