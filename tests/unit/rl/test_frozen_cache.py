"""What lies below the lowest adapter is computed once a rollout, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from emotone.rl.causal import CausalPolicy
from emotone.rl.policy import Prompts, trainable_parameters
from emotone.rl.rollout import Rollout, roll_out
from emotone.rl.settings import Sampling
from emotone.training.adapters import Adapters, frozen_blocks
from unit.rl.policies import moved, policy_of, some_prompts

SHORT = Sampling(top_k=10, temperature=0.9, min_tokens=2, max_tokens=6)
ROUNDING = 1e-5


@pytest.fixture
def policy() -> CausalPolicy:
    made = policy_of("causal", adapters=Adapters(top=1))
    assert isinstance(made, CausalPolicy)
    return made


def rolled(policy: CausalPolicy) -> Rollout:
    return roll_out(policy, some_prompts(policy), SHORT, [1, 2, 3])


def counted(policy: CausalPolicy) -> list[int]:
    """Rows that each pass of the frozen_blocks feed-forward map sees, from here on."""
    rows: list[int] = []
    plain = policy.model.model.layers[0].mlp.forward

    def forward(states):
        rows.append(len(states))
        return plain(states)

    policy.model.model.layers[0].mlp.forward = forward
    return rows


def test_the_lower_blocks_work_once_a_rollout(policy):
    rollout = rolled(policy)
    rows = counted(policy)
    for _ in range(3):
        policy(rollout.prompts, rollout.replies)
        policy.reference(rollout.prompts, rollout.replies)
    assert rows == [3]
    rolled(policy)
    rows.clear()
    policy(rollout.prompts, rollout.replies)
    assert rows == [3], "a new rollout begins anew"


def test_outputs_and_gradients_are_as_without(policy):
    moved(policy)
    rollout = rolled(policy)
    plain = policy_of("causal", adapters=Adapters(top=1))  # never rolled out, so it keeps nothing
    moved(plain)

    def outputs(which: CausalPolicy) -> list[torch.Tensor]:
        which.zero_grad()
        output = which(rollout.prompts, rollout.replies)
        (output.logprobs.sum() + output.values.sum()).backward()
        grads = [p.grad for p in trainable_parameters(which).values()]
        reference = which.reference(rollout.prompts, rollout.replies)
        everything = [output.logprobs, output.entropy, output.values, reference, *grads]
        return [x.detach() for x in everything]

    wanted = outputs(plain)
    for _ in range(2):
        for mine, theirs in zip(outputs(policy), wanted, strict=True):
            assert (mine - theirs).abs().max() <= ROUNDING * max(1.0, float(theirs.abs().max()))


def test_other_batches_of_the_same_rows_find_their_own_states(policy):
    moved(policy)
    rollout = rolled(policy)
    whole = policy(rollout.prompts, rollout.replies).logprobs
    rows = counted(policy)
    at = torch.tensor([2, 0])
    width = int(rollout.replies.mask[at].sum(1).max())
    longest = int(rollout.prompts.mask[at].sum(1).max())
    prompts = rollout.prompts.rows(at)
    prompts = Prompts(prompts.ids[:, -longest:], prompts.mask[:, -longest:])
    part = policy(prompts, rollout.replies.rows(at)).logprobs
    assert rows == []
    assert (part - whole[at])[:, :width].abs().max() < ROUNDING


def test_a_row_that_is_not_known_is_computed(policy):
    rollout = rolled(policy)
    policy(rollout.prompts, rollout.replies)
    rows = counted(policy)
    other = policy.prompts(policy.codec.encode(["aa", "bb", "cc"]))
    policy(other, rollout.replies)
    assert rows == [3]


def test_hooks_below_are_not_skipped(policy):
    """A displacement of an emotion vector must act each time, not be remembered."""
    rollout = rolled(policy)
    plain = policy(rollout.prompts, rollout.replies).logprobs
    block = policy.model.model.layers[0]
    handle = block.register_forward_hook(lambda _m, _given, out: out + 1.0)
    pushed = policy(rollout.prompts, rollout.replies).logprobs
    handle.remove()
    assert (pushed - plain).abs().max() > 0.01
    assert torch.equal(policy(rollout.prompts, rollout.replies).logprobs, plain)


def test_adapters_in_all_blocks_leave_nothing_below():
    policy = policy_of("causal")
    assert frozen_blocks(policy.model) == []
    rollout = rolled(policy)
    rows = counted(policy)
    policy(rollout.prompts, rollout.replies)
    policy(rollout.prompts, rollout.replies)
    assert rows == [3, 3]
