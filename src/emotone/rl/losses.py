"""Losses of the policy and of its value head.

Every number is a sum over this part's real tokens, divided by a count. Give each part of a batch
the count of the whole batch, and the numbers of the parts, and their gradients, add up to those of
the whole: over passes, and over processes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from emotone.rl.reduce import SumOver, masked_mean, masked_moments, one_process


class PolicyLoss(NamedTuple):
    """Loss of a policy, and what is logged beside it.

    Args:
        loss: What to go down, a scalar with a graph.
        ratio: Mean of new over old probability; far from 1 says that the update went too far.
        clipped: Fraction of tokens at which the clip took the gradient away.
        old_kl: Mean of old less new log-probability, an estimate of KL(old || new) in nats a token.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor
    old_kl: Tensor


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float = 0.2,
    tokens: Tensor | float | None = None,
) -> PolicyLoss:
    """Clipped policy loss of PPO, averaged over tokens.

    With `r = exp(logprobs - old_logprobs)` it is the mean of
    `max(-A * r, -A * clip(r, 1 - c, 1 + c))`.

    Args:
        logprobs: Of the tokens under the policy as it is now, in nats, [B, T].
        old_logprobs: Of the tokens when they were sampled, [B, T].
        advantages: Of each token, [B, T].
        mask: True at real tokens, [B, T].
        clip: Width c of the clip; 0 is no clip.
        tokens: What sums are divided by; None is this part's number of real tokens.

    Returns:
        Loss with a graph; the rest is detached.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 7; trl 0.9.6, `loss`.
    """
    log_ratio = (logprobs - old_logprobs).masked_fill(~mask, 0)
    a = advantages.detach().masked_fill(~mask, 0)
    ratio = log_ratio.exp()
    loss, is_clipped = -a * ratio, torch.zeros_like(log_ratio)
    if clip > 0:
        clipped_loss = -a * ratio.clamp(1 - clip, 1 + clip)
        is_clipped = (clipped_loss > loss).to(log_ratio.dtype)
        loss = torch.maximum(loss, clipped_loss)
    count = mask.sum().clamp(min=1) if tokens is None else tokens
    return PolicyLoss(
        loss=loss.sum() / count,
        ratio=((ratio * mask).detach() / count).sum(),
        clipped=(is_clipped / count).sum(),
        old_kl=(-log_ratio.detach() / count).sum(),
    )


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    *,
    clip: float = 0.2,
    tokens: Tensor | float | None = None,
) -> Tensor:
    """Clipped value loss of PPO: half the larger of two squared errors, averaged over tokens.

    One error is that of the value, the other that of the value held within `clip` of what it was
    at the rollout.

    Args:
        values: As they are now, [B, T].
        old_values: As they were at the rollout, [B, T].
        returns: What they should have been, [B, T].
        mask: True at real tokens, [B, T].
        clip: How far a value may go; 0 is no clip.
        tokens: What sums are divided by; None is this part's number of real tokens.

    Returns:
        A scalar with a graph.

    Source: trl 0.9.6, `loss`; after Dhariwal et al. 2017, OpenAI baselines, ppo2.
    """
    # At padding nothing is real: neither its numbers nor their gradients may come through.
    values, old_values, returns = (x.masked_fill(~mask, 0) for x in (values, old_values, returns))
    error = (values - returns).square()
    if clip > 0:
        held = values.clamp(old_values - clip, old_values + clip)
        error = torch.maximum(error, (held - returns).square())
    count = mask.sum().clamp(min=1) if tokens is None else tokens
    return 0.5 * error.sum() / count


def explained_variance(
    values: Tensor, returns: Tensor, mask: Tensor, *, sum_over: SumOver = one_process
) -> Tensor:
    """Part of the variance of returns that values explain: 1 at best, below 0 if they mislead.

    Args:
        values: [B, T].
        returns: [B, T].
        mask: True at real tokens, [B, T].
        sum_over: Adds a tensor over processes; each must call.

    Returns:
        `1 - mean((V - R)^2) / var(R)`, a scalar.

    Raises:
        DataError: If there are fewer than 2 real tokens.

    Source: trl 0.9.6, "ppo/val/var_explained".
    """
    error = masked_mean((values - returns).detach().square(), mask, sum_over=sum_over)
    return 1 - error / masked_moments(returns, mask, sum_over=sum_over).var.to(error.dtype)
