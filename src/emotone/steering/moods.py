"""What puts a model into moods: emotion vectors or mood adapters, as everything else sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, Self, TypeVar

from torch import Tensor, nn

from emotone.emotions import EmotionMix, Taxonomy
from emotone.steering.apply import Applied, Place
from emotone.steering.asked import Asked
from emotone.steering.card import VectorsCard
from emotone.steering.dose import Doses
from emotone.steering.listen import Listener
from emotone.steering.mixing import Mixing
from emotone.steering.positions import Columns


class Attached(Protocol):
    """Moods tied to a model, with another push for each row."""

    def attach(self) -> None:
        """Begin to act."""
        ...

    def set(self, displacement: Tensor, /) -> None:
        """Change the pushes, one a row."""
        ...

    def detach(self) -> None:
        """Leave the model as it was."""
        ...


class Moods(Protocol):
    """Emotions of one model, each with a dose; frozen dataclasses."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def card(self) -> VectorsCard:
        """Where they come from and what they fit."""
        ...

    @property
    def listener(self) -> Listener | None:
        """Reads these emotions off the model's own activations."""
        ...

    @property
    def sense(self) -> Listener | None:
        """Reads off them how much sense a reply makes."""
        ...

    @property
    def hearing(self) -> Listener | None:
        """Reads off them what the writer of a post feels."""
        ...

    @property
    def mixing(self) -> Mixing:
        """How the doses of a mix follow from those that its emotions have alone."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions."""
        ...

    @property
    def site(self) -> Place:
        """Where they act."""
        ...

    @property
    def blocks(self) -> tuple[int, ...]:
        """Indices of the blocks in which they act."""
        ...

    @property
    def taxonomy(self) -> Taxonomy:
        """The label set for parsing mixes."""
        ...

    def only(self, *labels: str) -> Self:
        """Keep some emotions, with their calibration."""
        ...

    def doses(self, mix: EmotionMix) -> dict[str, float]:
        """Turn calibrated intensities into doses."""
        ...

    def push(self, doses: Doses) -> Tensor:
        """Return what a running batch is given for a row (`steering.live`)."""
        ...

    def relative_dose(self, displacement: Tensor, /) -> float:
        """Return how strong a push is, against what the model does by itself."""
        ...

    def steer(
        self,
        model: nn.Module,
        emotion: Asked = None,
        *,
        raw_scale: Doses | Sequence[Doses] | None = None,
        prompt_length: int | Sequence[int] | None = None,
        copies: Sequence[int] | None = None,
    ) -> AbstractContextManager[Applied]:
        """Steer a model inside a `with` block."""
        ...

    def attached(self, model: nn.Module, columns: Columns) -> tuple[Attached, Callable[[], None]]:
        """Return what ties them to a model row by row, and what proves it once attached."""
        ...

    def check_model(self, model: nn.Module) -> None:
        """Refuse a model that they were not made for."""
        ...

    def digest(self) -> str:
        """Return a hash of the tensors as their file holds them."""
        ...


AnyMoods = TypeVar("AnyMoods", bound=Moods)
