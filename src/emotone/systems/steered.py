"""Steered: a chat model with emotion vectors added to its hidden states.

No training of the model and no instruction: intensity goes through the vectors' calibration to a
dose, the dose moves every block. Of a few candidates the one is kept in which the model itself
hears the emotion best (`emotone.steering.listen`), as strictly as the intensity asks.

Source: Dong et al. 2025 (arXiv 2502.04075), for the idea of emotion vectors, their mixes and
continuous strength. Deviations: the residual stream at all positions instead of attention output
at the last; directions fitted instead of averaged; calibrated intensity; a choice among
candidates. docs/systems/steered.md gives reasons and measurements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emotone.emotions import EmotionMix
from emotone.errors import ConfigError, SteeringError, Unsupported
from emotone.models.chat_format import FRIEND, prompt_ids, told
from emotone.models.decode import Written, stream, write
from emotone.models.likelihood import reply_nats
from emotone.protocols import check_request
from emotone.steering.apply import Applied, steering
from emotone.steering.choose import choose
from emotone.steering.fluency import told_perplexity
from emotone.steering.vectors import EmotionVectors, shipped_names
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply

if TYPE_CHECKING:
    from emotone.models import CausalLM


@dataclass(frozen=True, slots=True)
class Config:
    """How the system answers.

    Args:
        vectors: A vector file; "" takes the set that is shipped for the model.
        system: System prompt; "" takes the one that the vectors were made with.
        told: Also tell the model the emotion in words.
        candidates: Replies to choose from, for each post with an emotion; 1 takes the first.
        batch: Rows a forward pass, candidates included.
    """

    vectors: str = ""
    system: str = ""
    told: bool = False
    candidates: int = 4
    batch: int = 32

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 1 <= self.candidates <= 64:
            raise ConfigError(f"candidates is {self.candidates}; use a number from 1 to 64")
        if self.batch < 1:
            raise ConfigError(f"batch is {self.batch}; use 1 or more")


class Steered:
    """A chat model with emotion vectors."""

    def __init__(self, lm: CausalLM, vectors: EmotionVectors, config: Config) -> None:
        vectors.check_model(lm.model)
        self._lm = lm
        self._config = config
        self.vectors = vectors
        self._judges = _judges(vectors)
        self._system = config.system or vectors.card.system_prompt or FRIEND
        self.capabilities = Capabilities(
            vectors.taxonomy, graded=True, mixes=True, history=True, streaming=True
        )

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each dialogue in its emotion."""
        check_request("steered", self.capabilities, dialogues, emotions, empathy)
        doses = [self.vectors.doses(e) if e else {} for e in emotions]
        prompts = [self._prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        return self._answer(prompts, list(emotions), doses, decoding)

    def reply_raw(
        self,
        dialogues: Sequence[Dialogue],
        raw_scale: Sequence[Mapping[str, float]],
        *,
        decoding: Decoding,
    ) -> list[Reply]:
        """Answer at raw multiples of the directions, bypassing calibration; for calibrating."""
        prompts = [self._prompt(d, None) for d in dialogues]
        return self._answer(prompts, [None] * len(prompts), [dict(d) for d in raw_scale], decoding)

    def nats(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        replies: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies, steered as in `reply`, without a choice."""
        check_request("steered", self.capabilities, dialogues, emotions)
        doses = [self.vectors.doses(e) if e else {} for e in emotions]
        prompts = [self._prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        return reply_nats(
            self._lm.model,
            self._lm.tokenizer,
            list(zip(prompts, replies, strict=True)),
            batch=self._config.batch,
            steer=lambda places: self._steer([doses[i] for i in places]),
        )

    def told_likelihood(self, label: str, pairs: Sequence[tuple[Dialogue, str]]) -> float:
        """Perplexity of replies under the unsteered model told an emotion; for calibrating."""
        mix = EmotionMix.of({label: 100.0}, self.vectors.taxonomy)
        return told_perplexity(self._lm.model, self._lm.tokenizer, pairs, mix, system=self._system)

    def _prompt(self, dialogue: Dialogue, emotion: EmotionMix | None) -> list[int]:
        said = told(self._system, emotion if self._config.told else None)
        return prompt_ids(self._lm.tokenizer, dialogue, said)

    def _answer(
        self,
        prompts: list[list[int]],
        emotions: list[EmotionMix | None],
        doses: list[dict[str, float]],
        decoding: Decoding,
    ) -> list[Reply]:
        # A row without a push has one candidate: there is nothing to choose by.
        counts = [self._config.candidates if any(d.values()) else 1 for d in doses]
        rows = [(i, j) for i, n in enumerate(counts) for j in range(n)]
        written: list[list[Written]] = [[] for _ in prompts]
        how: list[Applied | None] = [None] * len(prompts)
        for start in range(0, len(rows), self._config.batch):
            part = rows[start : start + self._config.batch]
            seeds = [_seed(decoding.seed + i, j) for i, j in part]
            with self._steer([doses[i] for i, _ in part]) as applied:
                made = write(
                    self._lm.model,
                    self._lm.tokenizer,
                    [prompts[i] for i, _ in part],
                    decoding,
                    seeds,
                    stop=self._lm.stop,
                )
            for (i, _), out in zip(part, made, strict=True):
                written[i].append(out)
                how[i] = applied
        chosen = choose(
            self._lm.model,
            self._lm.tokenizer,
            self.vectors.listener,
            prompts,
            [[w.text for w in group] for group in written],
            [{k: self._strength(k, v) for k, v in d.items()} for d in doses],
            [decoding.seed + i for i in range(len(prompts))],
        )
        return [
            Reply(
                written[i][pick].text,
                emotions[i],
                "steered",
                self._lm.name,
                decoding.seed + i,
                written[i][pick].tokens,
                written[i][pick].logprob,
                self._report(how[i], doses[i], counts[i], emotions[i]),
            )
            for i, pick in enumerate(chosen)
        ]

    def _strength(self, label: str, dose: float) -> float:
        """Return a dose as a fraction of the emotion's ceiling on its side, in [-1, 1]."""
        curve = self.vectors.card.curves.get(label)
        full = abs(curve.dose(100.0 if dose > 0 else -100.0)) if curve else 1.0
        if not full:  # a curve without a side below 0
            return 0.0
        return max(-1.0, min(1.0, dose / full))

    def _steer(self, doses: Sequence[Mapping[str, float]]) -> Any:
        first = doses[0]
        same = all(d == first for d in doses)
        rows = [self.vectors.displacement(raw_scale=d) for d in (doses[:1] if same else doses)]
        displacement = rows[0] if same else torch.stack(rows)
        return steering(self._lm.model, displacement, site=self.vectors.card.site)

    def _report(
        self,
        applied: Applied | None,
        doses: Mapping[str, float],
        candidates: int,
        emotion: EmotionMix | None,
    ) -> dict[str, Any]:
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
            "told": told("", emotion) if self._config.told else "",
            "vectors": self.vectors.card.data,
            "judges": list(self._judges),
        }

    def stream(
        self, dialogue: Dialogue, emotion: EmotionMix | None, *, decoding: Decoding
    ) -> Iterator[str]:
        """Yield one reply while it is written.

        What is sent cannot be taken back, so there is one candidate here.
        """
        check_request("steered", self.capabilities, [dialogue], [emotion])
        prompt = self._prompt(dialogue, emotion)
        doses = self.vectors.doses(emotion) if emotion else {}

        def pieces() -> Iterator[str]:
            with self._steer([doses]):
                yield from stream(
                    self._lm.model,
                    self._lm.tokenizer,
                    prompt,
                    decoding,
                    _seed(decoding.seed, 0),
                    stop=self._lm.stop,
                )

        return pieces()


def _judges(vectors: EmotionVectors) -> tuple[str, ...]:
    """Name the judges that touched the vectors: who calibrated, who chose the training replies.

    The card names the second in its notes as "label judge", with source and licence in brackets.
    """
    card = vectors.card
    named = (card.measured.get("judge", ""), card.notes.get("label judge", ""))
    return tuple(dict.fromkeys(n for name in named if (n := str(name).split(" (")[0].strip())))


def _seed(seed: int, candidate: int) -> int:
    return (seed + candidate * 0x9E3779B1) % 2**63


def load(
    model: str | None = None, *, device: str = "auto", config: Config | None = None
) -> Steered:
    """Load a chat model and its vectors.

    Raises:
        Unsupported: If no vectors are shipped for the model and none are named.
    """
    from emotone.models import DEFAULT, entry, known, load_causal_lm

    config = config or Config()
    name = model or DEFAULT
    if config.vectors:
        vectors = EmotionVectors.load(config.vectors)
    else:
        named = entry(name).vectors if name in known() else ""
        vectors = EmotionVectors.shipped(named) if named in shipped_names() else None
    lm = load_causal_lm(name, device=device)
    if vectors is None:
        # A folder may hold the default model under another name: its weights tell.
        for candidate in map(EmotionVectors.shipped, shipped_names()):
            try:
                return Steered(lm, candidate, config)
            except SteeringError:
                continue
        raise Unsupported(
            f"no emotion vectors are shipped for {name!r}; make them with "
            "`emotone vectors extract` and give the file with --set vectors=FILE"
        )
    return Steered(lm, vectors, config)


def train(config: Config, out: Path) -> Path:
    """Raise: vectors are extracted, not trained with the system."""
    raise Unsupported("steered has nothing to train; use `emotone vectors extract` and `calibrate`")


def tiny() -> Steered:
    """Return the system on a random three-block model with random vectors and ears."""
    from emotone.emotions import EKMAN
    from emotone.models.tiny import tiny_causal_lm
    from emotone.steering.card import VectorsCard
    from emotone.steering.curve import Curve
    from emotone.steering.fingerprint import fingerprint
    from emotone.steering.listen import Listener

    lm = tiny_causal_lm()
    draw = torch.Generator().manual_seed(0)
    labels = EKMAN.labels[:6]
    directions = {label: torch.randn(3, 32, generator=draw) * 0.5 for label in labels}
    curve = Curve(((-100.0, -1.0), (0.0, 0.0), (100.0, 1.0)))
    card = VectorsCard(
        "tiny",
        fingerprint(lm.model),
        norms=(1.0, 1.0, 1.0),
        curves=dict.fromkeys(labels, curve),
    )
    listener = Listener(
        labels,
        1,
        torch.randn(len(labels), 32, generator=draw),
        torch.zeros(len(labels)),
        torch.zeros(32),
        torch.ones(32),
    )
    vectors = EmotionVectors(directions, card, listener)
    return Steered(lm, vectors, replace(Config(), candidates=2))
