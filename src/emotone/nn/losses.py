"""Losses over a large vocabulary, exact, without ever holding all logits."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Rows of logits that are held at once on a CPU: they stay in its cache.
CHUNK = 256
#: The same on a GPU, which wants few large products.
GPU_CHUNK = 8192
#: Words whose gradient is turned from bf16 to float32 at once.
_WORDS = 8192


class Losses(NamedTuple):
    """What a model lost on a batch, as sums, so that batches and processes add up.

    The objective of a batch, of all its processes together, is
    `sum(token_loss) / sum(tokens) + sum(row_loss) / sum(rows)`.

    Args:
        token_loss: Scalar with a graph, sum over target tokens.
        tokens: Number of target tokens, the end token included.
        row_loss: Scalar with a graph, sum over rows; 0 where there is none.
        rows: Number of rows.
        logged: Detached sums: "nll" over tokens of -log p(word), others over rows.
    """

    token_loss: Tensor
    tokens: int
    row_loss: Tensor
    rows: int
    logged: dict[str, Tensor]


class Allowed(NamedTuple):
    """Which words a softmax runs over, for each token.

    Args:
        masks: True at allowed words, [E, V].
        row: Which mask each token takes, [N].
    """

    masks: Tensor
    row: Tensor


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    *,
    token_weight: Tensor | None = None,
    allowed: Allowed | None = None,
    chunk: int = 0,
) -> tuple[Tensor, Tensor]:
    """Project to the vocabulary and take the cross entropy, a chunk of tokens at a time.

    Equal to `cross_entropy(hidden @ weight.T + bias, target)`, but only [chunk, V] logits exist at
    once. As the result is one scalar, gradients are known up to a factor while the logits are at
    hand: they are computed in the forward pass, and nothing is computed twice. Under autocast the
    three products are made in its type, all else in float32.

    Args:
        hidden: Features, [N, d].
        weight: Output embedding, [V, d].
        bias: [V], or None.
        target: Gold words, [N].
        token_weight: Weight of each token in the sum, [N]; None for 1.
        allowed: Words that the softmax runs over; every gold word must be among them.
        chunk: Tokens at once; 0 chooses by device.

    Returns:
        The weighted sum of -log p in nats, a scalar; and -log p of each token, [N], detached.

    Source: the memory-saving losses of Hsu et al. 2024 (Liger kernel), which are Triton only.
    """
    if chunk < 1:
        chunk = GPU_CHUNK if hidden.is_cuda else CHUNK
    kind = hidden.device.type
    low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    with torch.autocast(kind, enabled=False):
        return _LinearCrossEntropy.apply(  # pyright: ignore[reportReturnType]
            hidden.to(weight.dtype),
            weight,
            bias,
            target,
            None if token_weight is None else token_weight.to(weight.dtype),
            allowed,
            chunk,
            low,
        )


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        token_weight: Tensor | None,
        allowed: Allowed | None,
        chunk: int,
        low: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        wants = any(ctx.needs_input_grad[:3])
        nll = hidden.new_empty(len(hidden))
        grad_hidden = torch.empty_like(hidden) if wants else None
        grad_weight = torch.zeros_like(weight) if wants else None
        grad_bias = torch.zeros_like(bias) if wants and bias is not None else None
        # Made once and written over: touching fresh memory costs as much as the softmax.
        room = hidden.new_empty(min(chunk, len(hidden)), len(weight))
        # Mixed precision is for the products alone: sums over a vocabulary want float32.
        exact, small, features = low == weight.dtype, weight.to(low), hidden.to(low)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            h, y = hidden[part], target[part, None]
            logits = room[: len(h)]
            if not exact:
                logits.copy_(features[part] @ small.T)
                if bias is not None:
                    logits += bias
            elif bias is None:
                torch.mm(h, weight.T, out=logits)
            else:
                torch.addmm(bias, h, weight.T, out=logits)
            if allowed is not None:
                barred = allowed.masks.index_select(0, allowed.row[part]).logical_not_()
                logits.masked_fill_(barred, -torch.inf)
            # Not logsumexp, which is four times as slow as its parts; they are needed anyway.
            gold, top = logits.gather(1, y), logits.amax(1, keepdim=True)
            grads = logits.sub_(top).exp_()  # probabilities but for a factor, in place
            total = grads.sum(1, keepdim=True)
            nll[part] = (top + total.log() - gold)[:, 0]
            if grad_hidden is None or grad_weight is None:
                continue
            share = torch.ones_like(total) if token_weight is None else token_weight[part, None]
            grads.mul_(share / total).scatter_add_(1, y, -share)
            if exact:
                torch.mm(grads, weight, out=grad_hidden[part])
                grad_weight.addmm_(grads.T, h)
            else:
                rough = grads.to(low)
                grad_hidden[part] = rough @ small
                for words in range(0, len(weight), _WORDS):
                    some = slice(words, words + _WORDS)
                    grad_weight[some] += rough[:, some].T @ features[part]
            if grad_bias is not None:
                grad_bias += grads.sum(0)
        # Not saved as tensors of the graph, which would copy the weight's gradient once more.
        ctx.grads = grad_hidden, grad_weight, grad_bias
        ctx.mark_non_differentiable(nll)
        total = nll.sum() if token_weight is None else (nll * token_weight).sum()
        return total, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:  # pyright: ignore
        hidden, weight, bias = ctx.grads
        bias = None if bias is None else bias * grad
        return hidden * grad, weight * grad, bias, None, None, None, None, None


def sampled_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, negatives: int
) -> Tensor:
    """Cross entropy whose sum over the vocabulary is estimated from a sample of words.

    For training only: log p of the full softmax is what it estimates, and what a model is measured
    by. Words are drawn log-uniformly by id, which suits ids in falling frequency; one sample
    serves the whole batch. A drawn word counts for as many as it is drawn too seldom, so that the
    sum over the words that are not gold is right in the mean; the gold word itself is exact, and
    where it is drawn it does not count once more.

    Args:
        hidden: Features, [N, d].
        weight: Output embedding, [V, d].
        bias: [V], or None.
        target: Gold words, [N].
        negatives: Words drawn, with replacement.

    Returns:
        Sum over tokens, a scalar with a graph.

    Source: Bengio and Senécal 2008 and Jean et al. 2015 (importance sampling); the log-uniform
    draws are those of TensorFlow's `sampled_softmax_loss`, which draws without replacement and
    therefore corrects the gold word too.
    """
    words = len(weight)
    scale = math.log(words + 1)
    drawn = torch.rand(negatives, device=hidden.device).mul(scale).exp().long().sub(1)
    drawn.clamp_(0, words - 1)

    # log of how often a word is drawn
    often = torch.log1p(1.0 / (drawn + 1.0)).div(scale).mul(negatives).log()
    gold = (hidden * weight[target]).sum(-1)
    others = hidden @ weight[drawn].T
    if bias is not None:
        gold, others = gold + bias[target], others + bias[drawn]
    others = (others - often).masked_fill(drawn[None] == target[:, None], -torch.inf)
    together = torch.cat((gold[:, None], others), 1)
    return (together.logsumexp(-1) - gold).sum()
