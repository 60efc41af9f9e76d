"""Losses over a vocabulary against the plain formulas that hold all logits at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from emotone.nn import expected as expectations
from emotone.nn import losses
from emotone.nn.expected import expected_embeddings
from emotone.nn.losses import Allowed, linear_cross_entropy, sampled_cross_entropy
from emotone.nn.memory import ExternalMemory, word_masks

N, D, V, E = 11, 5, 17, 3
CHUNKS = (0, 1, 4, 10, 11, 12)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def case(seed: int = 0, dtype: torch.dtype = torch.float64, *, bias: bool = True):
    g = draws(seed)
    hidden = torch.randn(N, D, generator=g, dtype=dtype).requires_grad_()
    weight = torch.randn(V, D, generator=g, dtype=dtype).requires_grad_()
    shift = torch.randn(V, generator=g, dtype=dtype).requires_grad_() if bias else None
    return hidden, weight, shift, torch.randint(V, (N,), generator=g)


def allowed_words(target: Tensor, seed: int = 1) -> Allowed:
    g = draws(seed)
    masks = torch.rand(E, V, generator=g) < 0.4
    row = torch.randint(E, (N,), generator=g)
    masks[row, target] = True
    return Allowed(masks, row)


def plain(hidden: Tensor, weight: Tensor, bias: Tensor | None, allowed: Allowed | None) -> Tensor:
    logits = hidden @ weight.T if bias is None else hidden @ weight.T + bias
    if allowed is not None:
        logits = logits.masked_fill(~allowed.masks[allowed.row], -torch.inf)
    return logits


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_chunks_equal_torch_in_value_and_gradient(chunk: int, bias: bool, weighted, masked):
    hidden, weight, shift, target = case(bias=bias)
    w = torch.rand(N, generator=draws(3), dtype=hidden.dtype) if weighted else None
    allowed = allowed_words(target) if masked else None
    total, nll = linear_cross_entropy(
        hidden, weight, shift, target, token_weight=w, allowed=allowed, chunk=chunk
    )
    want = cross_entropy(plain(hidden, weight, shift, allowed), target, reduction="none")
    wanted = want.sum() if w is None else (w * want).sum()
    torch.testing.assert_close(nll, want.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(total, wanted, rtol=0, atol=1e-9)
    assert not nll.requires_grad
    leaves = [t for t in (hidden, weight, shift) if t is not None]
    ours = torch.autograd.grad(3.0 * total, leaves)  # a factor behind the loss is passed on
    theirs = torch.autograd.grad(3.0 * wanted, leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_those_of_finite_differences(bias: bool):
    hidden, weight, shift, target = case(1, bias=bias)
    w = torch.rand(N, generator=draws(4), dtype=hidden.dtype)
    allowed = allowed_words(target)

    def loss(*leaves: Tensor) -> Tensor:
        shift = leaves[2] if bias else None
        return linear_cross_entropy(
            leaves[0], leaves[1], shift, target, token_weight=w, allowed=allowed, chunk=4
        )[0]

    leaves = [t for t in (hidden, weight, shift) if t is not None]
    assert torch.autograd.gradcheck(loss, leaves)


def test_float32_in_chunks_is_within_a_millionth():
    hidden, weight, shift, target = case(2, torch.float32)
    _, nll = linear_cross_entropy(hidden, weight, shift, target, chunk=3)
    want = cross_entropy(plain(hidden, weight, shift, None), target, reduction="none")
    torch.testing.assert_close(nll, want.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_under_autocast_only_the_products_are_coarse(bias: bool, masked: bool, monkeypatch):
    monkeypatch.setattr(losses, "_WORDS", 5)
    hidden, weight, shift, target = case(4, torch.float32, bias=bias)
    allowed = allowed_words(target) if masked else None
    leaves = [t for t in (hidden, weight, shift) if t is not None]
    exact, _ = linear_cross_entropy(hidden, weight, shift, target, allowed=allowed)
    with torch.autocast("cpu", torch.bfloat16):
        total, nll = linear_cross_entropy(
            hidden.bfloat16(), weight, shift, target, allowed=allowed, chunk=4
        )
    with torch.no_grad():
        rough = (hidden.bfloat16() @ weight.bfloat16().T).float()
        rough = rough if shift is None else rough + shift
        if allowed is not None:
            rough = rough.masked_fill(~allowed.masks[allowed.row], -torch.inf)
    assert nll.dtype == total.dtype == torch.float32
    torch.testing.assert_close(nll, cross_entropy(rough, target, reduction="none"))
    assert 0 < (total - exact).detach().abs() < 0.02 * exact.detach()
    theirs = torch.autograd.grad(exact, leaves)
    for one, other in zip(torch.autograd.grad(total, leaves), theirs, strict=True):
        assert one.dtype == torch.float32
        assert torch.cosine_similarity(one.flatten(), other.flatten(), 0) > 0.999


def test_nothing_is_computed_for_gradients_that_nobody_wants_and_no_rows_lose_nothing():
    hidden, weight, shift, target = case()
    with torch.no_grad():
        total, nll = linear_cross_entropy(hidden, weight, shift, target)
    assert not total.requires_grad
    torch.testing.assert_close(total, nll.sum())
    total, nll = linear_cross_entropy(hidden[:0], weight, shift, target[:0])
    total.backward()
    assert total == 0
    assert nll.shape == (0,)
    assert weight.grad is not None
    assert not weight.grad.any()


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_stay_numbers(size: float):
    hidden, weight, shift, target = case(5, torch.float32)
    assert shift is not None
    loud = (shift * size).detach().requires_grad_()
    total, nll = linear_cross_entropy(hidden, weight, loud, target, chunk=4)
    total.backward()
    for value in (total, nll, hidden.grad, weight.grad, loud.grad):
        assert value is not None
        assert value.isfinite().all()


# -- external memory ------------------------------------------------------------------------------


def memory(lists: list[list[int]], seed: int = 0) -> ExternalMemory:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ExternalMemory(D, word_masks(lists, V)).double()


LISTS = [[], [4, 5, 6], [5, 9, 16]]


def test_the_loss_of_the_memory_is_the_minus_log_of_its_own_probabilities():
    hidden, weight, shift, target = case(3)
    external = memory(LISTS)
    # Every pair of a type and an emotion occurs.
    target[:6] = torch.tensor([4, 8, 5, 9, 16, 0])
    emotion = torch.tensor([1, 1, 2, 2, 1, 2, 0, 0, 1, 2, 0])
    logprobs = external.log_probabilities(hidden, plain(hidden, weight, shift, None), emotion)
    torch.testing.assert_close(logprobs.exp().sum(-1), torch.ones(N, dtype=torch.float64))
    w = torch.rand(N, generator=draws(4), dtype=hidden.dtype)
    total, types, nll = external.nll(hidden, weight, shift, target, emotion, token_weight=w)
    want = -logprobs.gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(nll, want.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(total, (w * want).sum(), rtol=0, atol=1e-9)
    # The type's cross entropy, with both types; an emotion without words has none to select.
    a = torch.sigmoid(external.select(hidden)[:, 0])
    q = torch.tensor([y in LISTS[e] for y, e in zip(target, emotion.tolist(), strict=True)])
    has = torch.tensor([bool(LISTS[e]) for e in emotion.tolist()])
    crossed = -torch.where(q, a, 1 - a).log() * has
    torch.testing.assert_close(types, (w * crossed).sum(), rtol=0, atol=1e-9)
    leaves = [hidden, weight, shift, *external.parameters()]
    ours = torch.autograd.grad(total + types, leaves)
    theirs = torch.autograd.grad((w * (want + crossed)).sum(), leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_an_emotion_without_words_answers_from_all_words():
    hidden, weight, shift, target = case(4)
    external, nothing = memory(LISTS), torch.zeros(N, dtype=torch.long)
    logits = plain(hidden, weight, shift, None)
    logprobs = external.log_probabilities(hidden, logits, nothing)
    torch.testing.assert_close(logprobs, logits.log_softmax(-1))
    total, types, _ = external.nll(hidden, weight, shift, target, nothing)
    torch.testing.assert_close(total, cross_entropy(logits, target, reduction="sum"))
    assert types == 0


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("lists", [LISTS, [[], [], []], [[4], [4], [4]]])
def test_the_memory_is_a_number_whatever_comes(lists: list[list[int]], size: float):
    hidden, weight, shift, target = case(5, torch.float32)
    assert shift is not None
    external = memory(lists).float()
    emotion = torch.arange(N) % E
    loud = (hidden * size).detach().requires_grad_()
    total, types, nll = external.nll(loud, weight, shift, target, emotion)
    logprobs = external.log_probabilities(loud, plain(loud, weight, shift, None), emotion)
    # -inf has no place here either: a log-probability of -20000 is one.
    assert all(t.isfinite().all() for t in (total, types, nll, logprobs))
    torch.testing.assert_close(nll, -logprobs.gather(1, target[:, None])[:, 0].detach())
    (total + types).backward()
    for leaf in (loud, weight, shift, *external.parameters()):
        assert leaf.grad is None or leaf.grad.isfinite().all()


# -- sampled softmax ------------------------------------------------------------------------------


def test_the_sampled_loss_pulls_in_the_direction_of_the_full_one():
    hidden, weight, shift, target = case(6)
    assert shift is not None
    leaves = [hidden, weight, shift]
    full = torch.autograd.grad(linear_cross_entropy(hidden, weight, shift, target)[0], leaves)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        means = [torch.zeros_like(t) for t in leaves]
        for _ in range(300):
            loss = sampled_cross_entropy(hidden, weight, shift, target, 200)
            for mean, grad in zip(means, torch.autograd.grad(loss, leaves), strict=True):
                mean += grad / 300
    for mean, want in zip(means, full, strict=True):
        assert (mean - want).norm() < 0.05 * want.norm()


def test_the_sampled_loss_draws_words_as_often_as_it_says():
    # All words alike: the loss is log V but for chance, whichever ids are the gold words.
    hidden = torch.zeros(N, D)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses = [
            sampled_cross_entropy(hidden, torch.zeros(V, D), None, torch.arange(N), 4000) / N
            for _ in range(20)
        ]
    assert float(torch.stack(losses).mean()) == pytest.approx(math.log(V), abs=0.02)


# -- expected embeddings --------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize(("threshold", "most"), [(0.0, V), (0.05, V), (0.05, 2), (0.9, 5), (0, 99)])
def test_expectations_equal_the_loop_over_steps_and_words(bias, renormalise, threshold, most):
    hidden, weight, shift, target = case(7, bias=bias)
    table = torch.randn(V, 4, generator=draws(8), dtype=hidden.dtype)
    total, nll, made = expected_embeddings(
        hidden,
        weight,
        shift,
        target,
        table,
        threshold=threshold,
        most=most,
        renormalise=renormalise,
    )
    p = plain(hidden, weight, shift, None).softmax(-1)
    torch.testing.assert_close(nll, -p.gather(1, target[:, None])[:, 0].log().detach())
    torch.testing.assert_close(total, nll.sum())
    for step in range(N):
        order = p[step].argsort(descending=True)[:most].tolist()
        kept = [w for i, w in enumerate(order) if not i or p[step, w] >= threshold]
        scale = p[step, kept].sum() if renormalise else 1.0
        want = sum(p[step, w] * table[w] for w in kept) / scale
        torch.testing.assert_close(made[step], want, rtol=0, atol=1e-9)


def test_expectations_in_chunks_with_checkpoints_equal_those_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    hidden, weight, shift, target = case(9)
    table = torch.randn(V, 4, generator=draws(8), dtype=hidden.dtype)

    def run() -> list[Tensor]:
        total, nll, made = expected_embeddings(hidden, weight, shift, target, table, most=6)
        leaves = [hidden, weight, shift]
        grads = torch.autograd.grad(total + made.square().sum(), leaves)  # pyright: ignore
        return [total, nll, made, *grads]

    once, calls = run(), []
    real = expectations.checkpoint
    monkeypatch.setattr(
        expectations, "checkpoint", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    monkeypatch.setattr(expectations, "CHUNK", 4)
    for one, other in zip(run(), once, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    assert len(calls) == 3


def test_gradients_of_expectations_are_those_of_finite_differences():
    hidden, weight, shift, target = case(10)
    table = torch.randn(V, 4, generator=draws(8), dtype=hidden.dtype)

    def loss(h: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        total, _, made = expected_embeddings(h, w, b, target, table, threshold=0.02, most=9)
        return total, made

    assert shift is not None
    assert torch.autograd.gradcheck(loss, (hidden, weight, shift))


def test_expectations_of_extreme_logits_are_numbers():
    hidden, weight, shift, target = case(11, torch.float32)
    loud = (hidden * 1e4).detach().requires_grad_()
    table = torch.randn(V, 4, generator=draws(8))
    total, nll, made = expected_embeddings(loud, weight, shift, target, table)
    (total + made.square().sum()).backward()
    assert loud.grad is not None
    assert all(t.isfinite().all() for t in (total, nll, made, loud.grad))
