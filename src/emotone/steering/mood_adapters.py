"""Mood adapters: an emotion is a low-rank map beside some maps of a model, whose scale is its dose.

    y <- y + sum_e c_e B_e A_e x            at each of these maps, for every token, prompt included

in place of h <- h + sum_e c_e D_e of emotion vectors. What they do depends on the token, and
engines that know LoRA load them (`emotone.engines.mood_adapter`). They act on all tokens, since
that is what such engines do. How they are computed: `emotone.steering.gates`. How they are learned:
`recipes/companion/adapters.py`.

Source: Hu et al. 2021, LoRA. Ours: a scale that is drawn anew each time while one is learned, as
for `emotone.steering.companion`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from emotone.emotions import EmotionMix, Taxonomy
from emotone.errors import CheckpointError, SteeringError
from emotone.steering.apply import Applied, Place, claimed
from emotone.steering.asked import Asked, calibrated_doses, doses_of_rows, no_such, taxonomy_of
from emotone.steering.card import VectorsCard
from emotone.steering.dose import Doses
from emotone.steering.fingerprint import fingerprint
from emotone.steering.gates import Factors, GateAttachment, maps_of
from emotone.steering.layers import unwrapped
from emotone.steering.listen import Listener
from emotone.steering.mixing import Mixing, reaching
from emotone.steering.positions import Columns
from emotone.steering.vector_file import ADAPTERS, MOODS, Held, digest_held, read_held, write_held

_KIND = "mood adapter"
_BLOCK = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class MoodAdapters:
    """Low-rank maps of some emotions beside maps of a model.

    Args:
        labels: The emotions.
        maps: Path of a map in the model -> its adapters, float32, in the order of the labels. All
            have one rank.
        card: What they are. `norms` are here the lengths of the maps' own weights, [M], by the
            alphabet of the paths; `adapters` is the sha256 of the shared adapters that they were
            learned on top of, "" for none.
        listener: See `emotone.steering.vectors.EmotionVectors`, as for
        sense: this,
        hearing: this, and
        mixing: this.
    """

    labels: tuple[str, ...]
    maps: Mapping[str, Factors]
    card: VectorsCard
    listener: Listener | None = None
    sense: Listener | None = None
    hearing: Listener | None = None
    mixing: Mixing = "gram"

    def __post_init__(self) -> None:
        """Refuse damaged or inconsistent tensors."""
        if not self.labels or not self.maps:
            raise SteeringError("mood adapters need an emotion and a map; learn some first")
        for path, (down, up) in self.maps.items():
            count, rank = len(self.labels), self.rank
            if (
                (down.dim(), up.dim()) != (3, 3)
                or down.shape[:2] != (count, rank)
                or (len(up), up.shape[2]) != (count, rank)
            ):
                raise SteeringError(
                    f"the adapters beside {path} are {list(down.shape)} and {list(up.shape)}; give"
                    f" [{count}, {rank}, in] and [{count}, out, {rank}]"
                )
            if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
                raise SteeringError(
                    f"the adapters beside {path} hold NaN or infinity; learn them again"
                )
        if len(self.card.norms) not in (0, len(self.maps)):
            raise SteeringError(
                f"the card holds {len(self.card.norms)} lengths for {len(self.maps)} maps; measure"
                " them again"
            )
        if self.card.positions != "all":
            raise SteeringError(
                f"the card of mood adapters says positions {self.card.positions!r}; they act on"
                " 'all', as in every engine that loads them"
            )

    # -- what is in it -----------------------------------------------------------------------

    @property
    def rank(self) -> int:
        """Rank of each emotion's adapters."""
        return int(next(iter(self.maps.values())).down.shape[1])

    @property
    def site(self) -> Place:
        """Where they act."""
        return "maps"

    @property
    def blocks(self) -> tuple[int, ...]:
        """Indices of the blocks that have adapted maps."""
        found = (_BLOCK.search(path) for path in self.maps)
        return tuple(sorted({int(match[1]) for match in found if match}))

    @property
    def taxonomy(self) -> Taxonomy:
        """The label set for parsing mixes, with the aliases that apply."""
        return taxonomy_of(self.labels, "adapters")

    def only(self, *labels: str) -> Self:
        """Keep some emotions, with their calibration."""
        kept = [self._place(label) for label in labels]
        return dataclasses.replace(
            self,
            labels=labels,
            maps={
                path: Factors(*(part[kept] for part in both)) for path, both in self.maps.items()
            },
            card=dataclasses.replace(
                self.card, curves={k: c for k, c in self.card.curves.items() if k in labels}
            ),
        )

    def _place(self, label: str) -> int:
        if label not in self.labels:
            raise no_such(_KIND, label, self.labels)
        return self.labels.index(label)

    # -- dose --------------------------------------------------------------------------------

    def doses(self, mix: EmotionMix) -> dict[str, float]:
        """Turn calibrated intensities into doses; see `emotone.steering.dose.mix_doses`.

        Parts overlap as their maps do, <B_e A_e, B_f A_f>, each in units of the map's own weight.

        Raises:
            UnknownName: If there is no adapter of an emotion.
            Unsupported: If an emotion is not calibrated.
        """
        correct = self._reaching if self.mixing == "gram" else None
        return calibrated_doses(mix, self.labels, self.card.curves, correct, _KIND)

    def _reaching(self, doses: Doses) -> dict[str, float]:
        if sum(map(bool, doses.values())) < 2:
            return dict(doses)
        # Rows whose products are those of the maps, which have a million entries each.
        values, vectors = torch.linalg.eigh(self._products().mean(0))
        rows = vectors * values.clamp_min(0).sqrt()
        return reaching(doses, {k: row[None] for k, row in zip(self.labels, rows, strict=True)})

    def _products(self, chosen: Sequence[int] | None = None) -> Tensor:
        """Return <B_e A_e, B_f A_f> at each map, in units of its weight, [M, E, E] float64."""
        norms = self.card.norms or (1.0,) * len(self.maps)
        kept = list(range(len(self.labels)) if chosen is None else chosen)
        products: list[Tensor] = []
        for path, norm in zip(sorted(self.maps), norms, strict=True):
            down, up = self.maps[path]
            low, high = down[kept].double(), up[kept].double()
            outer = torch.einsum("eor,fos->erfs", high, high)
            inner = torch.einsum("eri,fsi->erfs", low, low)
            products.append((outer * inner).sum((1, 3)) / norm**2)
        return torch.stack(products)

    def push(self, doses: Doses) -> Tensor:
        """Return the doses in the order of the labels, [E] float32.

        Raises:
            UnknownName: If there is no adapter of a label.
        """
        push = torch.zeros(len(self.labels))
        for label, dose in doses.items():
            push[self._place(label)] = dose
        return push

    def relative_dose(self, push: Tensor) -> float:
        """Return the mean over maps of the mix's length in units of the map's own weight."""
        chosen = [int(i) for i in push.nonzero()[:, 0]]
        if not self.card.norms:
            return float("nan")
        dose = push[chosen].double()
        return float((self._products(chosen) @ dose @ dose).clamp_min(0).sqrt().mean())

    def folded(self, doses: Doses) -> dict[str, tuple[Tensor, Tensor]]:
        """Concatenate the ranks of a mix, its doses folded into B.

        Returns:
            Path -> A [k r, in] and B [out, k r] of the k emotions whose dose is not 0.

        Raises:
            UnknownName: If there is no adapter of a label.
        """
        push = self.push(doses)
        chosen = [int(i) for i in push.nonzero()[:, 0]]
        scale = push[chosen].repeat_interleave(self.rank)
        parts = {path: factors.stacked(chosen) for path, factors in self.maps.items()}
        return {path: (down, up * scale) for path, (down, up) in parts.items()}

    # -- acting ------------------------------------------------------------------------------

    @contextmanager
    def steer(
        self,
        model: nn.Module,
        emotion: Asked = None,
        *,
        raw_scale: Doses | Sequence[Doses] | None = None,
        prompt_length: int | Sequence[int] | None = None,  # noqa: ARG002 - they act everywhere
        copies: Sequence[int] | None = None,
    ) -> Iterator[Applied]:
        """Steer a model inside a `with` block; it is then bit for bit as it was.

        Args:
            model: The model that they were learned for, with the shared adapters.
            emotion: One mix for all rows, or one for each row (None for a row left alone).
            raw_scale: Doses, bypassing calibration: of all rows, or one mapping for each row.
            prompt_length: As for vectors; it does not matter here.
            copies: See `emotone.steering.apply.steering`.

        Raises:
            SteeringError: If the model is another one, or the adapters would not act.
            MixError: If both an emotion and raw_scale are given, or a list is empty.
        """
        self.check_model(model)
        doses = doses_of_rows(emotion, raw_scale, self.doses, self.taxonomy, "an adapter")
        rows = torch.stack([self.push(row) for row in doses])
        if (rows == rows[0]).all():
            rows = rows[:1]
        if not rows.any():
            yield Applied("none", "maps", "all", "add", ())
            return
        inner = unwrapped(model)
        attachment = GateAttachment(inner, self.maps, rows)
        attachment.copies = copies
        with claimed(inner):
            try:
                attachment.attach()
                attachment.prove(inner, rows)
                attachment.start_count()
                yield Applied("hooks", "maps", "all", "add", self.blocks)
                attachment.finish()
            finally:
                attachment.detach()

    def attached(
        self,
        model: nn.Module,
        columns: Columns,  # noqa: ARG002 - they act everywhere
    ) -> tuple[GateAttachment, Callable[[], None]]:
        """Return what ties them to a model row by row, and what proves it once attached."""
        nothing = self.push({})[None]
        attachment = GateAttachment(model, self.maps, nothing)
        return attachment, partial(attachment.prove, model, nothing)

    def check_model(self, model: nn.Module) -> None:
        """Refuse a model that they were not learned for.

        Raises:
            SteeringError: If a map is missing or has another shape, or the fingerprint differs.
        """
        inner = unwrapped(model)
        maps_of(inner, self.maps)
        if fingerprint(inner) != self.card.fingerprint:
            raise SteeringError(
                f"these mood adapters were learned for {self.card.model}, the model given is"
                " another one; learn some for it"
            )

    # -- file --------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write a safetensors file with a JSON header, atomically, in float16."""
        write_held(Path(path), self._held())

    def digest(self) -> str:
        """Return a hash of the maps and listeners as their file holds them."""
        return digest_held(self._held())

    def _held(self) -> Held:
        tensors = {
            f"{part}.{path}": getattr(factors, part).to(torch.float16)
            for path, factors in self.maps.items()
            for part in Factors._fields
        }
        readouts = self.listener, self.sense, self.hearing
        return Held(ADAPTERS, self.labels, tensors, self.card, *readouts)


def open_mood_adapters(place: Path | str) -> MoodAdapters:
    """Read a file written by `MoodAdapters.save`, or the one in a folder of shared adapters.

    Raises:
        CheckpointError: If it is missing, truncated, altered or of another kind.
    """
    path = Path(place) / MOODS if Path(place).is_dir() else Path(place)
    held = read_held(path, ADAPTERS, lambda _: ())
    downs = [name for name in held.tensors if name.startswith("down.")]
    paths = sorted(name.removeprefix("down.") for name in downs)
    if set(held.tensors) != {f"{part}.{path}" for path in paths for part in Factors._fields}:
        raise CheckpointError(f"{path} lacks a part of its mood adapters; copy it again")
    maps = {
        path: Factors(*(held.tensors[f"{part}.{path}"].float() for part in Factors._fields))
        for path in paths
    }
    return MoodAdapters(held.labels, maps, held.card, held.listener, held.sense, held.hearing)
