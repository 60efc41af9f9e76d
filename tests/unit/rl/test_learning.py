"""From rewards to advantages to one gradient, against sums made by hand."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from emotone.rl.advantages import estimate_advantages
from emotone.rl.learning import learn
from emotone.rl.policy import trainable_parameters
from emotone.rl.rewards import RunningMoments, StepRewards
from emotone.rl.rollout import Readings, Rollout, microbatches, reread, roll_out
from emotone.rl.settings import PPO, Reinforce, Sampling
from emotone.training.distributed import ranks
from unit.rl import trainer_toy as toy

MASK = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0]], dtype=torch.bool)
LOGPROBS = torch.tensor([[-1.0, -1.0], [-2.0, 0.0], [-1.0, -2.0], [-1.0, 0.0]])
REFERENCE = torch.tensor([[-1.5, -1.0], [-2.0, 0.0], [-1.0, -3.0], [-1.0, 0.0]])
TOTAL = torch.tensor([1.0, 3.0, 0.0, 0.0], dtype=torch.float64)
PLAIN = {"scale_scores": False, "whiten_rewards": False, "whiten_advantages": False}


def estimates(values: torch.Tensor | None = None, algorithm="ppo", **ppo):
    return estimate_advantages(
        StepRewards(TOTAL, {}),
        Readings(LOGPROBS, REFERENCE, values),
        MASK,
        np.arange(4),
        settings=Reinforce(batch=4, group=2, algorithm=algorithm, ppo=PPO(**{**PLAIN, **ppo})),
        kl_weight=2.0,
        moments=RunningMoments(),
        team=ranks("cpu"),
    )


def test_a_reply_is_compared_with_the_others_to_its_prompt():
    got = estimates(algorithm="rloo")
    assert got.kl.tolist() == [0.5, 0, 1, 0]
    # Rewards less 2 times the divergence are 0, 3, -2, 0.
    assert got.advantages.tolist() == [[-3, -3], [3, 0], [-2, -2], [2, 0]]
    assert got.returns is None
    grpo = estimates(algorithm="grpo").advantages
    assert grpo[:, 0].tolist() == pytest.approx([-(2**-0.5), 2**-0.5] * 2, abs=1e-3)


def test_a_token_is_compared_with_its_value():
    values = torch.tensor([[1.0, 0.5], [1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    got = estimates(values, gae_lambda=1.0)
    # The first token of the first reply costs 2 * 0.5, its last one earns 1.
    assert got.advantages.tolist() == [[-1 + 1 - 1, 1 - 0.5], [3 - 1, 0], [-2, -2], [-2, 0]]
    assert got.returns is not None
    assert got.returns.tolist() == [[0, 1], [3, 0], [-2, -2], [0, 0]]
    short = estimates(values, gae_lambda=0.0).advantages
    assert short[0].tolist() == [-1 + 0.5 - 1, 1 - 0.5]


def test_scores_are_scaled_by_all_that_were_seen():
    got = estimates(algorithm="rloo", scale_scores=True)
    assert got.moments.mean == pytest.approx(1.0)
    assert got.scores.mean().item() == pytest.approx(0, abs=1e-9)
    assert got.scores.std().item() == pytest.approx(1, abs=1e-6)
    unshifted = estimates(algorithm="rloo", scale_scores=True, normalise_scores=False)
    assert unshifted.scores.min().item() == 0


def test_whitened_advantages_have_mean_0():
    values = torch.zeros(4, 2)
    got = estimates(values, whiten_advantages=True).advantages[MASK]
    assert got.mean().item() == pytest.approx(0, abs=1e-6)
    assert got.std().item() == pytest.approx(1, abs=1e-6)


def sampled(rows: int) -> tuple[toy.Toy, Rollout]:
    policy = toy.Toy().eval()
    prompts = policy.prompts(toy.rows(rows))
    return policy, roll_out(policy, prompts, Sampling(5, 0.9, 1, 6), range(rows))


def test_each_reply_is_in_one_pass_without_padding_that_all_share():
    _, rollout = sampled(12)
    updates = microbatches(rollout, Reinforce(batch=12, updates=2, rows_a_pass=4))
    assert [[len(batch.at) for batch in update] for update in updates] == [[4, 2], [4, 2]]
    first = set(chain.from_iterable(batch.at.tolist() for batch in updates[0]))
    assert first == set(range(6))
    for batch in chain.from_iterable(updates):
        for mask in (batch.prompts.mask, batch.replies.mask):
            assert mask.any(0).all()
        at = batch.at
        assert torch.equal(batch.replies.tokens.sum(1), rollout.replies.tokens[at].sum(1))
        assert torch.equal(
            batch.take(rollout.logprobs)[batch.replies.mask],
            rollout.logprobs[at][rollout.replies.mask[at]],
        )


def test_the_first_gradient_is_that_of_the_policy_gradient_theorem():
    policy, rollout = sampled(8)
    settings = Reinforce(algorithm="rloo", batch=8, rows_a_pass=3, epochs=1, clip=0.0)
    team = ranks("cpu")
    updates = microbatches(rollout, settings)
    readings = reread(policy, rollout, updates, settings)
    total = torch.from_numpy(toy.worth([], rollout.texts).total)
    got = estimate_advantages(
        StepRewards(total, {}),
        readings,
        rollout.replies.mask,
        np.arange(8),
        settings=settings,
        kl_weight=0.1,
        moments=RunningMoments(),
        team=team,
    )
    parameters = trainable_parameters(policy)
    learning = {k: p for k, p in parameters.items() if not k.startswith("value_head")}
    logprobs = policy(rollout.prompts, rollout.replies, values=False).logprobs
    loss = -(logprobs * got.advantages).sum() / rollout.replies.mask.sum()
    wanted = torch.autograd.grad(loss, list(learning.values()))
    before = [p.detach().clone() for p in learning.values()]
    learn(
        policy,
        updates,
        readings,
        got,
        optimizer=torch.optim.SGD(learning.values(), lr=1.0),
        parameters=list(learning.values()),
        settings=settings,
        team=team,
    )
    for was, grad, now in zip(before, wanted, learning.values(), strict=True):
        assert grad.abs().max() > 1e-4
        assert torch.allclose(was - grad, now, atol=1e-6)
