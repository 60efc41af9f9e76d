"""What a model says of given replies: the log-probability of each token, entropy and value.

Log-probabilities are over what each token could have been sampled from: some tokens (a support), or
the whole vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from emotone.lm import head
from emotone.rl.policy import PolicyOutput, Replies

#: Tokens whose logits are worked on at once on a CPU: they stay in its cache.
_CHUNK = 64
#: The same on a GPU, which wants few large steps.
_GPU_CHUNK = 4096


class ValueHead(nn.Module):
    """What a state is worth: dropout and one linear map from the last state to a number.

    It is the critic, and shares the policy's trunk.

    Source: trl 0.9.6, `ValueHead`, as EmpRL (arXiv 2408.02976) uses it. Its gradient flows into
    the trunk there; `detach` keeps it out. Its weights begin at random there; here they begin at 0:
    a critic that knows nothing and says 0 makes an advantage the return alone, and one that says
    something at random buries it in noise until it has learned.

    Args:
        width: Size of a state.
        dropout: Share of a state that is dropped in training.
        detach: Whether the gradient stops at the state.
    """

    def __init__(self, width: int, *, dropout: float = 0.1, detach: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(1))
        self._dropout = nn.Dropout(dropout)
        self._detach = detach

    def forward(self, states: Tensor) -> Tensor:
        """Values of states, [..., d] -> [...], float32 whatever autocast says."""
        if self._detach:
            states = states.detach()
        with torch.autocast(states.device.type, enabled=False):
            return self._dropout(states.float()) @ self.weight + self.bias


def policy_output(
    model: nn.Module,
    hidden: Tensor,
    replies: Replies,
    value_head: ValueHead | None,
    *,
    entropy: bool = True,
    rows: Tensor | None = None,
) -> PolicyOutput:
    """Read log-probabilities, entropy and values of replies off a model's last states.

    Padding and tokens outside the support cost nothing.

    Args:
        model: Gives the output layer.
        hidden: The last state before each token, [B, T, d].
        replies: B rows of T tokens.
        value_head: The critic, or None for no values.
        entropy: Whether the entropy over the whole vocabulary is wanted too.
        rows: The output layer's weights of the support of real tokens, [N, K, d], if they were
            looked up already.
    """
    mask = replies.mask
    real = hidden[mask]
    per_token = _real_logprobs(model, real, replies, entropy, rows)
    return PolicyOutput(
        _at_real(per_token.logprobs, mask),
        _at_real(per_token.entropy, mask),
        None if value_head is None else _at_real(value_head(real), mask),
    )


def _real_logprobs(
    model: nn.Module, real: Tensor, replies: Replies, entropy: bool, rows: Tensor | None
) -> TokenLogprobs:
    """The same of the real tokens only, [N], from their states, [N, d]."""
    mask = replies.mask
    tokens = replies.tokens[mask]
    every = torch.ones_like(tokens, dtype=torch.bool)
    if replies.support is None:
        logits = head.logits(model, real)
        return vocabulary_logprobs(
            logits, tokens, every, temperature=replies.temperature, entropy=entropy
        )
    support = replies.support[mask]
    flat = Replies(tokens, every, support, replies.temperature)
    return support_logprobs(head.logits(model, real, support, rows), flat)


def _at_real(values: Tensor, mask: Tensor) -> Tensor:
    """Put what belongs to real tokens, [N], into [B, T], with 0 at padding."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


class TokenLogprobs(NamedTuple):
    """Log-probabilities of sampled tokens.

    Args:
        logprobs: Log-probability of each token, in nats, [B, T], float32; 0 at padding.
        entropy: Entropy of what it was sampled from, in nats, [B, T], float32; 0 at padding. It
            has no graph over the whole vocabulary.
    """

    logprobs: Tensor
    entropy: Tensor


def support_logprobs(logits: Tensor, replies: Replies) -> TokenLogprobs:
    """Log-probabilities of replies among what could have been sampled.

    Args:
        logits: Of the tokens of `replies.support`, [B, T, K], not yet divided by the temperature.
        replies: With a support, B rows of T tokens.

    Returns:
        Log-probabilities and entropy, both with a graph. A real token that the support lacks has
        a log-probability of minus infinity, as it cannot have been sampled.

    Raises:
        ValueError: If `replies` has no support.
    """
    if replies.support is None:
        raise ValueError("the replies have no support; use vocabulary_logprobs")
    logp = (logits.float() / replies.temperature).log_softmax(-1)
    same = replies.support == replies.tokens[..., None]
    # Not a sum over `same`: a support that holds a token twice must not count it twice.
    own = logp.gather(-1, same.to(torch.uint8).argmax(-1, keepdim=True))[..., 0]
    own = own.masked_fill(~same.any(-1), -torch.inf).masked_fill(~replies.mask, 0)
    p = logp.exp()
    # 0 * -inf is 0 here, as it is in the limit.
    entropy = -(p * logp.masked_fill(p == 0, 0)).sum(-1)
    return TokenLogprobs(own, entropy.masked_fill(~replies.mask, 0))


def vocabulary_logprobs(
    logits: Tensor,
    tokens: Tensor,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    entropy: bool = True,
) -> TokenLogprobs:
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
    return TokenLogprobs(*_Vocabulary.apply(logits, tokens, mask, temperature, entropy))  # pyright: ignore[reportGeneralTypeIssues]


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
        dtype = torch.promote_types(logits.dtype, torch.float32)
        logprobs = torch.zeros(mask.shape, dtype=dtype, device=logits.device)
        entropies = torch.zeros_like(logprobs)
        norms = torch.empty(len(at), 1, dtype=dtype, device=logits.device)
        step = _chunk(logits)
        for start in range(0, len(at), step):
            part = slice(start, start + step)
            x = flat[at[part]].to(dtype)
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
                p.mul_(x.clamp_(min=torch.finfo(dtype).min))  # 0 * -inf is 0 here
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
        gradient = torch.zeros_like(flat)
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
            gradient[at[part]] = grads.to(gradient.dtype)
        return gradient.view_as(logits), None, None, None, None
