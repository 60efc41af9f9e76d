"""The folder of a stage: weights that others can load, and how the policy reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from emotone import config as configs
from emotone.errors import CheckpointError, ConfigError
from emotone.files import replacing
from emotone.lm.chat import FRIEND
from emotone.rl.causal import CausalPolicy
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.systems.emprl.config import Config
from emotone.training.adapters import save_adapters

FILE = "config.toml"


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of the stage; all may be left out."""

    steps: int = 0
    best_step: int = 0
    dev_nats: float | None = None
    dev_reward: float | None = None
    stopped: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Card:
    """What a folder says of itself in `config.toml`.

    Args:
        kind: "seq2seq": the folder holds a T5 whole; "causal": it holds adapters of `base`.
        base: Catalogue name or hub id of the chat model; "" for a T5.
        stage: "base", "supervised", "ppo", "rloo" or "grpo".
        separator: What is put between the posts that a T5 reads.
        system: System prompt of a chat model.
        max_prompt: Tokens that are read.
        identifier: Who gave the reward; "" before reinforcement.
        measured: What came of the stage.
    """

    kind: Literal["causal", "seq2seq"]
    base: str = ""
    stage: str = ""
    separator: str = " "
    system: str = FRIEND
    max_prompt: int = 200
    identifier: str = ""
    measured: Measured = field(default_factory=Measured)


def save_policy(
    policy: Seq2SeqPolicy | CausalPolicy,
    folder: Path,
    config: Config,
    *,
    stage: str,
    measured: Mapping[str, Any],
) -> None:
    """Write a policy so that `load` and other libraries read it: a T5 whole, else adapters.

    Args:
        policy: Of either kind.
        folder: Where to; made if it is not there.
        config: How it was trained.
        stage: Which stage it comes from.
        measured: Fields of `Measured`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    causal = isinstance(policy, CausalPolicy)
    if causal:
        save_adapters(policy.model, folder, base=config.policy.model)
    else:
        policy.model.save_pretrained(folder, safe_serialization=True)
        policy.codec.tokenizer.save_pretrained(folder)
    settings = config.policy
    card = Card(
        kind="causal" if causal else "seq2seq",
        base=settings.model if causal else "",
        stage=stage,
        separator=settings.separator,
        system=settings.system,
        max_prompt=settings.max_prompt,
        identifier="" if stage in ("base", "supervised") else config.identifier,
        measured=configs.build(Measured, {k: v for k, v in measured.items() if v is not None}),
    )
    with replacing(folder / FILE) as path:  # last: a folder without it is incomplete
        path.write_text(configs.dump(card), encoding="utf-8")


def read_card(folder: Path) -> Card:
    """Read what a folder says of itself.

    Raises:
        CheckpointError: If it is not there or says what is not allowed.
    """
    try:
        return configs.load(Card, folder / FILE)
    except ConfigError as error:
        raise CheckpointError(
            f"{folder.name} is not a folder of EmpRL ({error}); train it anew or name another"
        ) from error
