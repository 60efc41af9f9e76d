"""Which emotion vectors belong to a model: those named, those of its name, those of its weights."""

from __future__ import annotations

from torch import nn

from emotone.errors import SteeringError
from emotone.models.catalog import entry, known
from emotone.steering.vectors import EmotionVectors, shipped_names


def vectors_named(model: str, file: str = "") -> EmotionVectors | None:
    """Load the vectors of a model's name, before its weights are loaded.

    Args:
        model: Name of the model.
        file: A vector file, or the name of a shipped set; "" for what the catalogue says.

    Returns:
        The vectors; None where none are named and none are shipped under the model's name.
    """
    if file:
        shipped = file in shipped_names()
        return EmotionVectors.shipped(file) if shipped else EmotionVectors.load(file)
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
