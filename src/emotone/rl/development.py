"""Replies to prompts that nothing is learned from: their reward, and the guards on their quality.

A reward can be raised by writing worse. Guards compare each evaluation with the one before the
first step: given replies must stay as likely, and the sampled ones as varied and as long. An
evaluation that fails a guard is never the best one, however high its reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from emotone.data.text import words_en
from emotone.errors import DataError
from emotone.rl.policy import Policy
from emotone.rl.reduce import gather_list, sum_dtype
from emotone.rl.rewards import RewardFunction
from emotone.rl.rollout import roll_out
from emotone.rl.settings import Guards, Reinforce
from emotone.training.distributed import Ranks
from emotone.training.seeding import seed_for


@dataclass(frozen=True, slots=True, eq=False)
class Development:
    """Data to choose the best weights by.

    Args:
        prompts: Prompts as token ids, N of them.
        replies: A given reply to each, as `ReplyCodec.encode` makes it, N of them.
        reward: Rewards sampled replies; it is called with places among `prompts`.

    Raises:
        DataError: If there are none, or not equally many.
    """

    prompts: Sequence[list[int]]
    replies: Sequence[list[int]]
    reward: RewardFunction

    def __post_init__(self) -> None:
        if not len(self.prompts) or len(self.prompts) != len(self.replies):
            raise DataError(
                f"the development data have {len(self.prompts)} prompts and {len(self.replies)}"
                " replies; give one reply to each prompt, and one prompt or more"
            )


def evaluate(
    policy: Policy,
    development: Development,
    settings: Reinforce,
    team: Ranks,
    interrupted: Callable[[], bool],
) -> dict[str, Any] | None:
    """Sample a reply to each prompt, always with the same random numbers, and measure it.

    Args:
        policy: What is measured; dropout is off.
        development: The data; each process takes its share.
        settings: How replies are sampled; `batch` of them at a time.
        team: The processes.
        interrupted: Whether this process shall break off; looked at before each batch.

    Returns:
        Means over the replies: "dev_reward", "dev_term/<name>", "dev_length" in tokens and
        "dev_kl", the summed log-ratio to the reference in nats; "dev_distinct_2" of all of them;
        "dev_nll", nats a token of the given replies over the whole vocabulary. None when any
        process broke off.

    Raises:
        DataError: If there are fewer prompts than processes.
    """
    count = len(development.prompts)
    if count < team.world:
        raise DataError(
            f"there are {count} development prompts for {team.world} processes; give more prompts"
        )
    policy.eval()
    sums: dict[str, float] = {}
    texts: list[str] = []
    stopped = False
    own = range(count)[team.rank :: team.world]
    for start in range(0, len(own), settings.batch):
        if stopped := interrupted():
            break
        rows = own[start : start + settings.batch]
        batch_sums, batch_texts = _measure(policy, development, settings, team, rows)
        texts += batch_texts
        for name, value in batch_sums.items():
            sums[name] = sums.get(name, 0.0) + value
    if team.sum(torch.full((1,), float(stopped), device=team.device)).item():
        return None
    values = torch.tensor(list(sums.values()), dtype=sum_dtype(team.device)).to(team.device)
    sums = dict(zip(sums, team.sum(values).tolist(), strict=True))
    tokens, nats = sums.pop("tokens"), sums.pop("nats")
    return {
        **{f"dev_{name}": value / count for name, value in sums.items()},
        "dev_distinct_2": distinct_2(gather_list(team, texts)),
        "dev_nll": nats / tokens,
    }


def failed_guards(
    evaluation: Mapping[str, Any], first: Mapping[str, Any], guards: Guards
) -> list[str]:
    """Name the guards that an evaluation fails.

    Args:
        evaluation: As of `evaluate`.
        first: The one before the first step.
        guards: `perplexity`, `distinct` and `length`.

    Returns:
        Some of "perplexity", "distinct" and "length".
    """
    more_nats = evaluation["dev_nll"] - first["dev_nll"]
    distinct = evaluation["dev_distinct_2"]
    length, factor = evaluation["dev_length"], guards.length
    passed = {
        "perplexity": more_nats <= math.log(guards.perplexity),
        "distinct": distinct >= guards.distinct * first["dev_distinct_2"],
        "length": first["dev_length"] / factor <= length <= first["dev_length"] * factor,
    }
    return [name for name, held in passed.items() if not held]


def distinct_2(texts: Sequence[str]) -> float:
    """Different pairs of neighbouring words over all such pairs of all texts; 0 without one."""
    pairs = [pair for text in texts for pair in pairwise(words_en(text))]
    return len(set(pairs)) / max(len(pairs), 1)


def _measure(
    policy: Policy,
    development: Development,
    settings: Reinforce,
    team: Ranks,
    rows: Sequence[int],
) -> tuple[dict[str, float], list[str]]:
    """Sums over some rows, and the texts of their replies."""
    prompts = policy.prompts([development.prompts[i] for i in rows]).to(team.device)
    given = policy.codec.batch([development.replies[i] for i in rows]).to(team.device)
    seeds = [seed_for(settings.seed, "development", i) for i in rows]
    with torch.no_grad(), team.autocast(settings.precision):
        rollout = roll_out(policy, prompts, settings.sampling, seeds)
        logprobs = policy.module(prompts, given, values=False).logprobs
        ref_logprobs = policy.reference(prompts, rollout.replies)
    rewards = development.reward(rows, rollout.texts)
    sums = {
        "reward": float(np.sum(rewards.total)),
        **{f"term/{name}": float(np.sum(v)) for name, v in sorted(rewards.terms.items())},
        "length": float(rollout.replies.mask.sum()),
        "kl": float((rollout.logprobs - ref_logprobs).sum()),
        "nats": float(-logprobs.sum()),
        "tokens": float(given.mask.sum()),
    }
    return sums, rollout.texts
