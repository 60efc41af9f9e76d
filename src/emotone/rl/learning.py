"""The passes over the replies of a step: where parameters change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from emotone.errors import RunError
from emotone.rl.experience import Deserved, Heard, Part
from emotone.rl.losses import policy_loss, value_loss
from emotone.rl.masked import wide
from emotone.rl.settings import Reinforce
from emotone.training.distributed import Ranks


class Learned(NamedTuple):
    """Means over the updates of a step, all processes together; those left out do not count.

    Args:
        policy_loss: Clipped loss of the policy, a token.
        value_loss: Clipped loss of the values, a token; 0 but for ppo.
        ratio_mean: Mean of new over old probability.
        clipped: Fraction of tokens whose ratio was clipped.
        update_kl: Divergence from the policy that drew the replies, in nats a token: of the last
            update that was left out, else of the last one.
        entropy: Mean entropy of a token, in nats.
        grad_norm: Global norm of the gradient before it was clipped, of the updates made.
        made: Optimiser steps made.
        skipped: Those left out, as `ratio_limit` and `kl_limit` say.
    """

    policy_loss: float
    value_loss: float
    ratio_mean: float
    clipped: float
    update_kl: float
    entropy: float
    grad_norm: float
    made: int
    skipped: int


class Update(NamedTuple):
    """What the passes of one update found; each is a mean over its tokens, of all processes."""

    policy_loss: float
    value_loss: float
    ratio: float
    clipped: float
    kl: float
    entropy: float


def learn(
    model: nn.Module,
    cut: Sequence[Sequence[Part]],
    heard: Heard,
    deserved: Deserved,
    *,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    settings: Reinforce,
    team: Ranks,
) -> Learned:
    """Pass `epochs` times over the replies of a step.

    Losses are sums over the tokens of an update, those of all its passes and processes, divided by
    the number of these tokens. trl takes the mean of each small batch and the mean of these means,
    so that tokens of short replies weigh more there.

    rloo and grpo use the same loss, with the reply's advantage at each of its tokens: for rloo it
    is the gradient of the whole reply's log-probability, up to one factor for all; for grpo it is
    the mean over tokens and not that over replies of means over tokens.

    Args:
        model: Called on prompts and replies; in several processes it is wrapped to share gradients.
        cut: The passes of each update.
        heard: What the policy said of the replies before.
        deserved: What each token deserves.
        optimizer: Changes the parameters.
        parameters: Those that it changes.
        settings: How.
        team: The processes.

    Raises:
        RunError: If a loss or its gradient is no number any more.
    """
    counts = torch.stack([_tokens(update, team.device) for update in cut])
    counts = team.sum(counts).tolist()
    made: list[Update] = []
    left: list[Update] = []
    norms: list[float] = []
    for _ in range(settings.epochs):
        for passes, tokens in zip(cut, counts, strict=True):
            update = _gradients(model, passes, tokens, heard, deserved, settings, team)
            limit = settings.clip or math.inf
            norm = float(team.accelerator.clip_grad_norm_(parameters, limit) or 0)
            _check(update, norm, settings)
            far = bool(settings.kl_limit) and update.kl > settings.kl_limit
            if far or update.ratio > settings.ratio_limit:
                left.append(update)
            else:
                optimizer.step()
                made.append(update)
                norms.append(norm)
            optimizer.zero_grad(set_to_none=True)
            if far:
                return _means(made, left, norms)
    return _means(made, left, norms)


def _gradients(
    model: nn.Module,
    passes: Sequence[Part],
    tokens: float,
    heard: Heard,
    deserved: Deserved,
    settings: Reinforce,
    team: Ranks,
) -> Update:
    total: Tensor | None = None
    for number, part in enumerate(passes, 1):
        # Processes exchange gradients once an update, in its last pass.
        with _alone(model, team, number < len(passes)):
            with team.autocast(settings.precision):
                said = model(part.prompts, part.written, values=heard.values is not None)
            mask = part.written.mask
            policy = policy_loss(
                said.logprobs.float(),
                part.of(heard.logprobs),
                part.of(deserved.advantages),
                mask,
                clip=settings.clip_ratio,
                tokens=tokens,
            )
            loss, value = policy.loss, torch.zeros_like(policy.loss)
            if heard.values is not None and deserved.returns is not None:
                value = value_loss(
                    said.values.float(),
                    part.of(heard.values),
                    part.of(deserved.returns),
                    mask,
                    clip=settings.clip_value,
                    tokens=tokens,
                ).loss
                loss = loss + settings.value_weight * value
            # Gradients of several processes are averaged, but the loss is a sum over them.
            team.accelerator.backward(loss * team.world)
        sums = torch.stack(
            [
                policy.loss.detach(),
                value.detach(),
                policy.ratio,
                policy.clipped,
                policy.old_kl,
                said.entropy.detach().float().sum() / tokens,
            ]
        ).to(wide(team.device))
        total = sums if total is None else total + sums
    if total is None:
        raise RunError("an update has no reply to learn from; lower updates or raise batch")
    return Update(*team.sum(total).tolist())


def _alone(model: nn.Module, team: Ranks, wanted: bool) -> AbstractContextManager[Any]:
    return team.accelerator.no_sync(model) if wanted and team.world > 1 else nullcontext()


def _tokens(update: Sequence[Part], device: torch.device) -> Tensor:
    counts = [part.written.mask.sum() for part in update]
    return torch.stack(counts).sum().to(device, wide(device))


def _check(update: Update, norm: float, settings: Reinforce) -> None:
    # A ratio that overflows is what `ratio_limit` leaves out.
    loss = update.policy_loss + settings.value_weight * update.value_loss
    sound = math.isfinite(loss) and math.isfinite(norm)
    if not sound and not update.ratio > settings.ratio_limit:
        raise RunError(
            "the loss or its gradient is no number any more; lower lr or clip, and go on from the"
            " last checkpoint"
        )


def _means(made: list[Update], left: list[Update], norms: list[float]) -> Learned:
    taken = made or left
    mean = Update(*(sum(column) / len(taken) for column in zip(*taken, strict=True)))
    return Learned(
        policy_loss=mean.policy_loss,
        value_loss=mean.value_loss,
        ratio_mean=mean.ratio,
        clipped=mean.clipped,
        update_kl=(left or made)[-1].kl,
        entropy=mean.entropy,
        grad_norm=sum(norms) / max(len(norms), 1),
        made=len(made),
        skipped=len(left),
    )
