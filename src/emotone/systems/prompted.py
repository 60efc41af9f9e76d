"""Prompted: the same chat model, asked for the emotion in words.

The honest baseline of steering: no vector, no training, only an instruction.

Source: AxBench (Wu et al. 2025) finds prompting the strongest baseline for large models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotone.emotions import EKMAN, EmotionMix, Taxonomy
from emotone.errors import ConfigError, Unsupported
from emotone.lm.chat import FRIEND, prompt_ids, system_prompt
from emotone.lm.decode import SEARCHES, stream, write
from emotone.lm.likelihood import reply_nats
from emotone.lm.small_talk import opened
from emotone.models.catalog import languages_of
from emotone.requests import check_request
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply

if TYPE_CHECKING:
    from emotone.models import CausalLM


@dataclass(frozen=True, slots=True)
class Config:
    """How the model is prompted.

    Args:
        system: System prompt before the emotion; "" leaves it to the chat template.
        batch: Rows a forward pass.
    """

    system: str = FRIEND
    batch: int = 32

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.batch < 1:
            raise ConfigError(f"batch is {self.batch}; use 1 or more")


class Prompted:
    """A chat model with an instruction that names the emotion."""

    capabilities = Capabilities(
        Taxonomy("ekman", EKMAN.labels[:6], EKMAN.aliases),
        graded=True,
        mixes=True,
        history=True,
        streaming=True,
        decoding=SEARCHES,
    )

    def __init__(self, lm: CausalLM, config: Config) -> None:
        self.capabilities = replace(Prompted.capabilities, languages=languages_of(lm.name))
        self._lm = lm
        self._config = config

    def _prompt(self, dialogue: Dialogue, emotion: EmotionMix | None) -> list[int]:
        if self._config.system == FRIEND:
            dialogue = opened(dialogue, emotion)
        return prompt_ids(self._lm.tokenizer, dialogue, system_prompt(self._config.system, emotion))

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each dialogue, prompted for its emotion."""
        check_request("prompted", self.capabilities, dialogues, emotions, empathy, decoding)
        prompts = [self._prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        replies: list[Reply] = []
        for start in range(0, len(prompts), self._config.batch):
            part = prompts[start : start + self._config.batch]
            seeds = [decoding.seed + start + i for i in range(len(part))]
            written = write(
                self._lm.model, self._lm.tokenizer, part, decoding, seeds, stop=self._lm.stop
            )
            for i, out in enumerate(written, start):
                replies.append(
                    Reply(
                        out.text,
                        emotions[i],
                        "prompted",
                        self._lm.name,
                        decoding.seed + i,
                        out.tokens,
                        out.logprob,
                        {"tier": "none", "told": system_prompt("", emotions[i])},
                        out.finish_reason,
                    )
                )
        return replies

    def nats(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        replies: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies, prompted for their emotions as in `reply`."""
        check_request("prompted", self.capabilities, dialogues, emotions)
        prompts = [self._prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        return reply_nats(
            self._lm.model,
            self._lm.tokenizer,
            list(zip(prompts, replies, strict=True)),
            batch=self._config.batch,
        )

    def stream(
        self, dialogue: Dialogue, emotion: EmotionMix | None, *, decoding: Decoding
    ) -> Iterator[str]:
        """Yield one reply while it is written."""
        check_request("prompted", self.capabilities, [dialogue], [emotion], decoding=decoding)
        prompt = self._prompt(dialogue, emotion)
        return stream(
            self._lm.model,
            self._lm.tokenizer,
            prompt,
            decoding,
            decoding.seed,
            stop=self._lm.stop,
        )


def load(
    model: str | None = None, *, device: str = "auto", config: Config | None = None
) -> Prompted:
    """Load a chat model by catalogue name, folder or hub id."""
    from emotone.models import DEFAULT, load_causal_lm

    return Prompted(load_causal_lm(model or DEFAULT, device=device), config or Config())


def train(config: Config, out: Path) -> Path:
    """Raise: there is nothing to train."""
    raise Unsupported("prompted has nothing to train; use it as it is")


def tiny() -> Prompted:
    """Return the system on a random two-block model."""
    from emotone.models.tiny import tiny_causal_lm

    return Prompted(tiny_causal_lm(), Config())
