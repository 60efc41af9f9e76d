"""How much better a token, or a reply, was than expected."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from emotone.errors import ConfigError, DataError


class Estimated(NamedTuple):
    """What follows from rewards and values.

    Args:
        advantages: Of each token, not whitened, [B, T]; 0 at padding.
        returns: What the value of each state should have been, [B, T]; 0 at padding.
    """

    advantages: Tensor
    returns: Tensor


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor | None, *, gamma: float = 1.0, lam: float = 0.95
) -> Estimated:
    """Generalised advantage estimation.

    Backwards over tokens: `delta_t = r_t + gamma * V_{t+1} - V_t`,
    `A_t = delta_t + gamma * lam * A_{t+1}`, and `returns = A + V`. The value behind the last token
    is 0.

    Args:
        rewards: Of each token, [B, T].
        values: Of the state that predicts each token, [B, T].
        mask: True at real tokens, [B, T]; padding on the right counts as 0. None takes every
            position as given, which is what trl does with rewards whose padding was whitened.
        gamma: Discount a token.
        lam: 0 trusts values most, 1 trusts rewards most.

    Returns:
        Advantages and returns, without a graph.

    Source: Schulman et al. 2016 (arXiv 1506.02438), equations 11 to 16; trl 0.9.6,
        `compute_advantages`.
    """
    rewards, values = rewards.detach(), values.detach()
    if mask is not None:
        rewards, values = rewards.masked_fill(~mask, 0), values.masked_fill(~mask, 0)
    found = torch.empty_like(rewards)
    ahead = next_value = torch.zeros_like(rewards[:, 0])
    for t in range(rewards.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        ahead = delta + gamma * lam * ahead
        found[:, t] = ahead
        next_value = values[:, t]
    return Estimated(found, found + values)


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


def group_relative(rewards: Tensor, *, group: int, scale: bool = True) -> Tensor:
    """Compare each reply with the mean of its group, in standard deviations of the group.

    The deviation is divided by n - 1, and 1e-4 is added to it, as trl's later GRPO trainer does.

    Args:
        rewards: Of replies, [B]; the replies to a prompt stand next to each other.
        group: Replies a prompt, at least 2; a group is never cut over processes.
        scale: Whether to divide by the deviation. Without (Dr. GRPO, arXiv 2503.20783), prompts
            whose replies differ little do not weigh as much as others.

    Returns:
        Advantages, [B].

    Raises:
        ConfigError: If a group is smaller than 2.
        DataError: If the rows are not whole groups.

    Source: Shao et al. 2024, DeepSeekMath (arXiv 2402.03300), section 4.1.2 (GRPO).
    """
    grouped = _grouped(rewards, group)
    made = grouped - grouped.mean(1, keepdim=True)
    if scale:
        made = made / (grouped.std(1, keepdim=True) + 1e-4)
    return made.flatten()


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
