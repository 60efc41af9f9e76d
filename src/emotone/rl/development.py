"""Replies to prompts that nothing is learned from: what they are worth, and what keeps them sound.

A reward can be raised by writing worse. Guards compare each evaluation with the one before the
first step: given replies must stay as likely, and the drawn ones as varied and as long. An
evaluation that a guard refuses is never the best one, however high its reward.
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
from emotone.rl.exchange import all_of
from emotone.rl.masked import wide
from emotone.rl.rollout import roll_out
from emotone.rl.settings import Reinforce
from emotone.rl.types import Policy, RewardFunction
from emotone.training.distributed import Ranks
from emotone.training.seeding import seed_for


@dataclass(frozen=True, slots=True, eq=False)
class Development:
    """Data to choose the best weights by.

    Args:
        prompts: Prompts as token ids, N of them.
        replies: A given reply to each, as `Policy.encode_replies` makes it, N of them.
        reward: Says what drawn replies are worth; its rows are places among `prompts`.

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
    broken: Callable[[], bool],
) -> dict[str, Any] | None:
    """Draw a reply to each prompt, always with the same random numbers, and measure it.

    Args:
        policy: What is measured; dropout is off.
        development: The data; each process takes its share.
        settings: How replies are drawn; `batch` of them at a time.
        team: The processes.
        broken: Whether this process shall break off; asked after each batch.

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
    left = False
    own = range(count)[team.rank :: team.world]
    for start in range(0, len(own), settings.batch):
        if left := broken():
            break
        rows = own[start : start + settings.batch]
        found, said = _measure(policy, development, settings, team, rows)
        texts += said
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value
    if team.sum(torch.full((1,), float(left), device=team.device)).item():
        return None
    values = torch.tensor(list(sums.values()), dtype=wide(team.device)).to(team.device)
    sums = dict(zip(sums, team.sum(values).tolist(), strict=True))
    tokens, nats = sums.pop("tokens"), sums.pop("nats")
    return {
        **{f"dev_{name}": value / count for name, value in sums.items()},
        "dev_distinct_2": distinct_2(all_of(team, texts)),
        "dev_nll": nats / tokens,
    }


def refused(point: Mapping[str, Any], first: Mapping[str, Any], settings: Reinforce) -> list[str]:
    """Name the guards that an evaluation does not pass.

    Args:
        point: The evaluation.
        first: The one before the first step.
        settings: `guard_perplexity`, `guard_distinct`, `guard_length`.

    Returns:
        Some of "perplexity", "distinct" and "length".
    """
    worse = point["dev_nll"] - first["dev_nll"]
    longest, length = settings.guard_length, point["dev_length"]
    checks = {
        "perplexity": worse <= math.log(settings.guard_perplexity),
        "distinct": point["dev_distinct_2"] >= settings.guard_distinct * first["dev_distinct_2"],
        "length": first["dev_length"] / longest <= length <= first["dev_length"] * longest,
    }
    return [name for name, passed in checks.items() if not passed]


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
    prompts = policy.prompts([development.prompts[i] for i in rows]).to(team.device)
    given = policy.written([development.replies[i] for i in rows]).to(team.device)
    seeds = [seed_for(settings.seed, "development", i) for i in rows]
    with torch.no_grad(), team.autocast(settings.precision):
        rollout = roll_out(policy, prompts, settings.sampling, seeds)
        said = policy.module(prompts, given, values=False).logprobs
        reference = policy.reference(prompts, rollout.written)
    scores = development.reward(rows, rollout.texts)
    found = {
        "reward": float(np.sum(scores.total)),
        **{f"term/{name}": float(np.sum(v)) for name, v in sorted(scores.terms.items())},
        "length": float(rollout.written.mask.sum()),
        "kl": float((rollout.logprobs - reference).sum()),
        "nats": float(-said.sum()),
        "tokens": float(given.mask.sum()),
    }
    return found, rollout.texts
