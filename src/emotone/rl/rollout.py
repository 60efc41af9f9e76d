"""Replies that a policy draws, and how likely each token was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from emotone.rl.types import Policy, Prompts, Rollout, Sampling, Written


class _Draw(NamedTuple):
    """Tokens [B], their log-probabilities [B], and what they were drawn from [B, K] or None."""

    tokens: Tensor
    logprobs: Tensor
    support: Tensor | None


@torch.no_grad()
def roll_out(policy: Policy, prompts: Prompts, sampling: Sampling, seeds: Sequence[int]) -> Rollout:
    """Draw one reply a prompt, with dropout off.

    Row i draws by inverse distribution from numbers of a generator of its own, so that its reply
    depends neither on the rows beside it nor on the device's generator. Repeat a prompt for a
    group of replies; it is read once.

    With `top_k`, tokens are drawn from the likeliest ones that may come (the end tokens may not
    before `min_tokens`), and their probabilities are those of that draw. Difference from trl and
    EmpRL's code, which score such draws over the whole vocabulary at temperature 1: the ratios of
    PPO are then not those of the policy that acted. With `top_k` 0 a banned end token stays in the
    distribution that is recorded, as in trl.

    Args:
        policy: What writes; its mode is as before afterwards.
        prompts: B of them.
        sampling: How to draw.
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
    steps = policy.steps(prompts)
    logits = steps.first()
    device = logits.device
    chance = _uniforms(seeds, sampling.max_tokens).to(device)
    ends = torch.tensor(list(policy.end), device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    draws: list[_Draw] = []
    masks: list[Tensor] = []
    for step in range(sampling.max_tokens):
        if step:
            logits = steps.next(draws[-1].tokens)
        made = _draw(
            logits, chance[:, step], sampling, ends if step < sampling.min_tokens else None
        )
        made = made._replace(tokens=made.tokens.masked_fill(done, policy.pad))
        draws.append(made)
        masks.append(~done)
        done = done | torch.isin(made.tokens, ends)
        if bool(done.all()):
            break
    mask = torch.stack(masks, 1)
    supports = [d.support for d in draws if d.support is not None]
    written = Written(
        torch.stack([d.tokens for d in draws], 1),
        mask,
        torch.stack(supports, 1) if supports else None,
        sampling.temperature,
    )
    logprobs = torch.stack([d.logprobs for d in draws], 1).masked_fill(~mask, 0)
    return Rollout(prompts.to(device), written, logprobs, policy.texts(written), done)


def _uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """Numbers from 0 to 1, [B, count], each row from its own seed."""
    return torch.stack(
        [
            torch.rand(count, generator=torch.Generator().manual_seed(s), dtype=torch.float64)
            for s in seeds
        ]
    )


def _draw(logits: Tensor, chance: Tensor, sampling: Sampling, banned: Tensor | None) -> _Draw:
    """Draw one token a row from logits [B, V]; `chance` [B] says where in the distribution."""
    allowed = logits if banned is None else logits.index_fill(1, banned, -torch.inf)
    if sampling.top_k:
        values, support = allowed.topk(min(sampling.top_k, logits.shape[1]))
        at = _place(values / sampling.temperature, chance)
        logp = (values / sampling.temperature).log_softmax(-1)
        return _Draw(support.gather(1, at)[:, 0], logp.gather(1, at)[:, 0], support)
    at = _place(allowed / sampling.temperature, chance)
    logp = (logits / sampling.temperature).log_softmax(-1)
    return _Draw(at[:, 0], logp.gather(1, at)[:, 0], None)


def _place(logits: Tensor, chance: Tensor) -> Tensor:
    """Where each row's share of its distribution lies, [B, 1]: inverse distribution function."""
    below = logits.double().softmax(-1).cumsum(-1)
    total = below[:, -1:].contiguous()
    at = torch.searchsorted(below, chance[:, None] * total, right=True)
    # Rounding must not reach past the last token that has a probability.
    return at.minimum(torch.searchsorted(below, total))
