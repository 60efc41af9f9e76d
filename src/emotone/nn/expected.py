"""Emo-Seq's guidance: a frozen classifier hears the words that the decoder expects to say.

Source: Emo-Seq, equations 3-12 to 3-15; EmoDS (Song et al. 2019) for the parent method.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from emotone.nn.losses import CHUNK, GPU_CHUNK


class BagClassifier(nn.Module):
    """M(e | Y) = softmax(W_e * mean of word embeddings).

    Args:
        embedding: Word embeddings, [V, d].
        emotions: Number of emotions, k.
    """

    embedding: Tensor

    def __init__(self, embedding: Tensor, emotions: int) -> None:
        super().__init__()
        self.register_buffer("embedding", embedding)
        self.weight = nn.Parameter(torch.zeros(emotions, embedding.shape[1]))

    def forward(self, mean: Tensor) -> Tensor:
        """Return logits [B, k] from mean embeddings [B, d] (equation 3-12)."""
        return mean @ self.weight.T


def expected_embeddings(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    embedding: Tensor,
    *,
    threshold: float = 0.01,
    most: int = 50,
    renormalise: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the words' cross entropy and, of each step, the embedding that is expected.

    Emb_new(t) = sum over kept words of P(w) Emb(w): kept are words with P >= threshold, at least
    the likeliest and at most `most`. Which words are kept has no gradient; their P has. Logits are
    made a chunk at a time and once more in the backward pass.

    Args:
        features: [N, d'].
        weight: Output embedding, [V, d'].
        bias: [V], or None.
        target: Gold words, [N].
        embedding: The classifier's embeddings, [V, d].
        threshold: Least probability of a kept word; 0 keeps the `most` likeliest.
        most: Most words a step.
        renormalise: Whether kept probabilities are scaled to sum to 1; the paper does not say.

    Returns:
        Sum of -log p(gold word), scalar; -log p of each token, [N], detached; expected embeddings,
        [N, d].

    Source: Emo-Seq, equation 3-13, with the threshold's value and the limit our choice.
    """
    most = min(most, len(weight))

    def part(h: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = h @ weight.T if bias is None else torch.addmm(bias, h, weight.T)
        logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        total = logits.logsumexp(-1, keepdim=True)
        nll = (total - logits.gather(1, y[:, None]))[:, 0]
        top, words = logits.topk(most, dim=-1)
        p = (top - total).exp()
        keep = p >= threshold
        keep[:, 0] = True
        p = p * keep
        if renormalise:
            p = p / p.sum(-1, keepdim=True)
        return nll, torch.bmm(p[:, None].to(embedding.dtype), embedding[words])[:, 0]

    chunk = GPU_CHUNK if features.is_cuda else CHUNK
    losses: list[Tensor] = []
    means: list[Tensor] = []
    for start in range(0, max(1, len(features)), chunk):
        h, y = features[start : start + chunk], target[start : start + chunk]
        if len(features) > chunk and torch.is_grad_enabled():
            nll, mean = checkpoint(part, h, y, use_reentrant=False, preserve_rng_state=False)
        else:
            nll, mean = part(h, y)
        losses.append(nll)
        means.append(mean)
    nll = torch.cat(losses)
    return nll.sum(), nll.detach(), torch.cat(means)
