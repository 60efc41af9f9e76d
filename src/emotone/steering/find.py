"""Which emotion vectors belong to a model: those named, those of its name, those of its weights.

Vectors that were learned together with adapters (`emotone.steering.companion`) stand in the folder
of these, and so do mood adapters that were learned on top of them.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from emotone.errors import CheckpointError, SteeringError, unknown_name
from emotone.files import sha256
from emotone.models.catalog import entry, known
from emotone.models.store import cache_root
from emotone.steering.likeness import Likeness, beside
from emotone.steering.mood_adapters import open_mood_adapters
from emotone.steering.moods import Moods
from emotone.steering.vector_file import (
    ADAPTERS,
    MOODS,
    WITH_ADAPTERS,
    kind_of,
    shipped_file,
    shipped_names,
)
from emotone.steering.vectors import EmotionVectors


def open_vectors(name: str) -> EmotionVectors:
    """Load a shipped set by its name, or any other by its file.

    Raises:
        UnknownName: If there is neither.
        CheckpointError: If the file is damaged.
    """
    return EmotionVectors.load(_vector_path(name))


def open_moods(name: str) -> Moods:
    """Load vectors as `open_vectors` does, or mood adapters by their file or folder.

    A folder that holds both is one of vectors; name the file of the adapters in it.
    """
    if (file := mood_file(name)) is not None:
        return open_mood_adapters(file)
    return open_vectors(name)


def mood_file(name: str) -> Path | None:
    """Return the file of mood adapters of a name, as `open_moods` takes it; None for vectors."""
    path = Path(name)
    if name in shipped_names():
        return None
    if path.is_dir():
        file = path / MOODS
        return file if file.is_file() and not (path / WITH_ADAPTERS).is_file() else None
    return path if path.is_file() and kind_of(path) == ADAPTERS else None


def moods_named(model: str, file: str = "") -> Moods | None:
    """Load what `vectors_named` would, or the mood adapters that `file` names."""
    return open_moods(file) if file else vectors_named(model)


def vectors_named(model: str, file: str = "") -> EmotionVectors | None:
    """Load the vectors of a model's name, before its weights are loaded.

    Args:
        model: Name of the model.
        file: A vector file, a folder with adapters, or the name of a shipped set; "" for what the
            catalogue says.

    Returns:
        The vectors; None where none are named and none are shipped under the model's name.
    """
    if file:
        return open_vectors(file)
    named = entry(model).vectors if model in known() else ""
    return EmotionVectors.shipped(named) if named in shipped_names() else None


def companion_named(model: str) -> str:
    """Name the shipped vectors with adapters of a model's name; "" where there are none."""
    named = entry(model).companion if model in known() else ""
    return named if named in shipped_names() else ""


def own_place(model: str) -> Path:
    """Return the folder for the vectors that are made here for a model, by its name or folder."""
    name = Path(model).resolve().name if Path(model).is_dir() else model.replace("/", "--")
    return _own_folder() / name


def _own_folder() -> Path:
    return cache_root() / "vectors"


def vectors_of(model: str, *, companion: bool = True) -> str:
    """Name what steers a model where nobody names anything; "" for the vectors of its name.

    What was made here goes before what is shipped, but for a companion: vectors that were made for
    the model below it make less sense.

    Args:
        model: Name or folder of the model.
        companion: Whether adapters that make the model talk are wanted.
    """
    own = own_place(model)
    shipped = companion_named(model) if companion else ""
    if (own / WITH_ADAPTERS).is_file():
        adapted = bool(EmotionVectors.load(own / WITH_ADAPTERS).card.adapters)
        if adapted == companion or not shipped:
            return str(own)
    return shipped


def give_adapters(model: nn.Module, vectors: Moods, file: str) -> None:
    """Merge into a model the shared adapters that its vectors or mood adapters need, if some.

    Args:
        model: Changed in place.
        vectors: As `open_vectors(file)` or `open_moods(file)` loaded them.
        file: Where from.

    Raises:
        CheckpointError: If the adapters are not beside the vectors, or are others.
    """
    if not vectors.card.adapters:
        return
    from emotone.training.adapters import WEIGHTS, fold_adapters

    folder = (mood_file(file) or _vector_path(file)).parent
    weights = folder / WEIGHTS
    if not weights.is_file() or sha256(weights) != vectors.card.adapters:
        raise CheckpointError(
            f"the vectors {file} belong to adapters that are not in {folder}; copy the whole"
            " folder again, or take other vectors"
        )
    fold_adapters(model, folder)


def likeness_of(vectors: Moods, file: str) -> Likeness | None:
    """Return how a companion compares posts, from beside its vectors; None where it does not.

    Args:
        vectors: As `give_adapters` takes them.
        file: Where from.
    """
    if not vectors.card.retrieval:
        return None
    return beside((mood_file(file) or _vector_path(file)).parent)


def _vector_path(name: str) -> Path:
    if name in shipped_names():
        return shipped_file(name)
    path = Path(name)
    if not path.exists():
        advice = "A vector file is also fine, but there is none of this name."
        raise unknown_name("vectors", name, shipped_names(), advice=advice)
    return path / WITH_ADAPTERS if path.is_dir() else path


def vectors_fitting(model: nn.Module) -> EmotionVectors | None:
    """Find vectors that were made for these weights, here or by us, whatever they are called."""
    own = sorted(_own_folder().glob(f"*/{WITH_ADAPTERS}"))
    for candidate in map(EmotionVectors.load, (*own, *map(shipped_file, shipped_names()))):
        if candidate.card.adapters:  # they fit the model as it was published only by shape
            continue
        try:
            candidate.check_model(model)
        except SteeringError:
            continue
        return candidate
    return None
