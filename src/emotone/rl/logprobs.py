"""Log-probabilities of drawn tokens, over the whole vocabulary or over what could be drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from emotone.rl.types import Written

#: Tokens whose logits are worked on at once on a CPU: they stay in its cache.
_CHUNK = 64
#: The same on a GPU, which wants few large steps.
_GPU_CHUNK = 4096


class Drawn(NamedTuple):
    """What a model says of drawn tokens.

    Args:
        logprobs: Log-probability of each token, in nats, [B, T], float32; 0 at padding.
        entropy: Entropy of what it was drawn from, in nats, [B, T], float32; 0 at padding. It has
            no graph over the whole vocabulary.
    """

    logprobs: Tensor
    entropy: Tensor


def drawn_logprobs(logits: Tensor, written: Written, *, entropy: bool = True) -> Drawn:
    """Log-probabilities of replies from a model's logits over the whole vocabulary.

    Where `written` has a support, only its logits are looked at.

    Args:
        logits: [B, T, V]; those at t predict token t. Any float type; sums are in float32.
        written: The replies, B rows of T tokens.
        entropy: Whether to take the entropy over the whole vocabulary too; else it is 0. Over a
            support it costs nothing and is always taken.

    Returns:
        Log-probabilities with a graph, and entropy.
    """
    if written.support is None:
        return vocabulary_logprobs(
            logits, written.tokens, written.mask, temperature=written.temperature, entropy=entropy
        )
    return support_logprobs(logits.gather(-1, written.support), written)


def support_logits(
    hidden: Tensor, weight: Tensor, support: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Logits of the support alone, from the last hidden state and the output embedding.

    K rows of the embedding are taken for each token in place of V: for the updates of a policy
    with a vocabulary of 50,000 and a support of 20, the output layer all but vanishes.

    Args:
        hidden: What the output layer would be given, [B, T, d].
        weight: Its weight, [V, d].
        support: Token ids, [B, T, K].
        bias: Its bias, [V], or None.

    Returns:
        [B, T, K], float32 whatever autocast says: ratios of close probabilities need it.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        rows = functional.embedding(support, weight).float()
        made = (rows @ hidden.float()[..., None])[..., 0]
        return made if bias is None else made + bias[support].float()


def support_logprobs(logits: Tensor, written: Written) -> Drawn:
    """Log-probabilities of replies among what could have been drawn.

    Args:
        logits: Of the tokens of `written.support`, [B, T, K], not yet divided by the temperature.
        written: The replies, with a support.

    Returns:
        Log-probabilities and entropy, both with a graph. A real token that the support lacks has
        a log-probability of minus infinity, as it cannot have been drawn.

    Raises:
        ValueError: If `written` has no support.
    """
    if written.support is None:
        raise ValueError("the replies have no support; use vocabulary_logprobs")
    logp = (logits.float() / written.temperature).log_softmax(-1)
    same = written.support == written.tokens[..., None]
    # Not a sum over `same`: a support that holds a token twice must not count it twice.
    own = logp.gather(-1, same.to(torch.uint8).argmax(-1, keepdim=True))[..., 0]
    own = own.masked_fill(~same.any(-1), -torch.inf).masked_fill(~written.mask, 0)
    p = logp.exp()
    # 0 * -inf is 0 here, as it is in the limit.
    entropy = -(p * logp.masked_fill(p == 0, 0)).sum(-1)
    return Drawn(own, entropy.masked_fill(~written.mask, 0))


def vocabulary_logprobs(
    logits: Tensor,
    tokens: Tensor,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    entropy: bool = True,
) -> Drawn:
    """Log-probabilities of tokens over the whole vocabulary.

    Beside the logits, only those of some tokens at once exist in the forward pass; the backward
    pass makes the gradient of the logits and nothing else of their size. Padding is not computed.

    Args:
        logits: [B, T, V]; those at t predict token t. Any float type.
        tokens: Token ids, [B, T].
        mask: True at real tokens, [B, T].
        temperature: What divides the logits.
        entropy: Whether to take the entropy too; else it is 0.

    Returns:
        Log-probabilities with a graph, and entropy without one.
    """
    logprobs, spread = _Vocabulary.apply(logits, tokens, mask, temperature, entropy)  # pyright: ignore[reportGeneralTypeIssues]
    return Drawn(logprobs, spread)


def _chunk(logits: Tensor) -> int:
    return _GPU_CHUNK if logits.is_cuda else _CHUNK


class _Vocabulary(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, logits: Tensor, tokens: Tensor, mask: Tensor, temperature: float, entropy: bool
    ) -> tuple[Tensor, Tensor]:
        flat, at = logits.flatten(0, -2), mask.flatten().nonzero()[:, 0]
        gold = tokens.flatten()[at, None]
        # Where a sum ends up: float32 for all but float64, which tests use.
        kept = torch.promote_types(logits.dtype, torch.float32)
        logprobs = torch.zeros(mask.shape, dtype=kept, device=logits.device)
        entropies = torch.zeros_like(logprobs)
        norms = torch.empty(len(at), 1, dtype=kept, device=logits.device)
        step = _chunk(logits)
        for start in range(0, len(at), step):
            part = slice(start, start + step)
            x = flat[at[part]].to(kept)
            if temperature != 1:
                x /= temperature
            own, top = x.gather(1, gold[part]), x.amax(1, keepdim=True)
            x -= top
            # Not logsumexp, which is slower than its parts; they are needed for the entropy too.
            p = x.exp()
            total = p.sum(1, keepdim=True)
            norms[part] = top + total.log()
            logprobs.view(-1)[at[part]] = (own - norms[part])[:, 0]
            if entropy:
                p.mul_(x.clamp_(min=torch.finfo(kept).min))  # 0 * -inf is 0 here
                entropies.view(-1)[at[part]] = (total.log() - p.sum(1, keepdim=True) / total)[:, 0]
        ctx.save_for_backward(logits, at, gold, norms)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, of_logprobs: Tensor, _: Tensor
    ) -> tuple[Tensor, None, None, None, None]:
        logits, at, gold, norms = ctx.saved_tensors
        flat = logits.flatten(0, -2)
        made = torch.zeros_like(flat)
        share = of_logprobs.flatten()[at, None] / ctx.temperature
        step = _chunk(logits)
        for start in range(0, len(at), step):
            part = slice(start, start + step)
            x = flat[at[part]].to(norms.dtype)
            if ctx.temperature != 1:
                x /= ctx.temperature
            # The gradient of log p(y) is 1 at y, less the probabilities.
            grads = x.sub_(norms[part]).exp_().mul_(-share[part])
            grads.scatter_add_(1, gold[part], share[part])
            made[at[part]] = grads.to(made.dtype)
        return made.view_as(logits), None, None, None, None
