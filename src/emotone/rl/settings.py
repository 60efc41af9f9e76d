"""How a model is trained by reward, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from emotone.training.settings import (
    RUN_FREE,
    RunSettings,
    check_choice,
    check_run_settings,
    check_setting,
)

#: Settings that a resumed run may change, as they do not change what a step does.
FREE = RUN_FREE | {"steps"}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are sampled.

    Args:
        top_k: Sample from so many of the likeliest tokens; 0 for all.
        temperature: Divides the logits.
        min_tokens: The end token cannot be sampled before so many tokens.
        max_tokens: Longest reply in tokens, the end token included.

    Source: the released code of EmpRL (arXiv 2408.02976): 20, 0.9, 5, 30.
    """

    top_k: int = 20
    temperature: float = 0.9
    min_tokens: int = 5
    max_tokens: int = 30

    def __post_init__(self) -> None:
        for name, right, allowed in (
            ("top_k", self.top_k >= 0, "0 or more"),
            ("temperature", 0 < self.temperature < math.inf, "more than 0"),
            ("min_tokens", 0 <= self.min_tokens <= self.max_tokens, "0 to max_tokens"),
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
        ):
            check_setting(self, "reinforce.sampling", name, right, allowed)


@dataclass(frozen=True, slots=True)
class PPO:
    """What losses and advantages are made of; rloo and grpo read `clip_ratio` and the scores' too.

    Args:
        clip_ratio: How far the ratio to the policy that sampled the replies counts, as 1 +- this;
            0 for no limit. All algorithms use it.
        clip_value: How far a value counts that moves away from the one before the step; 0 for no
            limit.
        value_weight: Weight of the value loss.
        gamma: Discount of a later reward.
        gae_lambda: Share of the longer estimates in the advantage.
        scale_scores: Divide rewards by their running standard deviation, in all algorithms.
        normalise_scores: Take off their running mean too.
        whiten_rewards: Divide the rewards of tokens by their standard deviation.
        whiten_advantages: Give advantages mean 0 and standard deviation 1.

    Source: the defaults of trl 0.9.6 and the released code of EmpRL.
    """

    clip_ratio: float = 0.2
    clip_value: float = 0.2
    value_weight: float = 0.1
    gamma: float = 1.0
    gae_lambda: float = 0.95
    scale_scores: bool = True
    normalise_scores: bool = True
    whiten_rewards: bool = True
    whiten_advantages: bool = True

    def __post_init__(self) -> None:
        for name in ("clip_ratio", "clip_value", "value_weight"):
            _check_weight(self, "reinforce.ppo", name)
        for name in ("gamma", "gae_lambda"):
            _check_share(self, "reinforce.ppo", name)


@dataclass(frozen=True, slots=True)
class KL:
    """What divergence from the reference costs.

    Args:
        weight: What a nat costs; the first weight where it adapts.
        target: Nats a reply that an adapting weight steers to.
        horizon: Replies over which it does.
        adaptive: Whether the weight adapts.

    Source: the released code of EmpRL, on the adaptive controller of trl 0.9.6.
    """

    weight: float = 0.2
    target: float = 6.0
    horizon: int = 10_000
    adaptive: bool = True

    def __post_init__(self) -> None:
        _check_weight(self, "reinforce.kl", "weight")
        right = math.isfinite(self.target) and self.target > 0
        check_setting(self, "reinforce.kl", "target", right, "more than 0")
        check_setting(self, "reinforce.kl", "horizon", self.horizon >= 1, "1 or more")


@dataclass(frozen=True, slots=True)
class Guards:
    """What keeps an update from going too far, and an evaluation with worse replies from winning.

    All but `ratio_limit` are ours.

    Args:
        ratio_limit: An update whose mean ratio is above is left out.
        kl_limit: The passes of a step end when the divergence from the policy that sampled the
            replies, in nats a token, is above; 0 for no limit.
        perplexity: An evaluation cannot be the best if its perplexity of given replies is above
            that of step 0 times this.
        distinct: Nor if its distinct-2 is below that of step 0 times this.
        length: Nor if its replies are longer or shorter than those of step 0 by more than this
            factor.
    """

    ratio_limit: float = 10.0
    kl_limit: float = 0.0
    perplexity: float = 1.10
    distinct: float = 0.97
    length: float = 1.15

    def __post_init__(self) -> None:
        for name in ("ratio_limit", "perplexity", "length"):
            check_setting(self, "reinforce.guards", name, getattr(self, name) >= 1, "1 or more")
        _check_weight(self, "reinforce.guards", "kl_limit")
        _check_share(self, "reinforce.guards", "distinct")


@dataclass(frozen=True, slots=True)
class Reinforce(RunSettings):
    """How a model is trained by reward.

    The defaults are those of the released code of EmpRL and of trl 0.9.6, which it runs on. A row
    of a batch is a reply. There are no epochs of data, so `evaluate_every` and `save_every` are 1
    or more. The learning rate of the authors falls in a line over 3 epochs of their data, about
    3,770 steps (`linear`).

    Args:
        algorithm: "ppo" learns the value of each state. "rloo" compares a reply with the other
            replies to its prompt, "grpo" with the mean and spread of all of them; both need no
            values.
        steps: Steps at most. A step samples one batch of replies and learns from it.
        rows_a_pass: Replies in one forward and backward pass; gradients of several are added.
        epochs: Passes over the replies of a step.
        updates: Optimiser steps a pass: the batch is cut into so many equal parts.
        group: Replies to each prompt, for rloo and grpo; ppo samples one.
        dropout: Whether dropout is on while learning. Off by default: with it the ratio of the
            first pass is not 1, and trl's passes are all made in evaluation mode too.
        sampling: How replies are sampled.
        ppo: What the losses and advantages are made of.
        kl: What divergence from the reference costs.
        guards: What keeps updates and replies sound.

    Raises:
        ConfigError: If a value is out of its range.

    Source: the released code of EmpRL (arXiv 2408.02976) and the package trl 0.9.6.
    """

    #: Older keys, which configs and checkpoints may have -> where the setting is now.
    RENAMED: ClassVar[Mapping[str, str]] = {
        **{name: f"ppo.{name}" for name in PPO.__dataclass_fields__},
        "kl": "kl.weight",
        "kl_target": "kl.target",
        "kl_horizon": "kl.horizon",
        "kl_adaptive": "kl.adaptive",
        "ratio_limit": "guards.ratio_limit",
        "kl_limit": "guards.kl_limit",
        "guard_perplexity": "guards.perplexity",
        "guard_distinct": "guards.distinct",
        "guard_length": "guards.length",
    }

    batch: int = 32
    lr: float = 1e-5
    clip: float = 1.0
    patience: int = 0
    evaluate_every: int = 25
    save_every: int = 25
    log_every: int = 1
    algorithm: Literal["ppo", "rloo", "grpo"] = "ppo"
    steps: int = 1600
    rows_a_pass: int = 8
    epochs: int = 4
    updates: int = 1
    group: int = 4
    dropout: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    ppo: PPO = field(default_factory=PPO)
    kl: KL = field(default_factory=KL)
    guards: Guards = field(default_factory=Guards)

    def __post_init__(self) -> None:
        check_choice(self, "reinforce", "algorithm", ("ppo", "rloo", "grpo"))
        for name in ("rows_a_pass", "epochs", "updates", "evaluate_every", "save_every"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        check_run_settings(self, "reinforce")
        self._check("steps", self.steps >= 0, "0 or more")
        self._check(
            "batch", self.batch % self.updates == 0, f"a multiple of updates, {self.updates}"
        )
        if self.algorithm != "ppo":
            self._check("group", self.group >= 2, f"2 or more for {self.algorithm}")
            divides = self.batch % self.group == 0
            self._check("batch", divides, f"a multiple of group, {self.group}")

    @property
    def replies_a_prompt(self) -> int:
        """Replies that are sampled to each prompt."""
        return 1 if self.algorithm == "ppo" else self.group

    @property
    def prompts_a_step(self) -> int:
        """Prompts that are chosen each step."""
        return self.batch // self.replies_a_prompt

    def flat(self) -> dict[str, Any]:
        """All settings by the names that checkpoints compare a run by, which have no groups."""
        values = asdict(self)
        groups = {name: values.pop(name) for name in ("ppo", "kl", "guards")}
        for name, place in self.RENAMED.items():
            group, _, key = place.partition(".")
            values[name] = groups[group][key]
        return values

    def _check(self, name: str, right: bool, allowed: str) -> None:
        check_setting(self, "reinforce", name, right, allowed)


def _check_weight(settings: Any, section: str, name: str) -> None:
    value = getattr(settings, name)
    check_setting(settings, section, name, math.isfinite(value) and value >= 0, "0 or more")


def _check_share(settings: Any, section: str, name: str) -> None:
    check_setting(settings, section, name, 0 <= getattr(settings, name) <= 1, "0 to 1")


@dataclass(frozen=True, slots=True)
class Reinforced:
    """What came of a run; the policy holds the weights of `best_step`.

    Args:
        steps: Steps made, those before a resume included.
        best_step: The step of the evaluation with the highest reward among those that the guards
            let pass; the last step without development data.
        best_reward: Its mean reward; None without development data.
        stopped: "steps" or "patience".
        seconds: Time spent, that before a resume included.
        curve: The evaluations in order, as they are in the log.
        log: The log file, one JSON object a line.
    """

    steps: int
    best_step: int
    best_reward: float | None
    stopped: str
    seconds: float
    curve: tuple[dict[str, float], ...]
    log: Path
