"""Everything EmpRL can be set to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from emotone.errors import ConfigError
from emotone.lm.chat import FRIEND
from emotone.rl.settings import Reinforce
from emotone.systems.emprl.new_t5 import T5Sizes
from emotone.systems.emprl.reward import RewardSettings
from emotone.training.adapters import Adapters
from emotone.training.settings import Training

#: The name that stands for a small T5 made from nothing.
NEW = "new"


@dataclass(frozen=True, slots=True)
class Data:
    """What is learned from.

    Args:
        train: Examples with replies, as `emotone data prepare empathetic_dialogues` writes them.
        dev: The same, to choose the best weights by; None keeps `dev_share` of the conversations
            of `train` apart.
        dev_share: Share of conversations kept apart, by a hash of their first post.
        dev_rows: Examples of them that are measured, at most.
        base: More dialogues that a new T5 learns from first, both sides of each.
        rows: Examples of `train` at most, sampled with the run's seed; 0 for all.
    """

    train: Path = Path("out/emprl/data/ed-train.jsonl")
    dev: Path | None = None
    dev_share: float = 0.03
    dev_rows: int = 256
    base: tuple[Path, ...] = ()
    rows: int = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 < self.dev_share < 0.5:
            raise ConfigError(f"data: dev_share is {self.dev_share}; use above 0 and below 0.5")
        if self.dev_rows < 1:
            raise ConfigError(f"data: dev_rows is {self.dev_rows}; use 1 or more")
        if self.rows < 0:
            raise ConfigError(f"data: rows is {self.rows}; use 0 or more")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The model that learns.

    Args:
        model: Catalogue name, folder or hub id, such as "smollm2" or "t5-base"; "new" makes a
            small T5 from nothing.
        separator: What is put between the posts that a T5 reads.
        system: System prompt of a chat model.
        max_prompt: Tokens that are read; the end of the dialogue is kept.
        max_reply: Tokens of a given reply that are learned.
        detach_values: Whether the value loss leaves the model alone and trains the critic only. The
            authors' does not; the critic's first errors are large and then change the replies.
        adapters: The low-rank change of a chat model.
        new: Size of a new T5.

    Source: the released code of EmpRL: 200 and 50 tokens, posts joined by a blank.
    """

    model: str = "smollm2"
    separator: str = " "
    system: str = FRIEND
    max_prompt: int = 200
    max_reply: int = 50
    detach_values: bool = False
    adapters: Adapters = field(default_factory=Adapters)
    new: T5Sizes = field(default_factory=T5Sizes)

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("max_prompt", "max_reply"):
            if getattr(self, name) < 2:
                raise ConfigError(f"policy: {name} is {getattr(self, name)}; use 2 or more")


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """How replies are given.

    Args:
        candidates: Replies to choose from where empathy levels or an emotion are requested; 1
            takes the first.
        vectors: A file of emotion vectors; "" takes the set that is shipped for the base model.
        batch: Rows a forward pass, candidates included.
    """

    candidates: int = 4
    vectors: str = ""
    batch: int = 32

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 1 <= self.candidates <= 64:
            raise ConfigError(f"candidates is {self.candidates}; use a number from 1 to 64")
        if self.batch < 1:
            raise ConfigError(f"batch is {self.batch}; use 1 or more")


#: The authors' supervised stage: batch 8, learning rate 1e-4 falling in a line, 3 epochs.
SUPERVISED = Training(epochs=3, batch=8, lr=1e-4, linear=15_000, clip=1.0, patience=0)


@dataclass(frozen=True, slots=True)
class Config:
    """EmpRL.

    Args:
        reply: How replies are given.
        data: What is learned from.
        policy: The model that learns.
        base: How a new T5 learns to write dialogue at all; read with `policy.model = "new"` only.
        supervised: How the policy learns to reply.
        reinforce: How the reward is raised.
        reward: What is rewarded.
        identifier: Judge of empathy for the reward, by name or folder; never the one that scores.
        identifier_device: Where it runs: "cpu", or "auto" for where the policy is.

    Source: the released code of EmpRL (arXiv 2408.02976), for the defaults.
    """

    reply: ReplySettings = field(default_factory=ReplySettings)
    data: Data = field(default_factory=Data)
    policy: PolicySettings = field(default_factory=PolicySettings)
    base: Training = field(default_factory=lambda: replace(SUPERVISED, lr=1e-3, batch=64))
    supervised: Training = SUPERVISED
    reinforce: Reinforce = field(default_factory=Reinforce)
    reward: RewardSettings = field(default_factory=RewardSettings)
    identifier: str = "empathy-reward"
    identifier_device: Literal["cpu", "auto"] = "cpu"
