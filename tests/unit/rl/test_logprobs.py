"""Log-probabilities of sampled tokens: those of a plain softmax, and of one over the support.

The value head: one linear map, with dropout in training only, in float32 under autocast.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from emotone.rl import logprobs as under_test
from emotone.rl.logprobs import ValueHead, support_logprobs, vocabulary_logprobs
from emotone.rl.policy import Replies
from unit.rl.batches import lengths, mask_of, seeds
from unit.rl.trainer_toy import logprobs_of

V, K = 11, 4
temperatures = st.sampled_from([1.0, 0.9, 0.3])


def batch(sizes, seed, temperature=1.0, *, support=True) -> tuple[Tensor, Replies]:
    """Logits, not numbers at padding; and replies, drawn from the likeliest or from all."""
    mask = mask_of(sizes)
    g = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(*mask.shape, V, generator=g, dtype=torch.float64)
    tokens = torch.randint(0, V, mask.shape, generator=g)
    among = None
    if support:
        among = logits.topk(K).indices
        which = torch.randint(0, K, mask.shape, generator=g)
        tokens = among.gather(-1, which[..., None])[..., 0]
    tokens = tokens.masked_fill(~mask, 0)
    return logits.masked_fill(~mask[..., None], float("nan")), Replies(
        tokens, mask, among, temperature
    )


def by_hand(logits: np.ndarray, token: int, among: list[int], temperature: float):
    """Log-probability and entropy of one token."""
    weights = {i: np.exp(logits[i] / temperature) for i in among}
    p = {i: w / sum(weights.values()) for i, w in weights.items()}
    return np.log(p[token]), -sum(x * np.log(x) for x in p.values())


@pytest.mark.parametrize("support", [True, False])
@given(sizes=lengths, seed=seeds, temperature=temperatures)
def test_they_are_those_of_a_softmax_over_what_could_be_drawn(support, sizes, seed, temperature):
    logits, replies = batch(sizes, seed, temperature, support=support)
    got = logprobs_of(logits, replies)
    for row, size in enumerate(sizes):
        for t in range(size):
            among = range(V) if replies.support is None else replies.support[row, t].tolist()
            token = int(replies.tokens[row, t])
            want, spread = by_hand(logits[row, t].numpy(), token, list(among), temperature)
            assert got.logprobs[row, t].item() == pytest.approx(want, abs=2e-5)
            assert got.entropy[row, t].item() == pytest.approx(spread, abs=2e-5)
    assert (got.logprobs[~replies.mask] == 0).all()
    assert (got.entropy[~replies.mask] == 0).all()


@given(lengths, seeds, temperatures)
def test_a_support_of_everything_is_the_whole_vocabulary(sizes, seed, temperature):
    logits, replies = batch(sizes, seed, temperature, support=False)
    order = torch.randperm(V, generator=torch.Generator().manual_seed(seed))
    full = order.expand(*replies.tokens.shape, V)
    over = Replies(replies.tokens, replies.mask, full, temperature)
    got, want = logprobs_of(logits, over), logprobs_of(logits, replies)
    torch.testing.assert_close(got.logprobs.double(), want.logprobs, rtol=0, atol=1e-5)
    torch.testing.assert_close(got.entropy.double(), want.entropy, rtol=0, atol=1e-5)


@given(lengths, seeds)
def test_probabilities_of_the_support_sum_to_1(sizes, seed):
    logits, replies = batch(sizes, seed, 0.9)
    assert replies.support is not None
    total = torch.zeros(replies.tokens.shape)
    for k in range(K):
        each = Replies(replies.support[..., k], replies.mask, replies.support, 0.9)
        total += logprobs_of(logits, each).logprobs.exp()
    torch.testing.assert_close(total[replies.mask], torch.ones(int(replies.mask.sum())))


@pytest.mark.parametrize("chunk", [1, 3, 64])
@given(sizes=lengths, seed=seeds, temperature=temperatures)
def test_gradients_over_the_vocabulary_are_autograds_in_chunks_of_any_size(
    chunk, sizes, seed, temperature
):
    logits, replies = batch(sizes, seed, temperature, support=False)
    mask, tokens = replies.mask, replies.tokens
    x = logits.nan_to_num(0).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test, "_CHUNK", chunk)
        got = vocabulary_logprobs(x, tokens, mask, temperature=temperature)
        # Each token of its own weight, and none at padding.
        weights = torch.arange(1.0, 1 + mask.numel(), dtype=x.dtype).view(mask.shape)
        (grads,) = torch.autograd.grad((weights * got.logprobs).sum(), x)
    logp = (x / temperature).log_softmax(-1)
    want = logp.gather(-1, tokens[..., None])[..., 0].masked_fill(~mask, 0)
    torch.testing.assert_close(got.logprobs, want)
    torch.testing.assert_close(grads, torch.autograd.grad((weights * want).sum(), x)[0])
    assert not got.entropy.requires_grad


def test_entropy_over_the_vocabulary_is_left_out_on_request():
    logits, replies = batch([3, 2], 1, support=False)
    got = logprobs_of(logits, replies, entropy=False)
    assert (got.entropy == 0).all()
    torch.testing.assert_close(got.logprobs, logprobs_of(logits, replies).logprobs)


@pytest.mark.parametrize("support", [True, False])
def test_a_barred_token_leaves_entropy_and_gradients_finite(support):
    logits = torch.tensor([[[0.0, 1.0, -torch.inf]]], requires_grad=True)
    among = torch.tensor([[[2, 1, 0]]]) if support else None
    replies = Replies(torch.tensor([[1]]), torch.ones(1, 1).bool(), among)
    got = logprobs_of(logits, replies)
    p = torch.tensor([0.0, 1.0]).softmax(0)
    assert got.logprobs.item() == pytest.approx(p[1].log().item())
    assert got.entropy.item() == pytest.approx(-(p * p.log()).sum().item(), abs=1e-6)
    (grads,) = torch.autograd.grad(got.logprobs.sum(), logits)
    torch.testing.assert_close(grads[0, 0], torch.tensor([-p[0], 1 - p[1], 0]))


def test_a_token_that_the_support_lacks_cannot_have_been_drawn():
    replies = Replies(
        torch.tensor([[5, 0]]), torch.tensor([[True, False]]), torch.tensor([[[1, 2], [1, 2]]])
    )
    got = support_logprobs(torch.zeros(1, 2, 2), replies)
    assert got.logprobs.tolist() == [[-float("inf"), 0]]


def test_replies_without_a_support_are_told_where_to_go():
    _, replies = batch([2, 2], 1, support=False)
    with pytest.raises(ValueError, match="vocabulary_logprobs"):
        support_logprobs(torch.zeros(2, 3, K), replies)


@pytest.mark.parametrize("support", [True, False])
def test_logits_of_half_width_are_summed_in_float32(support):
    logits, replies = batch([3, 2], 4, 0.9, support=support)
    half = logits.nan_to_num(0).to(torch.bfloat16).requires_grad_()
    got = logprobs_of(half, replies)
    assert got.logprobs.dtype == torch.float32
    want = logprobs_of(half.detach().float(), replies)
    torch.testing.assert_close(got.logprobs.detach(), want.logprobs)
    (grads,) = torch.autograd.grad(got.logprobs.sum(), half)
    assert grads.dtype == torch.bfloat16


# -- the value head ----------------------------------------------------------------------------

STATES = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))


def filled(**settings):
    head = ValueHead(8, **settings)
    with torch.no_grad():
        head.weight.copy_(torch.linspace(-1, 1, 8))
        head.bias.fill_(0.5)
    return head


def test_it_is_a_linear_map_of_the_state():
    head = filled().eval()
    wanted = torch.einsum("btd,d->bt", STATES, head.weight) + head.bias
    assert torch.allclose(head(STATES), wanted)


def test_it_begins_by_saying_nothing_and_learns():
    head = ValueHead(8).eval()
    assert not head(STATES).any()
    (head(STATES) - 1).square().mean().backward()
    assert head.weight.grad.any()
    assert head.bias.grad.any()


def test_dropout_is_for_training_and_can_be_none():
    head = filled().train()
    assert not torch.equal(head(STATES), head(STATES))
    assert torch.equal(head.eval()(STATES), head(STATES))
    still = filled(dropout=0.0).train()
    assert torch.equal(still(STATES), still(STATES))


def test_autocast_does_not_round_values():
    head = filled().eval()
    with torch.autocast("cpu", torch.bfloat16):
        made = head(STATES)
    assert made.dtype == torch.float32
    assert torch.equal(made, head(STATES))


def test_a_detached_head_sends_no_gradient_to_the_states():
    for detach in (True, False):
        states = STATES.clone().requires_grad_()
        head = filled(detach=detach)
        head(states).sum().backward()
        assert (states.grad is None) is detach
        assert head.weight.grad is not None
