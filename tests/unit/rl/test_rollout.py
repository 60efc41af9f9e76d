"""Rollouts: what is drawn, from what, how likely it was, and that neighbours do not matter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from emotone.rl.rollout import Rollout, _inverse_cdf, roll_out
from emotone.rl.settings import Sampling
from unit.rl.policies import KINDS, dialogues, moved, policy_of, singles, some_prompts

SHORT = Sampling(top_k=20, temperature=0.9, min_tokens=2, max_tokens=8)
#: Sums of float32 in another order.
ROUNDING = 1e-5


@pytest.fixture(params=KINDS)
def policy(request: pytest.FixtureRequest):
    return policy_of(request.param)


def test_the_recorded_logprobs_are_those_of_forward_under_padding(policy):
    moved(policy)
    prompts = some_prompts(policy)
    assert not bool(prompts.mask.all()), "no prompt is padded"
    rollout = roll_out(policy, prompts, SHORT, [1, 2, 3])
    said = policy(prompts, rollout.replies)
    assert (said.logprobs - rollout.logprobs).abs().max() < ROUNDING
    assert rollout.logprobs[rollout.replies.mask].max() < 0


@pytest.mark.parametrize("top_k", [0, 20])
def test_a_row_alone_is_the_row_in_its_batch(policy, top_k: int):
    sampling = Sampling(top_k, 0.9, 2, 8)
    prompts, seeds = some_prompts(policy), [1, 2, 3]
    together = roll_out(policy, prompts, sampling, seeds)
    rows = [r[m].tolist() for r, m in zip(prompts.ids, prompts.mask, strict=True)]
    for i, at in enumerate(singles(3)):
        alone = roll_out(policy, policy.prompts([rows[i]]), sampling, seeds[at])
        width = alone.replies.tokens.shape[1]
        assert alone.texts == together.texts[at]
        assert torch.equal(alone.replies.tokens[0], together.replies.tokens[i, :width])
        assert not bool(together.replies.mask[i, width:].any())
        gap = alone.logprobs[0] - together.logprobs[i, :width]
        assert gap.abs().max() < ROUNDING


def test_a_group_reads_its_prompt_once_and_says_what_rows_of_their_own_would(policy):
    once = policy.encode(dialogues("my dog died today", "hi"))
    prompts = policy.prompts([once[0], once[0], once[1], once[0]])
    widths: list[int] = []
    embeddings = [m for m in policy.model.modules() if isinstance(m, nn.Embedding)]
    handles = [
        m.register_forward_hook(lambda _m, given, _made: widths.append(len(given[0])))
        for m in embeddings
        if m.num_embeddings == policy.model.config.vocab_size
    ]
    group = roll_out(policy, prompts, SHORT, [1, 2, 3, 4])
    for handle in handles:
        handle.remove()
    assert widths[0] == 2
    assert widths[-1] == 4
    for i, seed in enumerate([1, 2, 3, 4]):
        one = roll_out(policy, prompts.rows(slice(i, i + 1)), SHORT, [seed])
        assert one.texts == group.texts[i : i + 1]
    assert len(set(group.texts)) > 1


def test_every_drawn_token_is_in_its_support_and_the_support_is_the_top(policy):
    rollout = roll_out(policy, some_prompts(policy), SHORT, [1, 2, 3])
    support, mask = rollout.replies.support, rollout.replies.mask
    assert support is not None
    assert support.shape[-1] == 20
    own = (support == rollout.replies.tokens[..., None]).any(-1)
    assert bool(own[mask].all())
    first = policy.generation(rollout.prompts).first()
    first[:, list(policy.codec.end_tokens)] = -torch.inf
    assert torch.equal(support[:, 0].sort().values, first.topk(20).indices.sort().values)


def ending(policy, kind: float) -> None:
    """Make the end token so much likelier or unlikelier, whatever was said."""
    layer = policy.model.get_output_embeddings()
    plain = layer.forward

    def forward(states):
        made = plain(states)
        made[..., policy.codec.end_tokens[0]] += kind
        return made

    layer.forward = forward


@pytest.mark.parametrize("least", [0, 1, 4])
def test_no_reply_ends_before_the_least_number_of_tokens(policy, least: int):
    ending(policy, 1e4)
    rollout = roll_out(policy, some_prompts(policy), Sampling(20, 0.9, least, 8), [1, 2, 3])
    # All end as soon as they may, with the end token after `least` others.
    assert rollout.replies.mask.sum(1).tolist() == [least + 1] * 3
    assert rollout.replies.tokens[:, -1].tolist() == [policy.codec.end_tokens[0]] * 3
    assert bool(rollout.ended.all())


def test_rows_that_ended_are_padded_and_the_longest_reply_does_not_end(policy):
    ending(policy, 12.0)
    prompts = some_prompts(policy)
    many = prompts.rows(torch.arange(30) % 3)
    rollout = roll_out(policy, many, Sampling(0, 2.0, 0, 6), list(range(30)))
    tokens, mask = rollout.replies.tokens, rollout.replies.mask
    sizes = mask.sum(1)
    assert len(sizes.unique()) > 2
    for row, size, ended in zip(tokens, sizes, rollout.ended, strict=True):
        inside = torch.isin(row[:size], torch.tensor(list(policy.codec.end_tokens)))
        assert inside.tolist() == [False] * (int(size) - 1) + [bool(ended)]
        assert row[size:].tolist() == [policy.codec.pad] * (len(row) - int(size))
    assert bool((sizes[~rollout.ended] == 6).all())
    assert bool((rollout.logprobs[~mask] == 0).all())


def test_chance_is_the_seeds_alone_and_another_seed_says_another_thing(policy):
    prompts = some_prompts(policy)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = roll_out(policy, prompts, SHORT, [1, 2, 3])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = roll_out(policy, prompts, SHORT, [1, 2, 3])
    assert first.texts == again.texts
    other = roll_out(policy, prompts, SHORT, [4, 5, 6])
    assert all(a != b for a, b in zip(first.texts, other.texts, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_inside_and_the_mode_is_as_before(policy, training: bool):
    plain: Rollout = roll_out(policy.eval(), some_prompts(policy), SHORT, [1, 2, 3])
    policy.train(training)
    made = roll_out(policy, some_prompts(policy), SHORT, [1, 2, 3])
    assert made.texts == plain.texts
    assert policy.training is training


def test_the_place_in_a_distribution_follows_its_probabilities():
    logits = torch.tensor([0.5, 0.2, 0.0, 0.3]).log().expand(1000, -1)
    chance = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    counts = _inverse_cdf(logits, chance)[:, 0].bincount(minlength=4)
    assert counts.tolist() == [500, 200, 0, 300]


def test_the_ends_of_chance_hit_tokens_that_can_be_drawn():
    logits = torch.tensor([[-torch.inf, 1.0, 2.0, -torch.inf, -torch.inf]]).expand(3, -1)
    chance = torch.tensor([0.0, 1 - 2**-53, 1.0], dtype=torch.float64)
    assert _inverse_cdf(logits, chance)[:, 0].tolist() == [1, 2, 2]
