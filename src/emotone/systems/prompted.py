"""Prompted: the same chat model, asked for the emotion in words.

The honest baseline of steering: no vector, no training, only an instruction.

Source: AxBench (Wu et al. 2025) finds prompting the strongest baseline for large models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotone.emotions import EKMAN, EmotionMix, Taxonomy
from emotone.errors import ConfigError, Unsupported
from emotone.lm.chat import FRIEND
from emotone.lm.decode import SEARCHES
from emotone.lm.small_talk import opened
from emotone.lm.told import Told
from emotone.models.catalog import languages_of
from emotone.types import Capabilities, Dialogue

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


class Prompted(Told):
    """A chat model with an instruction that names the emotion."""

    name = "prompted"
    capabilities = Capabilities(
        Taxonomy("ekman", EKMAN.labels[:6], EKMAN.aliases),
        graded=True,
        mixes=True,
        history=True,
        streaming=True,
        decoding=SEARCHES,
    )

    def __init__(self, lm: CausalLM, config: Config) -> None:
        capabilities = replace(Prompted.capabilities, languages=languages_of(lm.name))
        super().__init__(lm, capabilities, system=config.system, batch=config.batch)

    def prompt(self, dialogue: Dialogue, emotion: EmotionMix | None) -> list[int]:
        """Token ids of what the model reads; small talk is opened for it."""
        if self.system == FRIEND:
            dialogue = opened(dialogue, emotion)
        return super().prompt(dialogue, emotion)


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
