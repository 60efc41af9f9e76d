"""Emotion vectors as values: one direction a block for each emotion, with algebra.

From intensity to dose: `emotone.steering.dose`. Their file: `emotone.steering.vector_file`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from emotone.emotions import EmotionMix, Taxonomy
from emotone.errors import MixError, SteeringError, Unsupported
from emotone.steering.apply import Applied, Place, steering
from emotone.steering.asked import Asked, calibrated_doses, doses_of_rows, no_such, taxonomy_of
from emotone.steering.attach import HookAttachment, Operation, Tier
from emotone.steering.card import VectorsCard
from emotone.steering.dose import Doses
from emotone.steering.fingerprint import fingerprint
from emotone.steering.layers import SITES, blocks, width
from emotone.steering.listen import Listener
from emotone.steering.mixing import Mixing, reaching
from emotone.steering.positions import Columns, Positions
from emotone.steering.selftest import verify
from emotone.steering.vector_file import (
    VectorFile,
    digest_vectors,
    read_vector_file,
    shipped_file,
    write_vector_file,
)


@dataclass(frozen=True, slots=True)
class EmotionVectors:
    """A displacement of every block for each emotion, at dose 1.

    Args:
        directions: Label -> displacement in units of the activation, [L, d], float32.
        card: What they are.
        listener: Reads these emotions off the model's own activations; None for none.
        sense: Reads off them how much sense a reply makes, in classes "0", "1" and "2"; None for
            none.
        hearing: Reads off them what the writer of a post feels, in labels of `EVERYDAY`; None for
            none.
        mixing: How the doses of a mix follow from those that its emotions have alone; no part of
            the file.
    """

    directions: Mapping[str, Tensor]
    card: VectorsCard
    listener: Listener | None = None
    sense: Listener | None = None
    hearing: Listener | None = None
    mixing: Mixing = "gram"

    def __post_init__(self) -> None:
        """Refuse damaged or inconsistent tensors."""
        if not self.directions:
            raise SteeringError("emotion vectors need at least one emotion; extract one first")
        shapes = {tuple(v.shape) for v in self.directions.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise SteeringError(f"directions have shapes {shapes}; all must be the same [L, d]")
        for label, direction in self.directions.items():
            if not torch.isfinite(direction).all():
                raise SteeringError(
                    f"the vector of {label} holds NaN or infinity; extract it again"
                )
        if self.card.site not in SITES:
            raise SteeringError(f"site {self.card.site!r} is unknown; use one of {SITES}")

    # -- what is in it -----------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions, in file order."""
        return tuple(self.directions)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Indices of the blocks that some emotion moves."""
        longest = torch.stack(list(self.directions.values())).abs().amax((0, 2))
        return tuple(int(i) for i in longest.nonzero()[:, 0])

    @property
    def site(self) -> Place:
        """Where they act."""
        return self.card.site

    @property
    def taxonomy(self) -> Taxonomy:
        """The label set for parsing mixes, with the aliases that apply."""
        return taxonomy_of(self.labels, "vectors")

    def __iter__(self) -> Iterator[str]:
        """Yield the labels."""
        return iter(self.directions)

    def __getitem__(self, label: str) -> Tensor:
        """Return one emotion's displacement at dose 1, [L, d].

        Raises:
            UnknownName: If there is no vector for the label.
        """
        if label not in self.directions:
            raise no_such("emotion vector", label, self.labels)
        return self.directions[label]

    # -- algebra -----------------------------------------------------------------------------

    def __mul__(self, factor: float) -> Self:
        """Scale every direction; the result is uncalibrated."""
        return self._with({k: v * factor for k, v in self.directions.items()})

    __rmul__ = __mul__

    def __neg__(self) -> Self:
        """Turn every direction around; the result is uncalibrated."""
        return self * -1.0

    def __add__(self, other: Self) -> Self:
        """Add label by label; the result is uncalibrated."""
        self._same_space(other)
        if set(self.labels) != set(other.labels):
            raise Unsupported(
                f"cannot add vectors of {', '.join(self.labels)} and {', '.join(other.labels)}; "
                "use `only` to make the emotions the same, or `merged` to join them"
            )
        return self._with({k: v + other.directions[k] for k, v in self.directions.items()})

    def __sub__(self, other: Self) -> Self:
        """Subtract label by label; the result is uncalibrated."""
        return self + (-other)

    def base(self) -> Tensor:
        """Return the mean over emotions, [L, d]: what they share.

        Source: Dong et al. 2025, EV_base.
        """
        return torch.stack(list(self.directions.values())).mean(0)

    def centred(self) -> Self:
        """Take the shared part away, which leaves what tells the emotions apart."""
        base = self.base()
        return self._with({k: v - base for k, v in self.directions.items()})

    def only(self, *labels: str) -> Self:
        """Keep some emotions, with their calibration."""
        return dataclasses.replace(
            self,
            directions={k: self[k] for k in labels},
            card=dataclasses.replace(
                self.card, curves={k: c for k, c in self.card.curves.items() if k in labels}
            ),
        )

    def merged(self, other: Self) -> Self:
        """Join two sets with different emotions, with their calibrations."""
        self._same_space(other)
        both = set(self.labels) & set(other.labels)
        if both:
            raise Unsupported(f"both sets hold {', '.join(sorted(both))}; use `only` on one first")
        return dataclasses.replace(
            self,
            directions={**self.directions, **other.directions},
            card=dataclasses.replace(
                self.card, curves={**self.card.curves, **other.card.curves}, method="merged"
            ),
        )

    def calibrated_as(self, other: Self) -> Self:
        """Return these vectors with the curves and measurements of a part of them."""
        card = dataclasses.replace(
            self.card, curves=other.card.curves, measured=other.card.measured
        )
        return dataclasses.replace(self, card=card)

    def _with(self, directions: Mapping[str, Tensor]) -> Self:
        card = dataclasses.replace(self.card, curves={}, measured={})
        return dataclasses.replace(self, directions=directions, card=card)

    def _same_space(self, other: Self) -> None:
        mine, theirs = self.card, other.card
        if mine.fingerprint != theirs.fingerprint or mine.site != theirs.site:
            raise Unsupported(
                f"these vectors belong to {mine.model} at {mine.site}, the others to "
                f"{theirs.model} at {theirs.site}; combine vectors of one model and site"
            )

    # -- dose --------------------------------------------------------------------------------

    def doses(self, mix: EmotionMix) -> dict[str, float]:
        """Turn calibrated intensities into doses; see `emotone.steering.dose.mix_doses`.

        Raises:
            UnknownName: If an emotion has no vector.
            Unsupported: If an emotion is not calibrated.
        """
        correct = partial(reaching, directions=self.directions, norms=self.card.norms)
        return calibrated_doses(
            mix, self.labels, self.card.curves, correct if self.mixing == "gram" else None
        )

    def push(self, doses: Doses) -> Tensor:
        """Return what a running batch is given for a row (`steering.live`), [L, d] float32."""
        return self.displacement(raw_scale=doses)

    def displacement(
        self, mix: EmotionMix | None = None, *, raw_scale: Doses | None = None
    ) -> Tensor:
        """Return what to add to the activations, sum_e dose_e D_e, [L, d] float32.

        Args:
            mix: Calibrated intensities; None for nothing.
            raw_scale: Label -> multiple of the direction, bypassing calibration.

        Raises:
            MixError: If both are given.
        """
        if mix is not None and raw_scale is not None:
            raise MixError("give a mix or raw_scale, not both")
        doses = dict(raw_scale or {}) if mix is None else self.doses(mix)
        total = torch.zeros_like(next(iter(self.directions.values())))
        for label, dose in doses.items():
            total = total + dose * self[label]
        return total

    def relative_dose(self, displacement: Tensor) -> float:
        """Return the mean over blocks of the displacement's length in activation lengths."""
        norms = torch.tensor(self.card.norms)
        return float((displacement.norm(dim=-1) / norms).mean()) if len(norms) else float("nan")

    # -- acting ------------------------------------------------------------------------------

    def steer(
        self,
        model: nn.Module,
        emotion: Asked = None,
        *,
        raw_scale: Doses | Sequence[Doses] | None = None,
        positions: Positions | None = None,
        operation: Operation = "add",
        tier: Tier | None = None,
        prompt_length: int | Sequence[int] | None = None,
        copies: Sequence[int] | None = None,
    ) -> AbstractContextManager[Applied]:
        """Steer any Hugging Face causal language model inside a `with` block.

        ```python
        with vectors.steer(model, "joy:60 + fear:20"):
            model.generate(**inputs)
        ```

        Args:
            model: The model that the vectors were made for.
            emotion: One mix for all rows, or one for each row (None for an unsteered row).
            raw_scale: Multiples of the directions, bypassing calibration: of all rows, or one
                mapping for each row.
            positions: Which columns to steer; None for those that the vectors were made for.
            operation: How to add.
            tier: Force a tier; None takes the cheapest exact one.
            prompt_length: See `emotone.steering.positions.Columns`.
            copies: See `emotone.steering.apply.steering`.

        Raises:
            SteeringError: If the model is another one, or steering would not act.
            MixError: If both an emotion and raw_scale are given, or a list is empty.
        """
        self.check_model(model)
        doses = doses_of_rows(emotion, raw_scale, self.doses, self.taxonomy)
        # One displacement for all rows where they agree: it is cheaper to add.
        same = all(row == doses[0] for row in doses)
        rows = [self.displacement(raw_scale=row) for row in (doses[:1] if same else doses)]
        displacement = rows[0] if same else torch.stack(rows)
        return steering(
            model,
            displacement,
            site=self.card.site,
            positions=positions or self.card.positions,
            operation=operation,
            tier=tier,
            prompt_length=prompt_length,
            copies=copies,
        )

    def attached(
        self, model: nn.Module, columns: Columns
    ) -> tuple[HookAttachment, Callable[[], None]]:
        """Return what ties the vectors to a model row by row, and what proves it once attached.

        Args:
            model: The model, without wrappers.
            columns: Which columns of a pass are steered.
        """
        listed, nothing = blocks(model), self.push({})
        where = self.blocks, self.card.site
        attachment = HookAttachment(model, nothing[None], listed, *where, columns, "add")
        test = torch.stack(list(self.directions.values())).sum(0)[None]
        return attachment, lambda: verify(model, attachment, listed, *where, test)

    def check_model(self, model: nn.Module) -> None:
        """Refuse a model that these vectors were not made for.

        Raises:
            SteeringError: If depth, width or fingerprint differ.
        """
        depth, size = next(iter(self.directions.values())).shape
        have = (len(blocks(model)), width(model))
        if have != (depth, size) or fingerprint(model) != self.card.fingerprint:
            raise SteeringError(
                f"these vectors were made for {self.card.model} ({depth} blocks of width {size}), "
                f"the model given is another one ({have[0]} blocks of width {have[1]}); "
                "extract vectors for it with `emotone vectors extract`"
            )

    # -- file --------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write a safetensors file with a JSON header, atomically, in float16."""
        write_vector_file(Path(path), self._file())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file written by `save`.

        Raises:
            CheckpointError: If the file is missing, truncated, altered or of another kind.
        """
        return cls(*read_vector_file(Path(path)))

    @classmethod
    def shipped(cls, name: str) -> Self:
        """Load vectors that come with the package.

        Raises:
            UnknownName: If none are shipped under this name.
        """
        return cls.load(shipped_file(name))

    def _file(self) -> VectorFile:
        readouts = self.listener, self.sense, self.hearing
        return VectorFile(dict(self.directions), self.card, *readouts)

    def digest(self) -> str:
        """Return a hash of the directions and listeners as their file holds them."""
        return digest_vectors(self._file())
