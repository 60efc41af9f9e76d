"""Policies of both kinds: their prompts, their reference, and what learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from emotone.errors import DataError, RunError
from emotone.lm.chat import prompt_ids
from emotone.rl.policy import trainable_parameters
from emotone.rl.rollout import roll_out
from emotone.rl.settings import Sampling
from emotone.training.adapters import Adapters
from unit.rl.policies import KINDS, dialogues, moved, policy_of, some_prompts, talk
from unit.rl.trainer_toy import logprobs_of

SHORT = Sampling(top_k=10, temperature=0.9, min_tokens=2, max_tokens=6)
ROUNDING = 1e-5
REPLIES = ["oh no", "I am sorry to hear that!", "great"]


@pytest.fixture(params=KINDS)
def policy(request: pytest.FixtureRequest):
    return policy_of(request.param)


def model_logits(policy, prompts, replies):
    """The model's own logits before each token, [B, T, V], one row at a time without padding."""
    rows = []
    for i in range(len(replies)):
        ids = prompts.ids[i][prompts.mask[i]][None]
        tokens = replies.tokens[i][None]
        if policy.model.config.is_encoder_decoder:
            fed = torch.cat([torch.full((1, 1), policy.codec.pad), tokens[:, :-1]], 1)
            rows.append(policy.model(input_ids=ids, decoder_input_ids=fed).logits)
        else:
            out = policy.model(input_ids=torch.cat([ids, tokens], 1), use_cache=False).logits
            rows.append(out[:, ids.shape[1] - 1 : -1])
    return torch.cat(rows)


# -- what is computed -----------------------------------------------------------------------------


@pytest.mark.parametrize("support", [True, False])
def test_logprobs_and_entropy_are_those_of_the_models_own_logits(policy, support: bool):
    moved(policy)
    prompts = some_prompts(policy)
    if support:
        replies = roll_out(policy, prompts, SHORT, [1, 2, 3]).replies
    else:
        replies = policy.codec.batch(policy.codec.encode(REPLIES))
        assert not bool(replies.mask.all())
    output = policy(prompts, replies)
    plain = logprobs_of(model_logits(policy, prompts, replies), replies)
    assert (output.logprobs - plain.logprobs).abs().max() < ROUNDING
    assert (output.entropy - plain.entropy).abs().max() < ROUNDING


def test_values_are_there_at_real_tokens_only_and_only_when_asked(policy):
    moved(policy)
    prompts = some_prompts(policy)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    output = policy(prompts, replies)
    assert output.values is not None
    assert bool((output.values[replies.mask] != 0).all())
    assert bool((output.values[~replies.mask] == 0).all())
    assert policy(prompts, replies, values=False).values is None


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_value_head_there_are_no_values(kind: str):
    policy = policy_of(kind, values=False)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    assert policy(some_prompts(policy), replies).values is None
    assert not [name for name in trainable_parameters(policy) if "value" in name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detach", [True, False])
def test_the_value_loss_reaches_the_trunk_unless_it_is_detached(kind: str, detach: bool):
    policy = policy_of(kind, detach_values=detach)
    moved(policy)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    values = policy(some_prompts(policy), replies).values
    assert values is not None
    values.sum().backward()
    reached = {
        n for n, p in trainable_parameters(policy).items() if p.grad is not None and p.grad.any()
    }
    assert {"value_head.weight", "value_head.bias"} <= reached
    assert (len(reached) == 2) is detach


def test_values_do_not_look_ahead(policy):
    """The value at a token is that of the state before it."""
    moved(policy)
    prompts = some_prompts(policy)
    first = policy.codec.batch(policy.codec.encode(["aaaa"] * 3))
    other = policy.codec.batch(policy.codec.encode(["aaab"] * 3))
    one, two = policy(prompts, first).values, policy(prompts, other).values
    assert torch.allclose(one[:, :4], two[:, :4])
    assert not torch.allclose(one[:, 4], two[:, 4])


def test_a_seed_decides_the_adapters_and_torchs_own_state_does_not():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    made = [policy_of("causal", seed=s) for s in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    first, same, other = (
        {n: p for n, p in trainable_parameters(m).items() if "lora_A" in n} for m in made
    )
    assert first
    assert all(torch.equal(first[n], same[n]) for n in first)
    assert not any(torch.equal(first[n], other[n]) for n in first)


# -- the reference ----------------------------------------------------------------------------


def test_at_the_start_the_reference_says_what_the_policy_says(policy):
    prompts = some_prompts(policy)
    rollout = roll_out(policy, prompts, SHORT, [1, 2, 3])
    for replies in (rollout.replies, policy.codec.batch(policy.codec.encode(REPLIES))):
        gap = policy(prompts, replies).logprobs - policy.reference(prompts, replies)
        assert gap.abs().max() < ROUNDING


def test_an_optimiser_step_moves_the_policy_and_not_the_reference(policy):
    prompts = some_prompts(policy)
    replies = roll_out(policy, prompts, SHORT, [1, 2, 3]).replies
    before = policy.reference(prompts, replies)
    optimiser = torch.optim.SGD(trainable_parameters(policy).values(), lr=0.5)
    for _ in range(2):  # LoRA's first step moves B alone, from 0
        optimiser.zero_grad()
        policy(prompts, replies).logprobs.sum().backward()
        optimiser.step()
    assert torch.equal(policy.reference(prompts, replies), before)
    after = policy(prompts, replies).logprobs
    assert (after - before)[replies.mask].abs().mean() > 0.01


def test_the_reference_takes_no_gradient_no_dropout_and_changes_no_mode(policy):
    prompts = some_prompts(policy)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    moved(policy)
    still = policy.reference(prompts, replies)
    policy.train()
    again = policy.reference(prompts, replies)
    assert torch.equal(again, still)
    assert not again.requires_grad
    assert policy.training
    assert policy.model.training


def test_what_it_says_now_can_become_the_reference(policy):
    prompts = some_prompts(policy)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    moved(policy)
    policy.freeze_reference()
    frozen = policy(prompts, replies).logprobs.detach()
    assert (policy.reference(prompts, replies) - frozen).abs().max() < ROUNDING
    moved(policy)
    assert (policy.reference(prompts, replies) - frozen).abs().max() < ROUNDING
    assert (policy(prompts, replies).logprobs - frozen).abs().max() > 0.01


def test_under_autocast_policy_and_reference_do_not_mix_their_rounded_weights(policy):
    prompts = some_prompts(policy)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    moved(policy)
    policy.freeze_reference()
    moved(policy, 0.2)

    def half():
        return torch.autocast("cpu", torch.bfloat16)

    with torch.no_grad():
        with half():
            before = policy.reference(prompts, replies)
        with half():
            own = policy(prompts, replies).logprobs
        assert (own - before).abs().max() > 0.1
        with half():  # one after the other, as a trainer does
            assert torch.equal(policy.reference(prompts, replies), before)
            assert torch.equal(policy(prompts, replies).logprobs, own)
            assert torch.equal(policy.reference(prompts, replies), before)


def test_the_reference_leaves_an_open_graph_whole(policy):
    """PPO may ask the reference between a forward pass and its backward pass."""
    prompts = some_prompts(policy)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    moved(policy)
    for frozen in (False, True):
        if frozen:
            policy.freeze_reference()
            moved(policy)
        grads = []
        for between in (False, True):
            policy.zero_grad()
            output = policy(prompts, replies, values=False)
            if between:
                policy.reference(prompts, replies)
            output.logprobs.sum().backward()
            grads.append(
                [
                    p.grad.clone()
                    for p in trainable_parameters(policy).values()
                    if p.grad is not None
                ]
            )
        assert grads[0]
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_policy_made_without_reference_says_so():
    policy = policy_of("seq2seq", reference=False)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    with pytest.raises(RunError, match=r"has no reference yet; call freeze_reference\(\)"):
        policy.reference(some_prompts(policy), replies)


# -- what learns ------------------------------------------------------------------------------


def test_all_of_a_t5_learns_and_its_copy_does_not():
    policy = policy_of("seq2seq")
    learns = trainable_parameters(policy)
    own = dict(policy.model.named_parameters())
    assert set(learns) == {f"model.{n}" for n in own} | {"value_head.weight", "value_head.bias"}
    assert all(not p.requires_grad for n, p in policy.named_parameters() if n not in learns)


def test_only_the_top_adapters_of_a_chat_model_learn():
    policy = policy_of("causal", adapters=Adapters(rank=2, targets=("q_proj", "v_proj"), top=2))
    names = [n for n in trainable_parameters(policy) if not n.startswith("value_head")]
    assert len(names) == 2 * 2 * 2
    assert all("lora_" in n for n in names)
    assert {n.split(".layers.")[1][0] for n in names} == {"1", "2"}


def test_no_gradient_is_computed_below_the_lowest_adapter():
    policy = policy_of("causal", adapters=Adapters(top=1))
    graphs: list[bool] = []
    for block in policy.model.model.layers:
        block.register_forward_hook(
            lambda _m, _given, made: graphs.append(
                (made[0] if isinstance(made, tuple) else made).requires_grad
            )
        )
    policy(some_prompts(policy), policy.codec.batch(policy.codec.encode(REPLIES)))
    assert graphs == [False, False, True]


def test_the_frozen_weights_of_a_chat_model_get_no_gradient():
    policy = policy_of("causal")
    output = policy(some_prompts(policy), policy.codec.batch(policy.codec.encode(REPLIES)))
    (output.logprobs.sum() + output.values.sum()).backward()
    with_grad = {n for n, p in policy.named_parameters() if p.grad is not None}
    assert with_grad == set(trainable_parameters(policy))


def test_the_output_layer_sees_reply_tokens_only(policy):
    """Neither the prompt nor padding costs a product with the whole vocabulary."""
    prompts = some_prompts(policy)
    replies = policy.codec.batch(policy.codec.encode(REPLIES))
    seen: list[int] = []
    layer: nn.Module = policy.model.get_output_embeddings()
    layer.register_forward_hook(lambda _m, given, _made: seen.append(given[0].numel()))
    policy(prompts, replies)
    width = policy.model.config.hidden_size
    assert seen == [int(replies.mask.sum()) * width]
    rollout = roll_out(policy, prompts, SHORT, [1, 2, 3])
    seen.clear()
    policy(prompts, rollout.replies)
    assert seen == []  # with a support not even those


# -- prompts ----------------------------------------------------------------------------------


def test_a_t5_reads_the_posts_joined_and_the_end_of_what_is_too_long():
    policy = policy_of("seq2seq", separator=" | ", max_prompt=8)
    text = policy.codec.tokenizer.decode
    (long,) = policy.encode([talk("first words", "x", "the end")])
    assert len(long) == 8
    assert long[-1] == policy.codec.end_tokens[0]
    assert text(long, skip_special_tokens=True) == "the end"
    whole = policy_of("seq2seq", separator=" | ").encode([talk("a", "b", "c")])[0]
    assert text(whole, skip_special_tokens=True) == "a | b | c"


def test_a_chat_model_forgets_whole_posts_and_at_last_the_start_of_the_last_one():
    whole = policy_of("causal").encode([talk("first", "second", "third")])[0]
    policy = policy_of("causal", max_prompt=len(whole) - 1)
    (cut,) = policy.encode([talk("first", "second", "third")])
    assert cut == prompt_ids(policy.codec.tokenizer, talk("second", "third"), "Be kind.")
    room = len(prompt_ids(policy.codec.tokenizer, talk("x"), "Be kind.")) + 5
    (end,) = policy_of("causal", max_prompt=room).encode(dialogues("a long post at the end"))
    assert end == prompt_ids(policy.codec.tokenizer, talk("he end"), "Be kind.")


def test_a_system_prompt_that_leaves_no_room_is_refused():
    policy = policy_of("causal", max_prompt=20, system="x" * 50)
    with pytest.raises(DataError, match="leaves no room for a post in 20 tokens"):
        policy.encode(dialogues("hello"))


def test_replies_end_and_are_cut_to_the_longest(policy):
    short, long = policy.codec.encode(["ab", "x" * 80])
    assert len(short) == 3
    assert len(long) == 50
    assert short[-1] == long[-1] == policy.codec.end_tokens[0]
    replies = policy.codec.batch([short, long])
    assert policy.codec.decode(replies) == ["ab", "x" * 49]
    assert replies.mask.sum(1).tolist() == [3, 50]
    assert replies.tokens[0, 3:].tolist() == [policy.codec.pad] * 47


def test_padding_is_where_each_kind_needs_it():
    for kind in KINDS:
        prompts = some_prompts(policy_of(kind))
        first = prompts.mask[0].tolist()
        assert first == sorted(first, reverse=kind == "seq2seq")
        assert not all(first)
