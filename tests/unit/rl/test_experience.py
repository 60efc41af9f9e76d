"""From rewards to advantages to one gradient, against sums made by hand."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from emotone.rl.experience import Heard, Scored, deserve, hear, parts
from emotone.rl.learning import learn
from emotone.rl.moments import Moments
from emotone.rl.rollout import roll_out
from emotone.rl.settings import Reinforce
from emotone.rl.types import Rollout, Sampling
from emotone.training.distributed import ranks
from unit.rl import trainer_toy as toy

MASK = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0]], dtype=torch.bool)
LOGPROBS = torch.tensor([[-1.0, -1.0], [-2.0, 0.0], [-1.0, -2.0], [-1.0, 0.0]])
REFERENCE = torch.tensor([[-1.5, -1.0], [-2.0, 0.0], [-1.0, -3.0], [-1.0, 0.0]])
TOTAL = torch.tensor([1.0, 3.0, 0.0, 0.0], dtype=torch.float64)
PLAIN = {"scale_scores": False, "whiten_rewards": False, "whiten_advantages": False}


def deserved(values: torch.Tensor | None = None, **settings):
    return deserve(
        Scored(TOTAL, {}),
        Heard(LOGPROBS, REFERENCE, values),
        MASK,
        np.arange(4),
        settings=Reinforce(batch=4, group=2, **{**PLAIN, **settings}),
        kl_weight=2.0,
        moments=Moments(),
        team=ranks("cpu"),
    )


def test_a_reply_is_compared_with_the_others_to_its_prompt():
    found = deserved(algorithm="rloo")
    assert found.kl.tolist() == [0.5, 0, 1, 0]
    # Rewards less 2 times the divergence are 0, 3, -2, 0.
    assert found.advantages.tolist() == [[-3, -3], [3, 0], [-2, -2], [2, 0]]
    assert found.returns is None
    grpo = deserved(algorithm="grpo").advantages
    assert grpo[:, 0].tolist() == pytest.approx([-(2**-0.5), 2**-0.5] * 2, abs=1e-3)


def test_a_token_is_compared_with_its_value():
    values = torch.tensor([[1.0, 0.5], [1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    found = deserved(values, gae_lambda=1.0)
    # The first token of the first reply costs 2 * 0.5, its last one earns 1.
    assert found.advantages.tolist() == [[-1 + 1 - 1, 1 - 0.5], [3 - 1, 0], [-2, -2], [-2, 0]]
    assert found.returns is not None
    assert found.returns.tolist() == [[0, 1], [3, 0], [-2, -2], [0, 0]]
    short = deserved(values, gae_lambda=0.0).advantages
    assert short[0].tolist() == [-1 + 0.5 - 1, 1 - 0.5]


def test_scores_are_scaled_by_all_that_were_seen():
    found = deserved(algorithm="rloo", scale_scores=True)
    assert found.moments.mean == pytest.approx(1.0)
    assert found.scores.mean().item() == pytest.approx(0, abs=1e-9)
    assert found.scores.std().item() == pytest.approx(1, abs=1e-6)
    kept = deserved(algorithm="rloo", scale_scores=True, normalise_scores=False)
    assert kept.scores.min().item() == 0


def test_whitened_advantages_have_mean_0():
    values = torch.zeros(4, 2)
    found = deserved(values, whiten_advantages=True).advantages[MASK]
    assert found.mean().item() == pytest.approx(0, abs=1e-6)
    assert found.std().item() == pytest.approx(1, abs=1e-6)


def drawn(rows: int) -> tuple[toy.Toy, Rollout]:
    policy = toy.Toy().eval()
    prompts = policy.prompts(toy.rows(rows))
    return policy, roll_out(policy, prompts, Sampling(5, 0.9, 1, 6), range(rows))


def test_each_reply_is_in_one_pass_without_padding_that_all_share():
    _, rollout = drawn(12)
    cut = parts(rollout, Reinforce(batch=12, updates=2, rows_a_pass=4))
    assert [[len(part.at) for part in update] for update in cut] == [[4, 2], [4, 2]]
    first = set(chain.from_iterable(part.at.tolist() for part in cut[0]))
    assert first == set(range(6))
    for part in chain.from_iterable(cut):
        for mask in (part.prompts.mask, part.written.mask):
            assert mask.any(0).all()
        at = part.at
        assert torch.equal(part.written.tokens.sum(1), rollout.written.tokens[at].sum(1))
        assert torch.equal(
            part.of(rollout.logprobs)[part.written.mask],
            rollout.logprobs[at][rollout.written.mask[at]],
        )


def test_the_first_gradient_is_that_of_the_policy_gradient_theorem():
    policy, rollout = drawn(8)
    settings = Reinforce(algorithm="rloo", batch=8, rows_a_pass=3, epochs=1, clip=0.0)
    team = ranks("cpu")
    cut = parts(rollout, settings)
    heard = hear(policy, rollout, cut, settings)
    total = torch.from_numpy(toy.worth([], rollout.texts).total)
    found = deserve(
        Scored(total, {}),
        heard,
        rollout.written.mask,
        np.arange(8),
        settings=settings,
        kl_weight=0.1,
        moments=Moments(),
        team=team,
    )
    learning = {k: p for k, p in policy.trained().items() if not k.startswith("value_head")}
    said = policy(rollout.prompts, rollout.written, values=False).logprobs
    loss = -(said * found.advantages).sum() / rollout.written.mask.sum()
    wanted = torch.autograd.grad(loss, list(learning.values()))
    before = [p.detach().clone() for p in learning.values()]
    learn(
        policy,
        cut,
        heard,
        found,
        optimizer=torch.optim.SGD(learning.values(), lr=1.0),
        parameters=list(learning.values()),
        settings=settings,
        team=team,
    )
    for was, grad, now in zip(before, wanted, learning.values(), strict=True):
        assert grad.abs().max() > 1e-4
        assert torch.allclose(was - grad, now, atol=1e-6)
