"""What a step learns from: drawn replies, what they are worth, and what each token deserves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emotone.errors import ConfigError, DataError
from emotone.rl.advantages import gae, group_relative, leave_one_out
from emotone.rl.exchange import whole
from emotone.rl.kl import token_kl
from emotone.rl.masked import whiten
from emotone.rl.moments import Moments, update
from emotone.rl.rewards import scale_scores, token_rewards
from emotone.rl.settings import Reinforce
from emotone.rl.types import Policy, Prompts, RewardFunction, Rollout, Written
from emotone.training.distributed import Ranks


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows that go through the model together, without columns that only hold padding.

    Args:
        at: Places of the rows among those of this process, [n].
        prompts: Their prompts.
        written: Their replies, n rows of t tokens.
    """

    at: Tensor
    prompts: Prompts
    written: Written

    def of(self, values: Tensor) -> Tensor:
        """Take this part of what is known of all tokens, [B, T], or rows, [B]."""
        found = values[self.at]
        return found if found.ndim == 1 else found[:, : self.written.tokens.shape[1]]


class Scored(NamedTuple):
    """What the replies of a step are worth, those of all processes together.

    Args:
        total: The reward of each reply, [B], on the CPU.
        terms: Its parts, each [B].
    """

    total: Tensor
    terms: Mapping[str, Tensor]


class Heard(NamedTuple):
    """What models say of the replies of this process before anything is learned.

    Args:
        logprobs: Of the policy, [b, T]; 0 at padding.
        reference: Of the reference, [b, T]; 0 at padding.
        values: Of the value head, [b, T]; None but for ppo.
    """

    logprobs: Tensor
    reference: Tensor
    values: Tensor | None


class Deserved(NamedTuple):
    """What follows from rewards.

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
    moments: Moments


def parts(rollout: Rollout, settings: Reinforce) -> list[list[Part]]:
    """Cut the replies of this process into updates, and each update into passes.

    An update takes rows that stand together, so that the replies to one prompt share it where they
    can. Within it rows of like length share a pass. The cut is the same in each of the `epochs`,
    where trl shuffles rows anew.

    Returns:
        The passes of each update.
    """
    share = len(rollout.texts) // settings.updates
    lengths = rollout.prompts.mask.sum(1) + rollout.written.mask.sum(1)
    made: list[list[Part]] = []
    for start in range(0, share * settings.updates, share):
        order = start + lengths[start : start + share].argsort(stable=True)
        made.append([_part(rollout, at) for at in order.split(settings.rows_a_pass)])
    return made


def score(
    reward: RewardFunction, rows: np.ndarray, at: np.ndarray, texts: list[str], team: Ranks
) -> Scored:
    """Ask what the replies of this process are worth, and tell the other processes.

    Args:
        reward: Says it.
        rows: The prompt of each reply of the global batch, as a row of the data, [B].
        at: Which replies are this process's, [b].
        texts: These replies.
        team: The processes.

    Raises:
        DataError: If the reward is not one finite number a reply.
    """
    found = reward(rows[at].tolist(), texts)
    for name, values in (("total", found.total), *found.terms.items()):
        if np.shape(values) != (len(texts),):
            raise DataError(
                f"the reward's {name} has shape {np.shape(values)} for {len(texts)} replies; let it"
                " return one number a reply"
            )
    if not np.isfinite(found.total).all():
        raise DataError(
            "the reward of a reply is no finite number; let the reward return one for every text,"
            " an empty one too"
        )
    terms = {k: whole(team, v, at, len(rows)) for k, v in sorted(found.terms.items())}
    return Scored(whole(team, found.total, at, len(rows)), terms)


@torch.no_grad()
def hear(policy: Policy, rollout: Rollout, cut: list[list[Part]], settings: Reinforce) -> Heard:
    """Let the policy and its reference read the replies, dropout off.

    Passes are cut as those that learn, so that ratios begin at exactly 1. Where neither values nor
    later passes need the policy's own reading (rloo or grpo with one pass and one update), what
    the rollout recorded is taken; its ratios begin at 1 up to rounding.

    Raises:
        ConfigError: If ppo is asked of a policy without a value head.
    """
    ppo = settings.algorithm == "ppo"
    recorded = not ppo and settings.epochs == settings.updates == 1
    logprobs = rollout.logprobs.float() if recorded else torch.zeros_like(rollout.logprobs.float())
    reference = torch.zeros_like(logprobs)
    values = torch.zeros_like(logprobs) if ppo else None
    for part in chain.from_iterable(cut):
        length = part.written.tokens.shape[1]
        reference[part.at, :length] = policy.reference(part.prompts, part.written).float()
        if recorded:
            continue
        said = policy.module(part.prompts, part.written, values=ppo)
        logprobs[part.at, :length] = said.logprobs.float()
        if values is not None:
            if said.values is None:
                raise ConfigError(
                    "ppo learns values, but the policy has no value head; give it one, or set"
                    " algorithm to rloo or grpo"
                )
            values[part.at, :length] = said.values.float()
    return Heard(logprobs, reference, values)


def deserve(
    scored: Scored,
    heard: Heard,
    mask: Tensor,
    at: np.ndarray,
    *,
    settings: Reinforce,
    kl_weight: float,
    moments: Moments,
    team: Ranks,
) -> Deserved:
    """Turn rewards into what each token deserves.

    ppo: each token pays for its log-ratio to the reference, the last one gets the score, and the
    advantages are those of GAE. rloo and grpo: a reply's reward is its score less what its summed
    log-ratio costs, and all its tokens get the reply's advantage within its group. GRPO's paper
    has the divergence in the loss instead; in the reward it is the same for both, it is what the
    adapting weight was made for, and the group's baseline covers it too.

    Args:
        scored: What all replies are worth, [B].
        heard: What the models say of this process's replies.
        mask: True at real tokens of this process's replies, [b, T].
        at: Which of the global batch they are, [b].
        settings: How.
        kl_weight: What a nat costs.
        moments: Running moments of the rewards of the steps before.
        team: The processes.
    """
    total = scored.total
    kl = token_kl(heard.logprobs, heard.reference, mask)
    far = whole(team, kl.sum(1), at, len(total))
    moments = update(moments, total)
    scores = total
    if settings.scale_scores:
        scores = scale_scores(total, moments, normalise=settings.normalise_scores)
    if heard.values is None:
        compare = leave_one_out if settings.algorithm == "rloo" else group_relative
        worth = scores - kl_weight * far
        better = compare(worth, group=settings.group)[torch.from_numpy(at)].to(kl)
        return Deserved(better[:, None] * mask, None, far, scores, moments)
    own = scores[torch.from_numpy(at)].to(kl)
    rewards = token_rewards(own, kl, mask, coefficient=kl_weight)
    if settings.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False, sum_over=team.sum)
    found = gae(rewards, heard.values, mask, gamma=settings.gamma, lam=settings.gae_lambda)
    advantages = found.advantages
    if settings.whiten_advantages:
        advantages = whiten(advantages, mask, sum_over=team.sum)
    return Deserved(advantages, found.returns, far, scores, moments)


def _part(rollout: Rollout, at: Tensor) -> Part:
    prompts, written = rollout.prompts.rows(at), rollout.written.rows(at)
    real = prompts.mask.any(0)
    length = int(written.mask.sum(1).max())
    support = None if written.support is None else written.support[:, :length]
    return Part(
        at,
        Prompts(prompts.ids[:, real], prompts.mask[:, real]),
        Written(written.tokens[:, :length], written.mask[:, :length], support, written.temperature),
    )
