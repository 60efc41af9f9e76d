"""The passes over the replies of a step: where parameters change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from emotone.errors import RunError
from emotone.rl.advantages import Estimates
from emotone.rl.losses import policy_loss, value_loss
from emotone.rl.reduce import sum_dtype
from emotone.rl.rollout import Microbatch, Readings
from emotone.rl.settings import Reinforce
from emotone.training.distributed import Ranks


class LearningStats(NamedTuple):
    """Means over the updates of a step, all processes together; those left out do not count.

    Args:
        policy_loss: Clipped loss of the policy, a token.
        value_loss: Clipped loss of the values, a token; 0 but for ppo.
        ratio_mean: Mean of new over old probability.
        clipped: Fraction of tokens whose ratio was clipped.
        update_kl: Divergence from the policy that sampled the replies, in nats a token: of the
            last update that was left out, else of the last one.
        entropy: Mean entropy of a token, in nats.
        grad_norm: Global norm of the gradient before it was clipped, of the updates made.
        updates: Optimiser steps made.
        skipped: Those left out, as `ratio_limit` and `kl_limit` say.
    """

    policy_loss: float
    value_loss: float
    ratio_mean: float
    clipped: float
    update_kl: float
    entropy: float
    grad_norm: float
    updates: int
    skipped: int


class _UpdateStats(NamedTuple):
    """What the passes of one update gave; each is a mean over its tokens, of all processes."""

    policy_loss: float
    value_loss: float
    ratio: float
    clipped: float
    kl: float
    entropy: float


def learn(
    model: nn.Module,
    updates: Sequence[Sequence[Microbatch]],
    readings: Readings,
    estimates: Estimates,
    *,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    settings: Reinforce,
    team: Ranks,
) -> LearningStats:
    """Pass `epochs` times over the replies of a step.

    Losses are sums over the tokens of an update, those of all its passes and processes, divided by
    the number of these tokens. trl takes the mean of each small batch and the mean of these means,
    so that tokens of short replies weigh more there.

    rloo and grpo use the same loss, with the reply's advantage at each of its tokens: for rloo it
    is the gradient of the whole reply's log-probability, up to one factor for all; for grpo it is
    the mean over tokens and not that over replies of means over tokens.

    Args:
        model: Called on prompts and replies; in several processes it is wrapped to share gradients.
        updates: The passes of each update.
        readings: Log-probabilities and values of the replies before anything is learned.
        estimates: Advantages and returns of each token.
        optimizer: Changes the parameters.
        parameters: Those that it changes.
        settings: How.
        team: The processes.

    Raises:
        RunError: If a loss or its gradient is NaN or infinite.
    """
    counts = torch.stack([_token_count(passes, team.device) for passes in updates])
    counts = team.sum(counts).tolist()
    guards = settings.guards
    taken: list[_UpdateStats] = []
    skipped: list[_UpdateStats] = []
    norms: list[float] = []
    for _ in range(settings.epochs):
        for passes, tokens in zip(updates, counts, strict=True):
            stats = _backward(model, passes, tokens, readings, estimates, settings, team)
            limit = settings.clip or math.inf
            norm = float(team.accelerator.clip_grad_norm_(parameters, limit) or 0)
            _check(stats, norm, settings)
            too_far = bool(guards.kl_limit) and stats.kl > guards.kl_limit
            if too_far or stats.ratio > guards.ratio_limit:
                skipped.append(stats)
            else:
                optimizer.step()
                taken.append(stats)
                norms.append(norm)
            optimizer.zero_grad(set_to_none=True)
            if too_far:
                return _means(taken, skipped, norms)
    return _means(taken, skipped, norms)


def _backward(
    model: nn.Module,
    passes: Sequence[Microbatch],
    tokens: float,
    readings: Readings,
    estimates: Estimates,
    settings: Reinforce,
    team: Ranks,
) -> _UpdateStats:
    """Add up the gradients of an update's passes; `tokens` are those of all of them."""
    total: Tensor | None = None
    ppo = readings.values is not None
    for number, batch in enumerate(passes, 1):
        # Processes exchange gradients once an update, in its last pass.
        with _no_sync(model, team, number < len(passes)):
            with team.autocast(settings.precision):
                output = model(batch.prompts, batch.replies, values=ppo)
            mask = batch.replies.mask
            policy = policy_loss(
                output.logprobs.float(),
                batch.take(readings.logprobs),
                batch.take(estimates.advantages),
                mask,
                clip=settings.ppo.clip_ratio,
                tokens=tokens,
            )
            loss, value = policy.loss, torch.zeros_like(policy.loss)
            if readings.values is not None and estimates.returns is not None:
                value = value_loss(
                    output.values.float(),
                    batch.take(readings.values),
                    batch.take(estimates.returns),
                    mask,
                    clip=settings.ppo.clip_value,
                    tokens=tokens,
                )
                loss = loss + settings.ppo.value_weight * value
            # Gradients of several processes are averaged, but the loss is a sum over them.
            team.accelerator.backward(loss * team.world)
        sums = torch.stack(
            [
                policy.loss.detach(),
                value.detach(),
                policy.ratio,
                policy.clipped,
                policy.old_kl,
                output.entropy.detach().float().sum() / tokens,
            ]
        ).to(sum_dtype(team.device))
        total = sums if total is None else total + sums
    if total is None:
        raise RunError("an update has no reply to learn from; lower updates or raise batch")
    return _UpdateStats(*team.sum(total).tolist())


def _no_sync(model: nn.Module, team: Ranks, wanted: bool) -> AbstractContextManager[Any]:
    return team.accelerator.no_sync(model) if wanted and team.world > 1 else nullcontext()


def _token_count(passes: Sequence[Microbatch], device: torch.device) -> Tensor:
    counts = [batch.replies.mask.sum() for batch in passes]
    return torch.stack(counts).sum().to(device, sum_dtype(device))


def _check(stats: _UpdateStats, norm: float, settings: Reinforce) -> None:
    # A ratio that overflows is what `ratio_limit` leaves out.
    loss = stats.policy_loss + settings.ppo.value_weight * stats.value_loss
    finite = math.isfinite(loss) and math.isfinite(norm)
    if not finite and not stats.ratio > settings.guards.ratio_limit:
        raise RunError(
            "the loss or its gradient is NaN or infinite; lower lr or clip, and go on from the"
            " last checkpoint"
        )


def _means(
    taken: list[_UpdateStats], skipped: list[_UpdateStats], norms: list[float]
) -> LearningStats:
    counted = taken or skipped
    mean = _UpdateStats(*(sum(column) / len(counted) for column in zip(*counted, strict=True)))
    return LearningStats(
        policy_loss=mean.policy_loss,
        value_loss=mean.value_loss,
        ratio_mean=mean.ratio,
        clipped=mean.clipped,
        update_kl=(skipped or taken)[-1].kl,
        entropy=mean.entropy,
        grad_norm=sum(norms) / max(len(norms), 1),
        updates=len(taken),
        skipped=len(skipped),
    )
