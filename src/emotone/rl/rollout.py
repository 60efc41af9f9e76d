"""Replies that a policy samples, cut into passes and read again.

A step chooses prompts (`prompt_rows`), lets the policy reply to them (`roll_out`), cuts the replies
into updates and passes (`microbatches`), and lets policy, critic and reference read them as they
were sampled (`reread`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emotone.errors import ConfigError
from emotone.rl.policy import Policy, Prompts, Replies
from emotone.rl.settings import Reinforce, Sampling
from emotone.training.seeding import seed_for


def prompt_rows(count: int, wanted: int, seed: int, step: int) -> np.ndarray:
    """Choose the prompts of a step, without replacement.

    Each epoch is a new order of all prompts, cut into steps. What is left at its end is too little
    for a step and is left out, so that no step answers a prompt twice.

    Args:
        count: Prompts there are, N >= wanted.
        wanted: Prompts of a step.
        seed: Seed of the run.
        step: Number of the step, from 0.

    Returns:
        Row indices, [wanted].
    """
    epoch, place = divmod(step, count // wanted)
    order = np.random.default_rng(seed_for(seed, "prompts", epoch)).permutation(count)
    return order[place * wanted : (place + 1) * wanted]


def unique_prompts(prompts: Prompts) -> tuple[Prompts, Tensor | None]:
    """Return each prompt once, and the place among them of every row, [B]; None if all differ."""
    first: dict[tuple[int, ...], int] = {}
    different: list[int] = []
    rows: list[int] = []
    ids, mask = prompts.ids.tolist(), prompts.mask.tolist()
    for i, (row, real) in enumerate(zip(ids, mask, strict=True)):
        key = tuple(token if here else -1 for token, here in zip(row, real, strict=True))
        if key not in first:
            first[key] = len(different)
            different.append(i)
        rows.append(first[key])
    if len(different) == len(rows):
        return prompts, None
    device = prompts.ids.device
    return prompts.rows(torch.tensor(different, device=device)), torch.tensor(rows, device=device)


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """Replies that the policy sampled.

    Args:
        prompts: What they answer.
        replies: The replies as tokens.
        logprobs: Of the tokens when they were sampled, [B, T]; 0 at padding.
        texts: The replies as texts, B of them.
        ended: Whether a reply ended by itself, [B].
    """

    prompts: Prompts
    replies: Replies
    logprobs: Tensor
    texts: list[str]
    ended: Tensor


class _Sampled(NamedTuple):
    """Tokens [B], their log-probabilities [B], and what they were sampled from [B, K] or None."""

    tokens: Tensor
    logprobs: Tensor
    support: Tensor | None


@torch.no_grad()
def roll_out(policy: Policy, prompts: Prompts, sampling: Sampling, seeds: Sequence[int]) -> Rollout:
    """Sample one reply a prompt, with dropout off.

    Row i is sampled by inverse distribution from numbers of a generator of its own, so that its
    reply depends neither on the rows beside it nor on the device's generator. Repeat a prompt for
    a group of replies; it is read once.

    With `top_k`, tokens are sampled from the likeliest ones that may come (the end tokens may not
    before `min_tokens`), and their probabilities are those among these. Difference from trl and
    EmpRL's code, which score such samples over the whole vocabulary at temperature 1: the ratios
    of PPO are then not those of the policy that acted. With `top_k` 0 a banned end token stays in
    the distribution that is recorded, as in trl.

    Args:
        policy: What writes; its mode is as before afterwards.
        prompts: B of them.
        sampling: How to sample.
        seeds: One a row.

    Returns:
        The rollout, on the device of the policy.
    """
    was_training = policy.module.training
    policy.eval()
    try:
        return _roll_out(policy, prompts, sampling, seeds)
    finally:
        policy.module.train(was_training)


def _roll_out(
    policy: Policy, prompts: Prompts, sampling: Sampling, seeds: Sequence[int]
) -> Rollout:
    codec = policy.codec
    generation = policy.generation(prompts)
    logits = generation.first()
    device = logits.device
    uniform = _uniforms(seeds, sampling.max_tokens).to(device)
    ends = torch.tensor(list(codec.end_tokens), device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    steps: list[_Sampled] = []
    masks: list[Tensor] = []
    for t in range(sampling.max_tokens):
        if t:
            logits = generation.next(steps[-1].tokens)
        banned = ends if t < sampling.min_tokens else None
        sampled = _sample(logits, uniform[:, t], sampling, banned)
        sampled = sampled._replace(tokens=sampled.tokens.masked_fill(done, codec.pad))
        steps.append(sampled)
        masks.append(~done)
        done = done | torch.isin(sampled.tokens, ends)
        if bool(done.all()):
            break
    mask = torch.stack(masks, 1)
    supports = [step.support for step in steps if step.support is not None]
    replies = Replies(
        torch.stack([step.tokens for step in steps], 1),
        mask,
        torch.stack(supports, 1) if supports else None,
        sampling.temperature,
    )
    logprobs = torch.stack([step.logprobs for step in steps], 1).masked_fill(~mask, 0)
    return Rollout(prompts.to(device), replies, logprobs, codec.decode(replies), done)


def _uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """Numbers from 0 to 1, [B, count], each row from its own seed."""
    return torch.stack(
        [
            torch.rand(count, generator=torch.Generator().manual_seed(s), dtype=torch.float64)
            for s in seeds
        ]
    )


def _sample(logits: Tensor, uniform: Tensor, sampling: Sampling, banned: Tensor | None) -> _Sampled:
    """Sample one token a row from logits [B, V]; `uniform` [B] says where in the distribution."""
    allowed = logits if banned is None else logits.index_fill(1, banned, -torch.inf)
    if sampling.top_k:
        values, support = allowed.topk(min(sampling.top_k, logits.shape[1]))
        at = _inverse_cdf(values / sampling.temperature, uniform)
        logp = (values / sampling.temperature).log_softmax(-1)
        return _Sampled(support.gather(1, at)[:, 0], logp.gather(1, at)[:, 0], support)
    at = _inverse_cdf(allowed / sampling.temperature, uniform)
    logp = (logits / sampling.temperature).log_softmax(-1)
    return _Sampled(at[:, 0], logp.gather(1, at)[:, 0], None)


def _inverse_cdf(logits: Tensor, uniform: Tensor) -> Tensor:
    """Where each row's share of its distribution lies, [B, 1]."""
    cdf = logits.double().softmax(-1).cumsum(-1)
    total = cdf[:, -1:].contiguous()
    at = torch.searchsorted(cdf, uniform[:, None] * total, right=True)
    # Rounding must not reach past the last token that has a probability.
    return at.minimum(torch.searchsorted(cdf, total))


@dataclass(frozen=True, slots=True, eq=False)
class Microbatch:
    """Rows that go through the model together, without columns that only hold padding.

    Args:
        at: Places of the rows among those of this process, [n].
        prompts: Their prompts.
        replies: Their replies, n rows of t tokens.
    """

    at: Tensor
    prompts: Prompts
    replies: Replies

    def take(self, values: Tensor) -> Tensor:
        """Take these rows of what is known of all tokens, [B, T], without the columns left out."""
        return values[self.at][:, : self.replies.tokens.shape[1]]


def microbatches(rollout: Rollout, settings: Reinforce) -> list[list[Microbatch]]:
    """Cut the replies of this process into updates, and each update into passes.

    An update takes neighbouring rows, so that the replies to one prompt share it where they
    can. Within it rows of like length share a pass. The cut is the same in each of the `epochs`,
    where trl shuffles rows anew.

    Returns:
        The passes of each update.
    """
    share = len(rollout.texts) // settings.updates
    lengths = rollout.prompts.mask.sum(1) + rollout.replies.mask.sum(1)
    updates: list[list[Microbatch]] = []
    for start in range(0, share * settings.updates, share):
        order = start + lengths[start : start + share].argsort(stable=True)
        updates.append([_microbatch(rollout, at) for at in order.split(settings.rows_a_pass)])
    return updates


def _microbatch(rollout: Rollout, at: Tensor) -> Microbatch:
    prompts, replies = rollout.prompts.rows(at), rollout.replies.rows(at)
    real = prompts.mask.any(0)
    length = int(replies.mask.sum(1).max())
    support = None if replies.support is None else replies.support[:, :length]
    return Microbatch(
        at,
        Prompts(prompts.ids[:, real], prompts.mask[:, real]),
        Replies(replies.tokens[:, :length], replies.mask[:, :length], support, replies.temperature),
    )


class Readings(NamedTuple):
    """What models say of the replies of this process before anything is learned.

    Args:
        logprobs: Of the policy, [b, T]; 0 at padding.
        ref_logprobs: Of the reference, [b, T]; 0 at padding.
        values: Of the value head, [b, T]; None but for ppo.
    """

    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor | None


@torch.no_grad()
def reread(
    policy: Policy, rollout: Rollout, updates: list[list[Microbatch]], settings: Reinforce
) -> Readings:
    """Let the policy, its critic and its reference read the replies, dropout off.

    Passes are cut as those that learn, so that ratios begin at exactly 1. Where neither values nor
    later passes need the policy's own reading (rloo or grpo with one pass and one update), what
    the rollout recorded is taken; its ratios begin at 1 up to rounding.

    Raises:
        ConfigError: If ppo is to train a policy without a value head.
    """
    ppo = settings.algorithm == "ppo"
    recorded = not ppo and settings.epochs == settings.updates == 1
    logprobs = rollout.logprobs.float() if recorded else torch.zeros_like(rollout.logprobs.float())
    ref_logprobs = torch.zeros_like(logprobs)
    values = torch.zeros_like(logprobs) if ppo else None
    for batch in chain.from_iterable(updates):
        length = batch.replies.tokens.shape[1]
        reference = policy.reference(batch.prompts, batch.replies)
        ref_logprobs[batch.at, :length] = reference.float()
        if recorded:
            continue
        output = policy.module(batch.prompts, batch.replies, values=ppo)
        logprobs[batch.at, :length] = output.logprobs.float()
        if values is not None:
            if output.values is None:
                raise ConfigError(
                    "ppo learns values, but the policy has no value head; give it one, or set"
                    " algorithm to rloo or grpo"
                )
            values[batch.at, :length] = output.values.float()
    return Readings(logprobs, ref_logprobs, values)
