"""From the reward of a reply to the reward of each of its tokens.

A reward function gives the reward of a reply; running moments scale it to a score; each token pays
for its divergence from the reference, at a weight that may adapt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from emotone.errors import ConfigError, DataError
from emotone.rl.reduce import gather_rows, sum_dtype
from emotone.training.distributed import Ranks

#: What trl adds to a standard deviation of float32 scores.
_EPS = torch.finfo(torch.float32).eps


class Rewards(NamedTuple):
    """Rewards of replies.

    Args:
        total: The reward of each, [B], float64.
        terms: Its parts and what is logged beside it, each [B].
    """

    total: np.ndarray
    terms: Mapping[str, np.ndarray]


class RewardFunction(Protocol):
    """Rewards replies; equal arguments must give equal rewards.

    It is called with places of prompts and not with the prompts, which are token ids, so that it
    may hold whatever it knows of each, such as the context as text and a reference reply.
    """

    def __call__(self, prompt_rows: Sequence[int], replies: Sequence[str], /) -> Rewards:
        """Reward replies.

        Args:
            prompt_rows: The prompt that each reply answers, as its place among the prompts that
                the trainer was given, B of them; those of a group are equal.
            replies: The texts, B of them; any may be empty.
        """
        ...


class StepRewards(NamedTuple):
    """Rewards of the replies of a step, those of all processes together.

    Args:
        total: The reward of each reply, [B], on the CPU.
        terms: Its parts, each [B].
    """

    total: Tensor
    terms: Mapping[str, Tensor]


def reward_replies(
    reward: RewardFunction, prompt_rows: np.ndarray, own: np.ndarray, texts: list[str], team: Ranks
) -> StepRewards:
    """Reward the replies of this process, and gather the rewards of all processes.

    Args:
        reward: Rewards the replies of some prompts.
        prompt_rows: The prompt of each reply of the global batch, [B].
        own: Which replies of the global batch are this process's, [b].
        texts: These replies.
        team: The processes.

    Raises:
        DataError: If the reward is not one finite number a reply.
    """
    rewards = reward(prompt_rows[own].tolist(), texts)
    for name, values in (("total", rewards.total), *rewards.terms.items()):
        if np.shape(values) != (len(texts),):
            raise DataError(
                f"the reward's {name} has shape {np.shape(values)} for {len(texts)} replies; let it"
                " return one number a reply"
            )
    if not np.isfinite(rewards.total).all():
        raise DataError(
            "the reward of a reply is NaN or infinite; let the reward return a finite number for"
            " every text, an empty one too"
        )
    count = len(prompt_rows)
    terms = {k: gather_rows(team, v, own, count) for k, v in sorted(rewards.terms.items())}
    return StepRewards(gather_rows(team, rewards.total, own, count), terms)


@dataclass(frozen=True, slots=True)
class RunningMoments:
    """Mean and variance of all scores that a run has seen so far.

    Args:
        mean: Their mean.
        var: Their variance, divided by n.
        count: How many; begins just above 0, so that the first update forgets the two above.
    """

    mean: float = 0.0
    var: float = 1.0
    count: float = 1e-24

    @property
    def std(self) -> float:
        """Standard deviation, divided by n - 1; 1 while fewer than two scores are known."""
        if self.count <= 1:
            return 1.0
        return (self.var * self.count / (self.count - 1)) ** 0.5


def update_moments(moments: RunningMoments, scores: Tensor) -> RunningMoments:
    """Take in the scores of one step.

    Numbers are float64, where trl's are float32; they agree to float32's precision.

    Args:
        moments: Of the steps before.
        scores: Of the replies of all processes, [B].

    Returns:
        The moments with this step's scores.

    Source: Chan et al. 1979, the parallel variance; trl 0.9.6, `RunningMoments`.
    """
    x = scores.detach().to(sum_dtype(scores.device))
    count = float(len(x))
    if count == 0:
        return moments
    mean = x.sum().item() / count
    # Around the mean: sums of raw squares would lose what small spreads are.
    squares = (x - mean).square().sum().item()
    delta, both = mean - moments.mean, moments.count + count
    old = moments.var * moments.count + delta**2 * moments.count * count / both
    return RunningMoments(moments.mean + delta * count / both, (old + squares) / both, both)


def scale_scores(scores: Tensor, moments: RunningMoments, *, normalise: bool = True) -> Tensor:
    """Divide scores by the running standard deviation, after taking their mean away if requested.

    Moments are to hold these scores already, as in trl. Where all scores so far are equal, their
    deviation is 0 and says nothing of scale: we divide by 1, where trl divides by 1.2e-7 and so
    turns equal scores into rewards of millions.

    Args:
        scores: [B].
        moments: Of all scores so far, these included.
        normalise: Whether the running mean is taken away.

    Returns:
        [B], in the type of `scores`.

    Source: trl 0.9.6, `use_score_scaling` and `use_score_norm`.
    """
    std = moments.std
    by = std + _EPS if std > _EPS else 1.0
    return (scores - moments.mean) / by if normalise else scores / by


def token_kl(logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Estimate KL(policy || reference) at each token that the policy sampled: the log-ratio.

    The estimate is unbiased and may be negative.

    Args:
        logprobs: Of the policy, in nats, [B, T].
        ref_logprobs: Of the reference, [B, T].
        mask: True at real tokens, [B, T].

    Returns:
        Nats, [B, T]; 0 at padding.

    Source: trl 0.9.6, `_kl_penalty` ("kl"); Schulman 2020, "Approximating KL divergence", k1.
    """
    return (logprobs - ref_logprobs).masked_fill(~mask, 0)


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, kl_weight: float) -> Tensor:
    """Reward tokens: each pays for its divergence, and the last one gets the reply's score.

    `r_t = -kl_weight * kl_t + [t is the last] score`.

    Args:
        scores: Scaled rewards of replies, [B].
        kl: Divergence at each token, in nats, [B, T], as of `token_kl`.
        mask: True at real tokens, [B, T]. A row without any gets nothing.
        kl_weight: What a nat costs.

    Returns:
        [B, T], in the type of `kl`; 0 at padding.

    Source: Ziegler et al. 2019 (arXiv 1909.08593), equation 2; trl 0.9.6, `compute_rewards`.
    """
    kl_reward = (-kl_weight * kl).masked_fill(~mask, 0)
    at = torch.arange(mask.shape[1], device=mask.device)
    last = (at * mask).amax(1, keepdim=True)
    is_last = (at == last) & mask
    return kl_reward + is_last * scores.to(kl.dtype)[:, None]


def adapt_kl_weight(weight: float, kl: float, *, rows: int, target: float, horizon: int) -> float:
    """Take one step of the adaptive KL weight: up when KL is above its target, else down.

    `weight * (1 + clip(kl / target - 1, -0.2, 0.2) * rows / horizon)`. A fixed weight is one that
    is never stepped.

    Args:
        weight: What a nat cost in this step.
        kl: Mean KL of this step, in nats a reply (trl's "objective/kl").
        rows: Replies of this step, of all processes together.
        target: KL to hold, in nats a reply.
        horizon: Replies in which the weight may change by about 20 %.

    Returns:
        The weight of the next step.

    Raises:
        ConfigError: If the target or the horizon is not above 0.

    Source: Ziegler et al. 2019 (arXiv 1909.08593), section 2.2; trl 0.9.6, `AdaptiveKLController`.
    """
    if target <= 0 or horizon <= 0:
        raise ConfigError(
            f"the KL target is {target} and its horizon is {horizon}, but both must be above 0; set"
            " kl.adaptive = false for a fixed weight"
        )
    error = min(max(kl / target - 1, -0.2), 0.2)
    return weight * (1 + error * rows / horizon)
