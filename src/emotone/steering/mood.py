"""A mood on a chat model: emotion vectors or mood adapters over its replies, whoever trained it.

All that a system needs besides its prompts: doses of mixes, candidate replies under them, the
choice among these, the likelihood of given replies, and the report of what was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from emotone.emotions import EmotionMix
from emotone.lm.candidates import candidate_passes, candidate_seed
from emotone.lm.decode import Written, stream, write
from emotone.lm.likelihood import reply_nats
from emotone.steering.apply import Applied
from emotone.steering.choose import CandidateStates, choose, emotion_scores
from emotone.steering.dose import Doses, strength
from emotone.steering.ears import Ears
from emotone.steering.moods import Moods
from emotone.types import Decoding, JudgeName

if TYPE_CHECKING:
    from emotone.models import CausalLM


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The candidates of one row.

    Args:
        replies: The candidates, in order of their seeds.
        applied: What was done to the model while they were written.
    """

    replies: list[Written]
    applied: Applied | None


@dataclass(frozen=True, slots=True, eq=False)
class Mood:
    """A chat model with emotion vectors or mood adapters.

    Args:
        lm: The model; its weights may be adapted, as long as embeddings and norms are those that
            the vectors were made with.
        vectors: The vectors, or the adapters.
        batch: Rows a forward pass, candidates included.

    Raises:
        SteeringError: If the vectors were made for another model.
    """

    lm: CausalLM
    vectors: Moods
    batch: int = 32

    def __post_init__(self) -> None:
        """Refuse vectors of another model."""
        self.vectors.check_model(self.lm.model)

    @property
    def in_batch(self) -> Applied:
        """What is done to the model in a running batch (`steering.live`)."""
        vectors = self.vectors
        return Applied("hooks", vectors.site, vectors.card.positions, "add", vectors.blocks)

    def ears(self, system: str) -> Ears | None:
        """Return what hears posts by the model itself; None without a listener.

        Args:
            system: System prompt of the replies.
        """
        hearing = self.vectors.hearing
        if hearing is not None:  # which was taught with one prompt
            system = self.vectors.card.system_prompt
        listener = hearing or self.vectors.listener
        name = f"listener of {self.lm.name}"
        return listener and Ears(self.lm, listener, system, name, of_posts=hearing is not None)

    def doses(self, emotions: Sequence[EmotionMix | None]) -> list[Doses]:
        """Turn mixes into doses; an empty one for a row without an emotion."""
        return [self.vectors.doses(e) if e else {} for e in emotions]

    def write_candidates(
        self,
        prompts: Sequence[list[int]],
        doses: Sequence[Doses],
        counts: Sequence[int],
        decoding: Decoding,
    ) -> list[Candidates]:
        """Write `counts[i]` candidates to each prompt under its doses."""
        written: list[list[Written]] = [[] for _ in prompts]
        applied: list[Applied | None] = [None] * len(prompts)
        for rows, seeds in candidate_passes(counts, decoding.seed, self.batch):
            copies = Counter(rows)  # a prompt is read once for all of its candidates
            with self._steer([doses[i] for i in copies], list(copies.values())) as how:
                replies = write(
                    self.lm.model,
                    self.lm.tokenizer,
                    [prompts[i] for i in copies],
                    decoding,
                    seeds,
                    stop=self.lm.stop,
                    copies=list(copies.values()),
                )
            for i, reply in zip(rows, replies, strict=True):
                written[i].append(reply)
                applied[i] = how
        return [Candidates(*pair) for pair in zip(written, applied, strict=True)]

    def choose(
        self,
        prompts: Sequence[list[int]],
        candidates: Sequence[Sequence[str]],
        doses: Sequence[Doses],
        seeds: Sequence[int],
        sense: Sequence[Tensor] | None = None,
        by_hand: Sequence[Tensor] | None = None,
    ) -> list[int]:
        """Choose one candidate a row, as strictly by emotion as the dose is high, and by sense.

        With `sense`, the log of each candidate's expected content, it takes the place of what the
        vectors' own readout of sense says, where they have one. `by_hand`: see `choose.choose`.
        """
        return choose(
            self.lm.model,
            self.lm.tokenizer,
            self.vectors.listener,
            prompts,
            candidates,
            self._strengths(doses),
            seeds,
            self.vectors.sense if sense is None else sense,
            by_hand,
        )

    def scores(
        self,
        prompts: Sequence[list[int]],
        candidates: Sequence[Sequence[str]],
        doses: Sequence[Doses],
    ) -> list[Tensor | None]:
        """Score each row's candidates by the listener; see `choose.emotion_scores`."""
        states = CandidateStates(self.lm.model, self.lm.tokenizer, prompts, candidates)
        return emotion_scores(states, self.vectors.listener, self._strengths(doses))

    def nats(
        self, prompts: Sequence[list[int]], doses: Sequence[Doses], replies: Sequence[str]
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies under doses, without a choice."""
        return reply_nats(
            self.lm.model,
            self.lm.tokenizer,
            list(zip(prompts, replies, strict=True)),
            batch=self.batch,
            steer=lambda rows: self._steer(
                [doses[i] for i in rows], prompt_length=[len(prompts[i]) for i in rows]
            ),
        )

    def stream(self, prompt: list[int], doses: Doses, decoding: Decoding) -> Iterator[str]:
        """Yield one reply while it is written; what is sent leaves no choice."""
        with self._steer([doses]):
            yield from stream(
                self.lm.model,
                self.lm.tokenizer,
                prompt,
                decoding,
                candidate_seed(decoding.seed, 0),
                stop=self.lm.stop,
            )

    def _steer(
        self,
        doses: Sequence[Doses],
        copies: Sequence[int] | None = None,
        prompt_length: Sequence[int] | None = None,
    ) -> AbstractContextManager[Applied]:
        return self.vectors.steer(
            self.lm.model, raw_scale=doses, copies=copies, prompt_length=prompt_length
        )

    def report(
        self, applied: Applied | None, doses: Doses, candidates: int, *, told: str = ""
    ) -> dict[str, Any]:
        """Say what was done for one reply, ready for JSON.

        Args:
            applied: What was done to the model.
            doses: The row's doses.
            candidates: Replies it was chosen from.
            told: What the prompt says of the emotion.
        """
        acted = applied is not None and any(doses.values())
        push = self.vectors.push(doses)
        return {
            "tier": applied.tier if applied and acted else "none",
            "site": self.vectors.site,
            "positions": self.vectors.card.positions,
            "blocks": list(applied.blocks) if applied and acted else [],
            "dose": {k: round(v, 4) for k, v in doses.items()},
            "relative_dose": round(self.vectors.relative_dose(push), 4),
            "candidates": candidates,
            "told": told,
            "vectors": self.vectors.card.data,
            "judges": list(map(str, vector_judges(self.vectors))),
        }

    def _strengths(self, doses: Sequence[Doses]) -> list[dict[str, float]]:
        curves = self.vectors.card.curves
        return [{k: strength(v, curves.get(k)) for k, v in row.items()} for row in doses]


def vector_judges(vectors: Moods) -> tuple[JudgeName, ...]:
    """Name the judges that touched the vectors: who calibrated, who chose the training replies.

    The card names the second in its notes as "label judge", with source and licence in brackets,
    and in "judges" those that labelled the exchanges.
    """
    card = vectors.card
    named = (
        card.measured.get("judge"),
        card.notes.get("label judge"),
        *card.notes.get("judges", ()),
    )
    judges = [JudgeName.parse(str(name)) for name in named if name]
    return tuple({str(judge): judge for judge in judges}.values())
