"""How a model is trained by reward, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from emotone.errors import ConfigError
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


@dataclass(frozen=True, slots=True)
class Reinforce(RunSettings):
    """How a model is trained by reward.

    The defaults are those of the released code of EmpRL and of trl 0.9.6, which it runs on, except
    for `kl_limit` and the guards, which are ours. A row of a batch is a reply. There are no epochs
    of data, so `evaluate_every` and `save_every` are 1 or more. The learning rate of the authors
    falls in a line over 3 epochs of their data, about 3,770 steps (`linear`).

    Args:
        algorithm: "ppo" learns the value of each state. "rloo" compares a reply with the other
            replies to its prompt, "grpo" with the mean and spread of all of them; both need no
            values.
        steps: Steps at most. A step draws one batch of replies and learns from it.
        rows_a_pass: Replies in one forward and backward pass; gradients of several are added.
        epochs: Passes over the replies of a step.
        updates: Optimiser steps a pass: the batch is cut into so many equal parts.
        group: Replies to each prompt, for rloo and grpo; ppo draws one.
        sampling: How replies are drawn.
        clip_ratio: How far the ratio to the policy that drew the replies counts, as 1 +- this;
            0 for no limit.
        clip_value: How far a value counts that moves away from the one before the step; 0 for no
            limit.
        value_weight: Weight of the value loss.
        gamma: Discount of a later reward.
        gae_lambda: Share of the longer estimates in the advantage.
        kl: Weight of the KL divergence from the reference; the first one where it adapts.
        kl_target: Nats a reply that an adapting weight steers to.
        kl_horizon: Replies over which it does.
        kl_adaptive: Whether the weight adapts.
        scale_scores: Divide rewards by their running standard deviation.
        normalise_scores: Take off their running mean too.
        whiten_rewards: Divide the rewards of tokens by their standard deviation (ppo).
        whiten_advantages: Give advantages mean 0 and standard deviation 1 (ppo).
        ratio_limit: An update whose mean ratio is above is left out.
        kl_limit: The passes of a step end when the divergence from the policy that drew the
            replies, in nats a token, is above; 0 for no limit.
        guard_perplexity: An evaluation cannot be the best if its perplexity of given replies is
            above that of step 0 times this.
        guard_distinct: Nor if its distinct-2 is below that of step 0 times this.
        guard_length: Nor if its replies are longer or shorter than those of step 0 by more than
            this factor.
        dropout: Whether dropout is on while learning. Off by default: with it the ratio of the
            first pass is not 1, and trl's passes are all made in evaluation mode too.

    Raises:
        ConfigError: If a value is out of its range.

    Source: the released code of EmpRL (arXiv 2408.02976) and the package trl 0.9.6.
    """

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
    sampling: Sampling = field(default_factory=Sampling)
    clip_ratio: float = 0.2
    clip_value: float = 0.2
    value_weight: float = 0.1
    gamma: float = 1.0
    gae_lambda: float = 0.95
    kl: float = 0.2
    kl_target: float = 6.0
    kl_horizon: int = 10_000
    kl_adaptive: bool = True
    scale_scores: bool = True
    normalise_scores: bool = True
    whiten_rewards: bool = True
    whiten_advantages: bool = True
    ratio_limit: float = 10.0
    kl_limit: float = 0.0
    guard_perplexity: float = 1.10
    guard_distinct: float = 0.97
    guard_length: float = 1.15
    dropout: bool = False

    def __post_init__(self) -> None:
        check_choice(self, "reinforce", "algorithm", ("ppo", "rloo", "grpo"))
        for name in ("rows_a_pass", "epochs", "updates", "kl_horizon", "evaluate_every"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("save_every", self.save_every >= 1, "1 or more")
        check_run_settings(self, "reinforce")
        self._check("steps", self.steps >= 0, "0 or more")
        for name in ("clip_ratio", "clip_value", "value_weight", "kl", "kl_limit"):
            value = getattr(self, name)
            self._check(name, math.isfinite(value) and value >= 0, "0 or more")
        target = self.kl_target
        self._check("kl_target", math.isfinite(target) and target > 0, "more than 0")
        for name in ("gamma", "gae_lambda", "guard_distinct"):
            self._check(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        for name in ("ratio_limit", "guard_perplexity", "guard_length"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check(
            "batch", self.batch % self.updates == 0, f"a multiple of updates, {self.updates}"
        )
        if self.algorithm != "ppo":
            self._check("group", self.group >= 2, f"2 or more for {self.algorithm}")
            divides = self.batch % self.group == 0
            self._check("batch", divides, f"a multiple of group, {self.group}")
        drawn = self.sampling
        for name, right, allowed in (
            ("top_k", drawn.top_k >= 0, "0 or more"),
            ("temperature", 0 < drawn.temperature < math.inf, "more than 0"),
            ("min_tokens", 0 <= drawn.min_tokens <= drawn.max_tokens, "0 to max_tokens"),
            ("max_tokens", drawn.max_tokens >= 1, "1 or more"),
        ):
            if not right:
                raise ConfigError(
                    f"reinforce: sampling.{name} is {getattr(drawn, name)!r}; use {allowed}"
                )

    @property
    def replies_a_prompt(self) -> int:
        """Replies that are drawn to each prompt."""
        return 1 if self.algorithm == "ppo" else self.group

    @property
    def prompts_a_step(self) -> int:
        """Prompts that are chosen each step."""
        return self.batch // self.replies_a_prompt

    def _check(self, name: str, right: bool, allowed: str) -> None:
        check_setting(self, "reinforce", name, right, allowed)


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
