"""Log-probabilities of drawn tokens: equal to a plain softmax, and to one over the support."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from emotone.rl import logprobs as under_test
from emotone.rl.logprobs import (
    drawn_logprobs,
    support_logits,
    support_logprobs,
    vocabulary_logprobs,
)
from emotone.rl.types import Written
from unit.rl.batches import lengths, mask_of, seeds

V, K = 11, 4
temperatures = st.sampled_from([1.0, 0.9, 0.3])


def batch(sizes, seed, temperature=1.0, *, support=True) -> tuple[Tensor, Written]:
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
    return logits.masked_fill(~mask[..., None], float("nan")), Written(
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
    logits, written = batch(sizes, seed, temperature, support=support)
    got = drawn_logprobs(logits, written)
    for row, size in enumerate(sizes):
        for t in range(size):
            among = range(V) if written.support is None else written.support[row, t].tolist()
            token = int(written.tokens[row, t])
            want, spread = by_hand(logits[row, t].numpy(), token, list(among), temperature)
            assert got.logprobs[row, t].item() == pytest.approx(want, abs=2e-5)
            assert got.entropy[row, t].item() == pytest.approx(spread, abs=2e-5)
    assert (got.logprobs[~written.mask] == 0).all()
    assert (got.entropy[~written.mask] == 0).all()


@given(lengths, seeds, temperatures)
def test_a_support_of_everything_is_the_whole_vocabulary(sizes, seed, temperature):
    logits, written = batch(sizes, seed, temperature, support=False)
    order = torch.randperm(V, generator=torch.Generator().manual_seed(seed))
    full = order.expand(*written.tokens.shape, V)
    over = Written(written.tokens, written.mask, full, temperature)
    got, want = drawn_logprobs(logits, over), drawn_logprobs(logits, written)
    torch.testing.assert_close(got.logprobs.double(), want.logprobs, rtol=0, atol=1e-5)
    torch.testing.assert_close(got.entropy.double(), want.entropy, rtol=0, atol=1e-5)


@given(lengths, seeds)
def test_probabilities_of_the_support_sum_to_1(sizes, seed):
    logits, written = batch(sizes, seed, 0.9)
    assert written.support is not None
    total = torch.zeros(written.tokens.shape)
    for k in range(K):
        each = Written(written.support[..., k], written.mask, written.support, 0.9)
        total += drawn_logprobs(logits, each).logprobs.exp()
    torch.testing.assert_close(total[written.mask], torch.ones(int(written.mask.sum())))


@pytest.mark.parametrize("chunk", [1, 3, 64])
@given(sizes=lengths, seed=seeds, temperature=temperatures)
def test_gradients_over_the_vocabulary_are_autograds_in_chunks_of_any_size(
    chunk, sizes, seed, temperature
):
    logits, written = batch(sizes, seed, temperature, support=False)
    mask, tokens = written.mask, written.tokens
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
    logits, written = batch([3, 2], 1, support=False)
    got = drawn_logprobs(logits, written, entropy=False)
    assert (got.entropy == 0).all()
    torch.testing.assert_close(got.logprobs, drawn_logprobs(logits, written).logprobs)


@pytest.mark.parametrize("support", [True, False])
def test_a_barred_token_leaves_entropy_and_gradients_finite(support):
    logits = torch.tensor([[[0.0, 1.0, -torch.inf]]], requires_grad=True)
    among = torch.tensor([[[2, 1, 0]]]) if support else None
    written = Written(torch.tensor([[1]]), torch.ones(1, 1).bool(), among)
    got = drawn_logprobs(logits, written)
    p = torch.tensor([0.0, 1.0]).softmax(0)
    assert got.logprobs.item() == pytest.approx(p[1].log().item())
    assert got.entropy.item() == pytest.approx(-(p * p.log()).sum().item(), abs=1e-6)
    (grads,) = torch.autograd.grad(got.logprobs.sum(), logits)
    torch.testing.assert_close(grads[0, 0], torch.tensor([-p[0], 1 - p[1], 0]))


def test_a_token_that_the_support_lacks_cannot_have_been_drawn():
    written = Written(
        torch.tensor([[5, 0]]), torch.tensor([[True, False]]), torch.tensor([[[1, 2], [1, 2]]])
    )
    got = support_logprobs(torch.zeros(1, 2, 2), written)
    assert got.logprobs.tolist() == [[-float("inf"), 0]]


def test_replies_without_a_support_are_told_where_to_go():
    _, written = batch([2, 2], 1, support=False)
    with pytest.raises(ValueError, match="vocabulary_logprobs"):
        support_logprobs(torch.zeros(2, 3, K), written)


@pytest.mark.parametrize("bias", [True, False])
@given(sizes=lengths, seed=seeds)
def test_logits_of_the_support_are_those_of_the_whole_output_layer(bias, sizes, seed):
    _, written = batch(sizes, seed)
    assert written.support is not None
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(*written.mask.shape, 6, generator=g, requires_grad=True)
    weight = torch.randn(V, 6, generator=g, requires_grad=True)
    shift = torch.randn(V, generator=g, requires_grad=True) if bias else None
    leaves = [x for x in (hidden, weight, shift) if x is not None]
    got = support_logits(hidden, weight, written.support, shift)
    want = (hidden @ weight.T + (0 if shift is None else shift)).gather(-1, written.support)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    pull = torch.randn(got.shape, generator=g)
    for a, b in zip(
        torch.autograd.grad(got, leaves, pull), torch.autograd.grad(want, leaves, pull), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_logits_of_the_support_stay_exact_under_autocast():
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(1, 2, 6, generator=g), torch.randn(V, 6, generator=g)
    support = torch.randint(0, V, (1, 2, K), generator=g)
    want = support_logits(hidden, weight, support)
    with torch.autocast("cpu", torch.bfloat16):
        got = support_logits(hidden, weight, support)
    assert got.dtype == torch.float32
    assert torch.equal(got, want)


@pytest.mark.parametrize("support", [True, False])
def test_logits_of_half_width_are_summed_in_float32(support):
    logits, written = batch([3, 2], 4, 0.9, support=support)
    half = logits.nan_to_num(0).to(torch.bfloat16).requires_grad_()
    got = drawn_logprobs(half, written)
    assert got.logprobs.dtype == torch.float32
    want = drawn_logprobs(half.detach().float(), written)
    torch.testing.assert_close(got.logprobs.detach(), want.logprobs)
    (grads,) = torch.autograd.grad(got.logprobs.sum(), half)
    assert grads.dtype == torch.bfloat16
