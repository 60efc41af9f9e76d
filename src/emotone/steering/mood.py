"""A mood on a chat model: emotion vectors over its replies, whoever trained it.

All that a system needs besides its prompts: doses of mixes, replies under them with candidates,
the choice among these, the likelihood of given replies, and the report of what was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from emotone.emotions import EmotionMix
from emotone.lm.candidates import candidate_seed, write_candidates
from emotone.lm.decode import Written, stream
from emotone.lm.likelihood import reply_nats
from emotone.steering.apply import Applied, steering
from emotone.steering.choose import choose, emotion_scores
from emotone.steering.vectors import EmotionVectors
from emotone.types import Decoding, JudgeName

if TYPE_CHECKING:
    from emotone.models import CausalLM

#: Label -> multiple of its direction, for one row; empty or all 0 for a plain reply.
Doses = Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The candidates of one row.

    Args:
        written: The candidates.
        applied: What was done to the model while they were written.
    """

    written: list[Written]
    applied: Applied | None


@dataclass(frozen=True, slots=True, eq=False)
class Mood:
    """A chat model with emotion vectors.

    Args:
        lm: The model; its weights may be adapted, as long as embeddings and norms are those that
            the vectors were made with.
        vectors: The vectors.
        batch: Rows a forward pass, candidates included.

    Raises:
        SteeringError: If the vectors were made for another model.
    """

    lm: CausalLM
    vectors: EmotionVectors
    batch: int = 32

    def __post_init__(self) -> None:
        """Refuse vectors of another model."""
        self.vectors.check_model(self.lm.model)

    def doses(self, emotions: Sequence[EmotionMix | None]) -> list[Doses]:
        """Turn mixes into doses; an empty one for a row without an emotion."""
        return [self.vectors.doses(e) if e else {} for e in emotions]

    def draw(
        self,
        prompts: Sequence[list[int]],
        doses: Sequence[Doses],
        counts: Sequence[int],
        decoding: Decoding,
    ) -> list[Drawn]:
        """Write `counts[i]` candidates to each prompt under its doses."""
        how: list[Applied | None] = [None] * len(prompts)

        @contextmanager
        def steer(places: Sequence[int]) -> Iterator[Applied]:
            with self.steer([doses[i] for i in places]) as applied:
                for i in places:
                    how[i] = applied
                yield applied

        written = write_candidates(
            self.lm.model,
            self.lm.tokenizer,
            prompts,
            counts,
            decoding,
            batch=self.batch,
            stop=self.lm.stop,
            steer=steer,
        )
        return [Drawn(*pair) for pair in zip(written, how, strict=True)]

    def choose(
        self,
        prompts: Sequence[list[int]],
        candidates: Sequence[Sequence[str]],
        doses: Sequence[Doses],
        seeds: Sequence[int],
    ) -> list[int]:
        """Choose one candidate a row by what the listener hears, as strictly as the dose asks."""
        return choose(
            self.lm.model,
            self.lm.tokenizer,
            self.vectors.listener,
            prompts,
            candidates,
            self._strengths(doses),
            seeds,
        )

    def scores(
        self,
        prompts: Sequence[list[int]],
        candidates: Sequence[Sequence[str]],
        doses: Sequence[Doses],
    ) -> list[Tensor | None]:
        """Return what the listener hears of each row's emotion; see `choose.emotion_scores`."""
        return emotion_scores(
            self.lm.model,
            self.lm.tokenizer,
            self.vectors.listener,
            prompts,
            candidates,
            self._strengths(doses),
        )

    def nats(
        self, prompts: Sequence[list[int]], doses: Sequence[Doses], replies: Sequence[str]
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies under doses, without a choice."""
        return reply_nats(
            self.lm.model,
            self.lm.tokenizer,
            list(zip(prompts, replies, strict=True)),
            batch=self.batch,
            steer=lambda places: self.steer([doses[i] for i in places]),
        )

    def stream(self, prompt: list[int], doses: Doses, decoding: Decoding) -> Iterator[str]:
        """Yield one reply while it is written; what is sent leaves no choice."""
        with self.steer([doses]):
            yield from stream(
                self.lm.model,
                self.lm.tokenizer,
                prompt,
                decoding,
                candidate_seed(decoding.seed, 0),
                stop=self.lm.stop,
            )

    def steer(self, doses: Sequence[Doses]) -> AbstractContextManager[Applied]:
        """Push the model for a batch with these doses, one a row."""
        first = doses[0]
        same = all(d == first for d in doses)
        rows = [self.vectors.displacement(raw_scale=d) for d in (doses[:1] if same else doses)]
        displacement = rows[0] if same else torch.stack(rows)
        return steering(self.lm.model, displacement, site=self.vectors.card.site)

    def report(
        self, applied: Applied | None, doses: Doses, candidates: int, *, told: str = ""
    ) -> dict[str, Any]:
        """Say what was done for one reply, ready for JSON.

        Args:
            applied: What was done to the model.
            doses: The row's doses.
            candidates: Replies it was chosen from.
            told: What the model was told of the emotion in words.
        """
        acted = applied is not None and any(doses.values())
        displacement = self.vectors.displacement(raw_scale=doses)
        return {
            "tier": applied.tier if applied and acted else "none",
            "site": self.vectors.card.site,
            "positions": "all",
            "blocks": list(applied.blocks) if applied and acted else [],
            "dose": {k: round(v, 4) for k, v in doses.items()},
            "relative_dose": round(self.vectors.relative_dose(displacement), 4),
            "candidates": candidates,
            "told": told,
            "vectors": self.vectors.card.data,
            "judges": list(map(str, vector_judges(self.vectors))),
        }

    def _strengths(self, doses: Sequence[Doses]) -> list[dict[str, float]]:
        return [{k: self._strength(k, v) for k, v in d.items()} for d in doses]

    def _strength(self, label: str, dose: float) -> float:
        """Return a dose as a fraction of the emotion's ceiling on its side, in [-1, 1]."""
        curve = self.vectors.card.curves.get(label)
        full = abs(curve.dose(100.0 if dose > 0 else -100.0)) if curve else 1.0
        if not full:  # a curve without a side below 0
            return 0.0
        return max(-1.0, min(1.0, dose / full))


def vector_judges(vectors: EmotionVectors) -> tuple[JudgeName, ...]:
    """Name the judges that touched the vectors: who calibrated, who chose the training replies.

    The card names the second in its notes as "label judge", with source and licence in brackets.
    """
    card = vectors.card
    named = (card.measured.get("judge"), card.notes.get("label judge"))
    judges = [JudgeName.parse(str(name)) for name in named if name]
    return tuple({str(judge): judge for judge in judges}.values())
