"""The trainer: every policy learns from rewards in these steps, whatever the algorithm.

Each step: 1 choose prompts, 2 sample replies, 3 reward them, 4 let the policy, its critic and the
reference read them, 5 turn rewards into advantages, 6 learn, 7 log, evaluate and save.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from emotone.errors import ConfigError, DataError
from emotone.identity import digest
from emotone.rl.advantages import estimate_advantages
from emotone.rl.development import Development, distinct_2, evaluate, failed_guards
from emotone.rl.learning import LearningStats, learn
from emotone.rl.losses import explained_variance
from emotone.rl.policy import Policy, trainable_parameters
from emotone.rl.reduce import gather_list, gather_rows
from emotone.rl.rewards import (
    RewardFunction,
    RunningMoments,
    StepRewards,
    adapt_kl_weight,
    reward_replies,
)
from emotone.rl.rollout import microbatches, prompt_rows, reread, roll_out
from emotone.rl.settings import FREE, Reinforce, Reinforced
from emotone.training import optim
from emotone.training.distributed import Ranks
from emotone.training.log import note
from emotone.training.run import Measurement, Run, Task, prepared
from emotone.training.seeding import reseed, seed_for
from emotone.training.state import State, identity

#: What a person sees of the log.
FIGURES = {
    "reward": "reward {:.3f}",
    "kl": "kl {:.2f}",
    "length": "length {:.1f}",
    "dev_reward": "dev reward {:.3f}",
}
#: Keys of the log that differ between two equal runs.
TIMINGS = frozenset(
    {"seconds", "rollout_seconds", "score_seconds", "listen_seconds", "learn_seconds"}
)


def reinforce(
    policy: Policy,
    *,
    prompts: Sequence[list[int]],
    reward: RewardFunction,
    settings: Reinforce,
    out: Path,
    development: Development | None = None,
    depends_on: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Reinforced:
    """Train a policy by reward, from the start or from where a killed run stood.

    A run is a function of its arguments: interrupted and resumed, it gives the same weights and
    log (bit for bit in one process on the CPU with one thread), and several processes give the
    same as one but for rounding and dropout. The reward must be a function of its arguments too.

    Args:
        policy: What is trained; what `Policy.reference` says is what it is held to. It is moved to
            the device and ends with the weights of the best evaluation, or the last ones without
            development data.
        prompts: Prompts as token ids, N of them.
        reward: Rewards sampled replies; it is called with places among `prompts`.
        settings: How.
        out: Folder of the run, for `checkpoints/` and `log.jsonl`; all processes see the same one.
        development: Data to choose the best weights by.
        depends_on: What else the run depends on, such as a fingerprint of the reward, of values
            that JSON has; a resumed run must have the same.
        progress: Whether to show progress on stderr.

    Returns:
        What came of it.

    Raises:
        ConfigError: If the run to resume depends on something else, processes cannot share the
            batch, or ppo is to train a policy without a value head.
        CheckpointError: If the checkpoint to resume is damaged.
        DataError: If there are fewer prompts than a step takes, or the reward is NaN or infinite.
        RunError: If the loss is NaN or infinite, or the folder cannot be written.
        Stopped: If SIGTERM or SIGINT came; the run is saved.
    """
    if len(prompts) < settings.prompts_a_step:
        raise DataError(
            f"there are {len(prompts)} prompts, but a step takes {settings.prompts_a_step}; give"
            " more prompts, or lower batch"
        )
    held = [] if development is None else [development.prompts, development.replies]
    digests = {
        "prompts": digest([list(row) for row in prompts]),
        "development data": digest([[list(row) for row in rows] for rows in held]),
    }
    with prepared(settings, out) as (team, request), _learning(policy, settings) as parameters:
        if settings.batch % (settings.updates * team.world):
            raise ConfigError(
                f"reinforce: batch is {settings.batch}; use a multiple of updates times processes,"
                f" {settings.updates * team.world}"
            )
        learner = Learner(policy, parameters, prompts, reward, development, settings, team)
        run = Run(
            learner.task(),
            settings=settings,
            team=team,
            request=request,
            out=out,
            identity=identity(settings.flat(), FREE, parameters, depends_on or {}, digests),
        )
        reason = run.train(progress=progress)
    policy.eval()
    state = run.state
    return Reinforced(
        steps=state.step,
        best_step=state.step if development is None else state.best_step,
        best_reward=state.best,
        stopped=reason,
        seconds=run.seconds(),
        curve=tuple(state.curve),
        log=out / "log.jsonl",
    )


@dataclass(kw_only=True)
class Progress(State):
    """Where a run of reinforcement stands.

    Args:
        kl_weight: Weight of the KL divergence in the next step.
        moments: Running moments of the rewards.
        kl_negative: Whether the user was told of a mean KL divergence below 0.
    """

    kl_weight: float
    moments: list[float] = field(default_factory=list)
    kl_negative: bool = False


class Learner:
    """A policy that learns from rewards, step by step."""

    def __init__(
        self,
        policy: Policy,
        parameters: Mapping[str, nn.Parameter],
        prompts: Sequence[list[int]],
        reward: RewardFunction,
        development: Development | None,
        settings: Reinforce,
        team: Ranks,
    ) -> None:
        self.policy, self.parameters = policy, parameters
        self.prompts, self.reward, self.development = prompts, reward, development
        self.settings, self.team = settings, team
        policy.eval()
        self.parallel: nn.Module = team.accelerator.prepare_model(policy.module)
        self.optimizer = torch.optim.Adam(parameters.values(), lr=settings.lr, fused=True)
        self.row: dict[str, Any] = {}  # of the log, about the last step

    def task(self) -> Task[Progress]:
        """What the run trains, and how one step of it is made."""
        settings = self.settings
        return Task(
            state=Progress(kl_weight=settings.kl.weight),
            steps=settings.steps,
            parameters=self.parameters,
            optimizer=self.optimizer,
            step=self.step,
            over=lambda state: "steps" if state.step >= settings.steps else None,
            report=lambda _state, _seconds: self.row,
            measure=None if self.development is None else self.measure,
            better=operator.gt,
            measures_start=True,
            figures=FIGURES,
            evaluation="dev_reward",
        )

    def lr(self, state: Progress) -> float:
        """Learning rate of the next step."""
        settings = self.settings
        return optim.scheduled(settings.lr, state.step, settings.warmup, settings.linear)

    def measure(self, state: Progress, interrupted: Callable[[], bool]) -> Measurement | None:
        """Measure the development data; weights that a guard refuses cannot be the best."""
        if self.development is None:
            return None
        point = evaluate(self.policy, self.development, self.settings, self.team, interrupted)
        if point is None:
            return None
        first = state.curve[0] if state.curve else point
        failed = failed_guards(point, first, self.settings.guards)
        row = {**point, "dev_refused": failed}
        score = None if failed else point["dev_reward"]
        return Measurement({**row, "lr": self.lr(state)}, score, {"step": state.step, **row})

    def step(self, state: Progress) -> None:
        """Make one step."""
        policy, settings, team = self.policy, self.settings, self.team
        clock = [time.perf_counter()]

        # 1. Choose prompts; those of a group stand together. `own` replies are this process's.
        rows = prompt_rows(len(self.prompts), settings.prompts_a_step, settings.seed, state.step)
        rows = np.repeat(rows, settings.replies_a_prompt)
        own = np.arange(settings.batch)[team.rank :: team.world]

        # 2. Sample replies; a reply's random numbers depend on its place in the batch alone.
        policy.eval()
        prompts = policy.prompts([self.prompts[i] for i in rows[own]]).to(team.device)
        seeds = [seed_for(settings.seed, "rollout", state.step, int(i)) for i in own]
        with torch.no_grad(), team.autocast(settings.precision):
            rollout = roll_out(policy, prompts, settings.sampling, seeds)
        clock.append(time.perf_counter())

        # 3. Reward them.
        rewards = reward_replies(self.reward, rows, own, rollout.texts, team)
        clock.append(time.perf_counter())

        # 4. Let the policy, its critic and the reference read them.
        updates = microbatches(rollout, settings)
        with team.autocast(settings.precision):
            readings = reread(policy, rollout, updates, settings)
        clock.append(time.perf_counter())

        # 5. Turn rewards into advantages.
        mask = rollout.replies.mask
        estimates = estimate_advantages(
            rewards,
            readings,
            mask,
            own,
            settings=settings,
            kl_weight=state.kl_weight,
            moments=RunningMoments(*state.moments) if state.moments else RunningMoments(),
            team=team,
        )

        # 6. Learn.
        lr = self.lr(state)
        optim.set_lr(self.optimizer, lr)
        reseed(seed_for(settings.seed, "dropout", state.step, team.rank), team.device)
        self.parallel.train(settings.dropout)
        stats = learn(
            self.parallel,
            updates,
            readings,
            estimates,
            optimizer=self.optimizer,
            parameters=list(self.parameters.values()),
            settings=settings,
            team=team,
        )
        policy.eval()
        clock.append(time.perf_counter())

        # 7. Log; the KL weight of the next step follows from this one.
        kl = float(estimates.kl.mean())
        row = _row(rewards, stats)
        row |= {"score_norm": float(estimates.scores.mean())}
        row |= {"kl": kl, "kl_coefficient": state.kl_weight}
        if readings.values is not None and estimates.returns is not None:
            explained = explained_variance(
                readings.values, estimates.returns, mask, sum_over=team.sum
            )
            row["value_explained"] = float(explained)
        else:
            del row["value_loss"]
        row["length"] = float(gather_rows(team, mask.sum(1), own, len(rows)).mean())
        row["ended"] = float(gather_rows(team, rollout.ended, own, len(rows)).mean())
        row["distinct_2"] = distinct_2(gather_list(team, rollout.texts))
        row["lr"] = lr
        if kl < 0 and not state.kl_negative:
            state.kl_negative = row["kl_negative"] = True
            if team.first:
                note(f"the mean KL divergence of step {state.step + 1} is {kl:.3f}, below 0")
        if settings.kl.adaptive:
            state.kl_weight = adapt_kl_weight(
                state.kl_weight,
                kl,
                rows=settings.batch,
                target=settings.kl.target,
                horizon=settings.kl.horizon,
            )
        moments = estimates.moments
        state.moments = [moments.mean, moments.var, moments.count]
        names = ("rollout_seconds", "score_seconds", "listen_seconds", "learn_seconds")
        spent = zip(names, clock, clock[1:], strict=False)
        self.row = {**row, **{name: round(b - a, 3) for name, a, b in spent}}


@contextmanager
def _learning(policy: Policy, settings: Reinforce) -> Iterator[dict[str, nn.Parameter]]:
    """Take the parameters that learn; but for ppo the value head is left as it is inside.

    Processes would wait for the gradient of a parameter that gets none.
    """
    parameters = trainable_parameters(policy.module)
    ppo = settings.algorithm == "ppo"
    critic = [] if ppo else [name for name in parameters if name.startswith("value_head.")]
    idle = [parameters.pop(name).requires_grad_(False) for name in critic]
    try:
        yield parameters
    finally:
        for parameter in idle:
            parameter.requires_grad_(True)


def _row(rewards: StepRewards, stats: LearningStats) -> dict[str, Any]:
    return {
        "reward": float(rewards.total.mean()),
        **{f"term/{name}": float(values.mean()) for name, values in rewards.terms.items()},
        **stats._asdict(),
    }
