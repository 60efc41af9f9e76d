"""How far a policy has gone from its reference, and what that costs."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from emotone.errors import ConfigError, unknown_name
from emotone.rl.masked import SumOver, alone

#: How the divergence is estimated from one drawn token; `d` is its log-ratio.
Estimate = Literal["k1", "abs", "k2", "k3"]


def token_kl(
    logprobs: Tensor, reference: Tensor, mask: Tensor, *, estimate: Estimate = "k1"
) -> Tensor:
    """Estimate KL(policy || reference) at each token that the policy drew.

    With `d = logprobs - reference`: "k1" is d (unbiased, may be negative; trl's "kl"), "abs" is
    |d| (trl's "abs"), "k2" is d^2 / 2 (trl's "mse"), "k3" is exp(-d) - 1 + d (unbiased, never
    negative).

    Args:
        logprobs: Of the policy, in nats, [B, T].
        reference: Of the reference, [B, T].
        mask: True at real tokens, [B, T].
        estimate: Which one.

    Returns:
        Nats, [B, T]; 0 at padding.

    Raises:
        UnknownName: If there is no such estimate.

    Source: trl 0.9.6, `_kl_penalty`; Schulman 2020, "Approximating KL divergence", k1 to k3;
        DeepSeekMath (arXiv 2402.03300), equation 4 for "k3".
    """
    d = (logprobs - reference).masked_fill(~mask, 0)
    if estimate == "k1":
        return d
    if estimate == "abs":
        return d.abs()
    if estimate == "k2":
        return 0.5 * d.square()
    if estimate == "k3":
        return torch.expm1(-d) + d
    raise unknown_name("estimate of a divergence", estimate, get_args(Estimate))


def mean_kl(kl: Tensor, mask: Tensor, *, sum_over: SumOver = alone) -> Tensor:
    """Average over replies the divergence of a whole reply, which is summed over its tokens.

    This is what an adaptive coefficient is steered by (trl's "objective/kl").

    Args:
        kl: Nats, [B, T]; 0 at padding.
        mask: True at real tokens, [B, T]; a row without any does not count.
        sum_over: Adds a tensor over processes; each must call.

    Returns:
        Nats a reply, a scalar.
    """
    rows = mask.any(1).sum().to(kl.dtype)
    sums = sum_over(torch.stack([kl.sum(), rows]))
    return sums[0] / sums[1].clamp(min=1)


def adapt(coefficient: float, kl: float, *, rows: int, target: float, horizon: int) -> float:
    """Take one step of the adaptive KL coefficient: up when KL is above its target, else down.

    `coefficient * (1 + clip(kl / target - 1, -0.2, 0.2) * rows / horizon)`. A fixed coefficient
    is one that is never stepped.

    Args:
        coefficient: What the KL was multiplied by in this step.
        kl: `mean_kl` of this step, in nats a reply.
        rows: Replies of this step, of all processes together.
        target: KL to hold, in nats a reply.
        horizon: Replies in which the coefficient may change by about 20 %.

    Returns:
        The coefficient of the next step.

    Raises:
        ConfigError: If the target or the horizon is not above 0.

    Source: Ziegler et al. 2019 (arXiv 1909.08593), section 2.2; trl 0.9.6, `AdaptiveKLController`.
    """
    if target <= 0 or horizon <= 0:
        raise ConfigError(
            f"kl_target is {target} and kl_horizon is {horizon}, but both must be above 0; set"
            " kl_adaptive = false for a fixed coefficient"
        )
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * rows / horizon)
