"""Which emotion vectors belong to a model: those named, those of its name, those of its weights."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from emotone.errors import SteeringError, unknown_name
from emotone.models.catalog import entry, known
from emotone.steering.vector_file import shipped_names
from emotone.steering.vectors import EmotionVectors


def open_vectors(name: str) -> EmotionVectors:
    """Load a shipped set by its name, or any other by its file.

    Raises:
        UnknownName: If there is neither.
        CheckpointError: If the file is damaged.
    """
    if name in shipped_names():
        return EmotionVectors.shipped(name)
    if not Path(name).exists():
        advice = "A vector file is also fine, but there is none of this name."
        raise unknown_name("vectors", name, shipped_names(), advice=advice)
    return EmotionVectors.load(name)


def vectors_named(model: str, file: str = "") -> EmotionVectors | None:
    """Load the vectors of a model's name, before its weights are loaded.

    Args:
        model: Name of the model.
        file: A vector file, or the name of a shipped set; "" for what the catalogue says.

    Returns:
        The vectors; None where none are named and none are shipped under the model's name.
    """
    if file:
        return open_vectors(file)
    named = entry(model).vectors if model in known() else ""
    return EmotionVectors.shipped(named) if named in shipped_names() else None


def vectors_fitting(model: nn.Module) -> EmotionVectors | None:
    """Find the shipped vectors that were made for these weights, whatever they are called."""
    for candidate in map(EmotionVectors.shipped, shipped_names()):
        try:
            candidate.check_model(model)
        except SteeringError:
            continue
        return candidate
    return None
