"""A mood as one push, for engines that know neither intensities nor curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

from torch import Tensor

from emotone import __version__
from emotone.emotions import EmotionMix
from emotone.errors import MixError, Unsupported
from emotone.models import catalog
from emotone.steering.dose import Doses
from emotone.steering.find import mood_file, open_moods, vectors_named, vectors_of
from emotone.steering.moods import AnyMoods, Moods
from emotone.steering.vectors import EmotionVectors


@dataclass(frozen=True, slots=True, eq=False)
class MoodOf(Generic[AnyMoods]):
    """What is added to a model for one mood.

    Args:
        moods: Where it comes from: vectors, or mood adapters.
        emotion: As it was asked, such as "joy:60 + fear:20"; "" for raw doses or for nothing.
        doses: Label -> multiple of its direction or adapter; empty for no mood.
    """

    moods: AnyMoods
    emotion: str
    doses: Doses

    @property
    def displacement(self: MoodOf[EmotionVectors]) -> Tensor:
        """What is added to the output of each block, or of a part of it, [L, d] float32."""
        return self.moods.displacement(raw_scale=self.doses)

    def record(self: MoodOf[EmotionVectors]) -> dict[str, Any]:
        """Say what an exported file holds: mood, dose, model and licences, ready for JSON."""
        card = self.moods.card
        return {
            "emotion": self.emotion,
            "dose": dict(self.doses),
            "model": card.model,
            "fingerprint": card.fingerprint,
            "adapters": card.adapters,
            "site": card.site,
            "positions": card.positions,
            "vectors": self.moods.digest(),
            **licences(card.model, str(card.notes.get("licence", ""))),
            "made_by": f"emotone {__version__}",
        }


OneMood = MoodOf[EmotionVectors]
"""A mood of vectors."""


def licences(model: str, of_vectors: str) -> dict[str, str]:
    """Name the licences of vectors and of the model that they belong to, where they are known."""
    entries = catalog.known()
    of_model = entries[model].licence if model in entries else ""
    return {"licence": of_vectors or "unknown", "model_licence": of_model or "unknown"}


def open_vectors_of(model: str, file: str = "") -> tuple[EmotionVectors, str]:
    """Load the vectors of a model as it was published, without adapters unless they are named.

    Args:
        model: Name or folder of the model.
        file: A vector file, a folder of adapters with vectors, or the name of a shipped set; ""
            takes those that were made for the model here, else those that are shipped for it.

    Returns:
        The vectors, and where they came from, for `give_adapters`.

    Raises:
        Unsupported: If there are none.
        UnknownName: If the named ones are not there.
    """
    source = file or vectors_of(model, companion=False)
    vectors = vectors_named(model, source)
    if vectors is None:
        raise Unsupported(
            f"there are no emotion vectors for {model!r} yet; make them by `emotone vectors make"
            f" {model}`, or name a file with --vectors FILE"
        )
    return vectors, source


def open_moods_of(model: str, file: str = "") -> tuple[Moods, str]:
    """Load what `open_vectors_of` would, or the mood adapters that `file` names."""
    return (open_moods(file), file) if mood_file(file) else open_vectors_of(model, file)


def one_mood(
    moods: AnyMoods,
    emotion: str | None = None,
    raw: Mapping[str, float] | None = None,
) -> MoodOf[AnyMoods]:
    """Turn a mix, or raw doses, into the doses of one mood.

    Args:
        moods: Vectors or mood adapters of the model.
        emotion: Such as "joy:60 + fear:20"; None for nothing.
        raw: Label -> multiple of its direction or adapter, bypassing calibration.

    Raises:
        MixError: If both are given, or the mix cannot be read.
        UnknownName: If an emotion has neither vector nor adapter.
        Unsupported: If an emotion is not calibrated.
    """
    if emotion is not None and raw is not None:
        raise MixError("give --emotion or --raw, not both")
    if raw is not None:
        if raw:
            moods.only(*raw)  # refuses what it has not
        return MoodOf(moods, "", dict(raw))
    if emotion is None:
        return MoodOf(moods, "", {})
    mix = EmotionMix.parse(emotion, moods.taxonomy)
    return MoodOf(moods, str(mix), moods.doses(mix))
