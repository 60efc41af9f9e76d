"""The trainer with the policies that ship, tiny and with random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from emotone import config as configs
from emotone.rl.development import Development
from emotone.rl.policy import trainable_parameters
from emotone.rl.rewards import Rewards
from emotone.rl.settings import Reinforce
from emotone.rl.trainer import reinforce
from emotone.training import checkpoint
from unit.rl.policies import KINDS, dialogues, policy_of

QUICK = {
    "steps": 2,
    "batch": 8,
    "rows_a_pass": 3,
    "epochs": 2,
    "lr": 1e-3,
    "threads": 1,
    "sampling": {"top_k": 20, "min_tokens": 2, "max_tokens": 6},
}
POSTS = ("hi", "my dog died today", "I am so happy!", "no", "why me?", "ok", "I won", "it rains")


def bytes_of(rows, texts) -> Rewards:
    found = np.array([float(len(text)) for text in texts])
    return Rewards(found, {"bytes": found})


def run(policy, out, **settings):
    prompts = policy.encode(dialogues(*POSTS))
    given = policy.codec.encode(["I see", "oh no", "nice"])
    return reinforce(
        policy,
        prompts=prompts,
        reward=bytes_of,
        settings=configs.build(Reinforce, {**QUICK, **settings}),
        out=out,
        development=Development(prompts[:3], given, bytes_of),
        progress=False,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["ppo", "rloo"])
def test_all_that_learns_gets_a_gradient_and_all_else_stays(tmp_path, kind, algorithm):
    policy = policy_of(kind)
    learning = [
        name
        for name in trainable_parameters(policy)
        if algorithm == "ppo" or not name.startswith("value_head")
    ]
    before = {k: v.clone() for k, v in policy.state_dict().items()}
    done = run(policy, tmp_path, algorithm=algorithm, evaluate_every=2)
    place = checkpoint.steps(tmp_path / "checkpoints")[0]
    # Adam knows what had a gradient; several processes would wait for one that is missing.
    moments = checkpoint.read_tensors(place, checkpoint.OPTIMIZER)
    assert {key.rpartition("/")[0] for key in moments} == set(learning)
    last = checkpoint.read_tensors(place, checkpoint.MODEL)
    assert last.keys() == set(learning)
    assert all(not torch.equal(last[name], before[name]) for name in learning)
    after = policy.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before.keys() - learning)
    first = json.loads(done.log.read_text().splitlines()[0])
    assert first["dev_kl"] == pytest.approx(0, abs=1e-4)
    assert first["dev_nll"] > 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_resumed_bit_for_bit(tmp_path, kind):
    whole, halves = policy_of(kind), policy_of(kind)
    run(whole, tmp_path / "whole", dropout=True)
    run(halves, tmp_path / "halves", dropout=True, steps=1)
    run(policy_of(kind), tmp_path / "halves", dropout=True)
    for file in (checkpoint.MODEL, checkpoint.OPTIMIZER):
        one, other = (
            checkpoint.steps(tmp_path / out / "checkpoints")[0] / file
            for out in ("whole", "halves")
        )
        assert one.read_bytes() == other.read_bytes()
