"""How much better a token, or a reply, was than expected: GAE, RLOO and GRPO.

`estimate_advantages` puts together what a step needs, from the rewards of its replies on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emotone.errors import ConfigError, DataError
from emotone.rl.reduce import gather_rows, whiten
from emotone.rl.rewards import (
    RunningMoments,
    StepRewards,
    scale_scores,
    token_kl,
    token_rewards,
    update_moments,
)
from emotone.rl.rollout import Readings
from emotone.rl.settings import Reinforce
from emotone.training.distributed import Ranks


class TokenAdvantages(NamedTuple):
    """What follows from rewards and values.

    Args:
        advantages: Of each token, not whitened, [B, T]; 0 at padding.
        returns: What the value of each state should have been, [B, T]; 0 at padding.
    """

    advantages: Tensor
    returns: Tensor


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float = 1.0, lam: float = 0.95
) -> TokenAdvantages:
    """Generalised advantage estimation.

    Backwards over tokens: `delta_t = r_t + gamma * V_{t+1} - V_t`,
    `A_t = delta_t + gamma * lam * A_{t+1}`, and `returns = A + V`. The value behind the last token
    is 0.

    Args:
        rewards: Of each token, [B, T].
        values: Of the state that predicts each token, [B, T].
        mask: True at real tokens, [B, T]; padding on the right counts as 0.
        gamma: Discount a token.
        lam: 0 trusts values most, 1 trusts rewards most.

    Returns:
        Advantages and returns, without a graph.

    Source: Schulman et al. 2016 (arXiv 1506.02438), equations 11 to 16; trl 0.9.6,
        `compute_advantages`.
    """
    rewards = rewards.detach().masked_fill(~mask, 0)
    values = values.detach().masked_fill(~mask, 0)
    advantages = torch.empty_like(rewards)
    next_advantage = next_value = torch.zeros_like(rewards[:, 0])
    for t in range(rewards.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = delta + gamma * lam * next_advantage
        advantages[:, t] = next_advantage
        next_value = values[:, t]
    return TokenAdvantages(advantages, advantages + values)


def leave_one_out(rewards: Tensor, *, group: int) -> Tensor:
    """Compare each reply with the mean of the other replies to its prompt.

    The baseline does not hold the reply itself, so that the gradient stays unbiased.

    Args:
        rewards: Of replies, [B]; the replies to a prompt stand next to each other.
        group: Replies a prompt, at least 2; a group is never cut over processes.

    Returns:
        Advantages, [B].

    Raises:
        ConfigError: If a group is smaller than 2.
        DataError: If the rows are not whole groups.

    Source: Kool et al. 2019; Ahmadian et al. 2024 (arXiv 2402.14740), equation 9 (RLOO).
    """
    grouped = _grouped(rewards, group)
    others = (grouped.sum(1, keepdim=True) - grouped) / (group - 1)
    return (grouped - others).flatten()


def group_relative(rewards: Tensor, *, group: int) -> Tensor:
    """Compare each reply with the mean of its group, in standard deviations of the group.

    The deviation is divided by n - 1, and 1e-4 is added to it, as trl's later GRPO trainer does.

    Args:
        rewards: Of replies, [B]; the replies to a prompt stand next to each other.
        group: Replies a prompt, at least 2; a group is never cut over processes.

    Returns:
        Advantages, [B].

    Raises:
        ConfigError: If a group is smaller than 2.
        DataError: If the rows are not whole groups.

    Source: Shao et al. 2024, DeepSeekMath (arXiv 2402.03300), section 4.1.2 (GRPO).
    """
    grouped = _grouped(rewards, group)
    centred = grouped - grouped.mean(1, keepdim=True)
    return (centred / (grouped.std(1, keepdim=True) + 1e-4)).flatten()


class Estimates(NamedTuple):
    """What the rewards of a step come to.

    Args:
        advantages: Of each token of this process's replies, [b, T].
        returns: What values should have been, [b, T]; None but for ppo.
        kl: The log-ratio to the reference, summed over a reply, of all processes, [B].
        scores: Scaled rewards of all processes, [B].
        moments: Running moments of rewards, with those of this step.
    """

    advantages: Tensor
    returns: Tensor | None
    kl: Tensor
    scores: Tensor
    moments: RunningMoments


def estimate_advantages(
    rewards: StepRewards,
    readings: Readings,
    mask: Tensor,
    own: np.ndarray,
    *,
    settings: Reinforce,
    kl_weight: float,
    moments: RunningMoments,
    team: Ranks,
) -> Estimates:
    """Turn the rewards of replies into the advantage of each token.

    ppo: each token pays for its log-ratio to the reference, the last one gets the score, and the
    advantages are those of GAE. rloo and grpo: a reply's reward is its score less what its summed
    log-ratio costs, and all its tokens get the reply's advantage within its group. GRPO's paper
    has the divergence in the loss instead; in the reward it is the same for both, it is what the
    adapting weight was made for, and the group's baseline covers it too.

    Args:
        rewards: Of all replies, [B].
        readings: Log-probabilities and values of this process's replies.
        mask: True at real tokens of this process's replies, [b, T].
        own: Which of the global batch they are, [b].
        settings: How.
        kl_weight: What a nat costs.
        moments: Running moments of the rewards of the steps before.
        team: The processes.
    """
    ppo = settings.ppo
    kl = token_kl(readings.logprobs, readings.ref_logprobs, mask)
    reply_kl = gather_rows(team, kl.sum(1), own, len(rewards.total))
    moments = update_moments(moments, rewards.total)
    scores = rewards.total
    if ppo.scale_scores:
        scores = scale_scores(scores, moments, normalise=ppo.normalise_scores)
    own_rows = torch.from_numpy(own)
    if readings.values is None:
        compare = leave_one_out if settings.algorithm == "rloo" else group_relative
        penalised = scores - kl_weight * reply_kl
        advantage = compare(penalised, group=settings.group)[own_rows].to(kl)
        return Estimates(advantage[:, None] * mask, None, reply_kl, scores, moments)
    per_token = token_rewards(scores[own_rows].to(kl), kl, mask, kl_weight=kl_weight)
    if ppo.whiten_rewards:
        per_token = whiten(per_token, mask, shift_mean=False, sum_over=team.sum)
    advantages, returns = gae(per_token, readings.values, mask, gamma=ppo.gamma, lam=ppo.gae_lambda)
    if ppo.whiten_advantages:
        advantages = whiten(advantages, mask, sum_over=team.sum)
    return Estimates(advantages, returns, reply_kl, scores, moments)


def _grouped(rewards: Tensor, group: int) -> Tensor:
    if group < 2:
        raise ConfigError(
            f"group is {group}, but replies are compared with others to the same prompt; set at"
            " least 2"
        )
    if len(rewards) % group:
        raise DataError(
            f"{len(rewards)} replies are not whole groups of {group}; make batch a multiple of"
            " group"
        )
    return rewards.detach().reshape(-1, group)
