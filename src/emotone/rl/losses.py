"""Losses of the policy and of its value head, and what is logged beside them.

Every number is a sum over this part's real tokens (or rows), divided by a count. Give each part of
a batch the count of the whole batch, and the numbers of the parts, and their gradients, add up to
those of the whole: over passes, and over processes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from emotone.rl.kl import token_kl
from emotone.rl.masked import SumOver, alone, masked_mean, spread


class PolicyLoss(NamedTuple):
    """Loss of a policy.

    Args:
        loss: What to go down, a scalar with a graph; a penalty is included.
        clipped: Fraction of tokens at which the clip took the gradient away.
        approx_kl: Half the mean squared log-ratio to the policy that drew, in nats.
        old_kl: Mean of old less new log-probability, an estimate of KL(old || new) in nats a token.
        ratio: Mean of new over old probability; far from 1 says that the update went too far.
        penalty: Mean divergence from the reference, not yet multiplied; 0 without one.
    """

    loss: Tensor
    clipped: Tensor
    approx_kl: Tensor
    old_kl: Tensor
    ratio: Tensor
    penalty: Tensor


class ValueLoss(NamedTuple):
    """Loss of a value head.

    Args:
        loss: What to go down, a scalar with a graph.
        clipped: Fraction of tokens at which the clipped error was the larger one.
        error: Mean squared error without clip.
        mean: Mean value.
    """

    loss: Tensor
    clipped: Tensor
    error: Tensor
    mean: Tensor


def policy_loss(
    logprobs: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float = 0.2,
    tokens: Tensor | float | None = None,
) -> PolicyLoss:
    """Clipped policy loss of PPO, averaged over tokens.

    With `r = exp(logprobs - old)` it is the mean of `max(-A * r, -A * clip(r, 1 - c, 1 + c))`.

    Args:
        logprobs: Of the tokens under the policy as it is now, in nats, [B, T].
        old: Of the tokens when they were drawn, [B, T].
        advantages: Of each token, [B, T].
        mask: True at real tokens, [B, T].
        clip: Width c of the clip; 0 is no clip.
        tokens: What sums are divided by; None is this part's number of real tokens.

    Returns:
        Loss with a graph; the rest is detached.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 7; trl 0.9.6, `loss`.
    """
    terms = _terms(logprobs, old, advantages, mask, clip)
    by = _count(mask.sum(), tokens)
    return _averaged(terms, terms.loss.sum() / by, by, terms.loss.new_zeros(()))


def group_policy_loss(
    logprobs: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    reference: Tensor | None = None,
    kl: float = 0.0,
    clip: float = 0.2,
    divide_by: float | None = None,
    rows: Tensor | float | None = None,
) -> PolicyLoss:
    """Clipped policy loss of GRPO and RLOO, averaged over replies.

    Each token of a reply has the reply's advantage. Where a reference is given, `kl` times the
    "k3" estimate of the divergence from it is added at each token (GRPO); RLOO has the divergence
    in its rewards instead, see `emotone.rl.rewards.reply_rewards`.

    Args:
        logprobs: Of the tokens under the policy as it is now, in nats, [B, T].
        old: Of the tokens when they were drawn, [B, T].
        advantages: Of each reply, [B].
        mask: True at real tokens, [B, T].
        reference: Log-probabilities under the reference, [B, T]; None for no penalty.
        kl: What a nat of divergence costs.
        clip: Width of the clip; 0 is no clip.
        divide_by: What the sum over a reply's tokens is divided by. None is its own length
            (GRPO), which makes each token of a long bad reply count less; a constant does not
            (Dr. GRPO, arXiv 2503.20783); 1 is the log-probability of the whole reply (RLOO).
        rows: What sums over replies are divided by; None is this part's number of rows with a
            real token.

    Returns:
        Loss with a graph; the rest is detached. All but the loss are means over replies of the
        mean over a reply's tokens.

    Source: DeepSeekMath (arXiv 2402.03300), equations 3 and 4; Ahmadian et al. 2024
        (arXiv 2402.14740), equation 9.
    """
    terms = _terms(logprobs, old, advantages[:, None], mask, clip)
    lengths = mask.sum(1, keepdim=True).clamp(min=1)
    by = _count(mask.any(1).sum(), rows)
    each, penalty = terms.loss, terms.loss.new_zeros(())
    if reference is not None:
        far = token_kl(logprobs, reference, mask, estimate="k3")
        each = each + kl * far
        penalty = (far.detach() / lengths).sum() / by
    loss = (each / (lengths if divide_by is None else divide_by)).sum() / by
    return _averaged(terms, loss, lengths * by, penalty)


def value_loss(
    values: Tensor,
    old: Tensor,
    returns: Tensor,
    mask: Tensor,
    *,
    clip: float = 0.2,
    tokens: Tensor | float | None = None,
) -> ValueLoss:
    """Clipped value loss of PPO: half the larger of two squared errors, averaged over tokens.

    One error is that of the value, the other that of the value held within `clip` of what it was
    at the rollout.

    Args:
        values: As they are now, [B, T].
        old: As they were at the rollout, [B, T].
        returns: What they should have been, [B, T].
        mask: True at real tokens, [B, T].
        clip: How far a value may go; 0 is no clip.
        tokens: What sums are divided by; None is this part's number of real tokens.

    Returns:
        Loss with a graph; the rest is detached.

    Source: trl 0.9.6, `loss`; after Dhariwal et al. 2017, OpenAI baselines, ppo2.
    """
    # At padding nothing is real: neither its numbers nor their gradients may come through.
    values, old, returns = (x.masked_fill(~mask, 0) for x in (values, old, returns))
    by = _count(mask.sum(), tokens)
    plain = (values - returns).square()
    largest, clipped = plain, torch.zeros_like(plain)
    if clip > 0:
        held = (values.clamp(old - clip, old + clip) - returns).square()
        largest, clipped = torch.maximum(plain, held), (held > plain).to(plain.dtype)
    return ValueLoss(
        loss=0.5 * largest.sum() / by,
        clipped=clipped.sum() / by,
        error=plain.detach().sum() / by,
        mean=values.detach().sum() / by,
    )


def explained(
    values: Tensor, returns: Tensor, mask: Tensor, *, sum_over: SumOver = alone
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
    return 1 - error / spread(returns, mask, sum_over=sum_over).var.to(error.dtype)


class _Terms(NamedTuple):
    loss: Tensor
    clipped: Tensor
    squared: Tensor
    old_kl: Tensor
    ratio: Tensor


def _terms(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> _Terms:
    """What is averaged, at each token; all 0 at padding."""
    d = (logprobs - old).masked_fill(~mask, 0)
    a = advantages.detach().expand_as(d).masked_fill(~mask, 0)
    ratio = d.exp()
    loss, clipped = -a * ratio, torch.zeros_like(d)
    if clip > 0:
        held = -a * ratio.clamp(1 - clip, 1 + clip)
        clipped = (held > loss).to(d.dtype)
        loss = torch.maximum(loss, held)
    return _Terms(loss, clipped, 0.5 * d.square(), -d, ratio * mask)


def _averaged(terms: _Terms, loss: Tensor, by: Tensor | float, penalty: Tensor) -> PolicyLoss:
    return PolicyLoss(
        loss=loss,
        clipped=(terms.clipped / by).sum(),
        approx_kl=(terms.squared.detach() / by).sum(),
        old_kl=(terms.old_kl.detach() / by).sum(),
        ratio=(terms.ratio.detach() / by).sum(),
        penalty=penalty,
    )


def _count(own: Tensor, whole: Tensor | float | None) -> Tensor | float:
    return own.clamp(min=1) if whole is None else whole
