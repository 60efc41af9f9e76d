"""ECM's external memory: words that carry an emotion have a softmax of their own.

A type selector says how likely an emotion word comes next; generic words and emotion words then
share one matrix of logits and two softmaxes over disjoint sets. All of it in log space, where the
product of a small gate and a small probability does not vanish.

Source: Zhou et al. 2018 (ECM), equations 11 to 15, and its released code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from emotone.nn.losses import Allowed, linear_cross_entropy


class ExternalMemory(nn.Module):
    """Type selector and word sets of each emotion.

    An emotion whose set is empty answers from all words by one softmax: there is no type to
    select, where the released code would lose the selector's probability.

    Args:
        width: Width of the features, d.
        masks: True at the emotion words of each emotion, [E, V].
    """

    masks: Tensor
    sides: Tensor

    def __init__(self, width: int, masks: Tensor) -> None:
        super().__init__()
        self.select = nn.Linear(width, 1)
        self.register_buffer("masks", masks, persistent=False)
        empty = ~masks.any(1, keepdim=True)
        # Row e: words that are generic for e; row E + e: its emotion words.
        self.register_buffer("sides", torch.cat((~masks | empty, masks | empty)), persistent=False)

    def log_probabilities(self, features: Tensor, logits: Tensor, emotion: Tensor) -> Tensor:
        """Return log p of every word, [B, V] (equation 14).

        Args:
            features: [B, d].
            logits: Of all words, [B, V].
            emotion: Of each row, [B].
        """
        masks = self.masks[emotion]
        some = masks.any(-1, keepdim=True)
        gate = self.select(features)
        words = _over(logits, masks) + logsigmoid(gate)
        generic = _over(logits, ~masks) + torch.where(some, logsigmoid(-gate), 0.0)
        return torch.where(masks, words, generic)

    def nll(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        emotion: Tensor,
        *,
        token_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of gold words and of their types (equation 15).

        The probability of a word is that of its type times that within its set, so only the gold
        word's set is normalised.

        Args:
            features: [N, d].
            weight: Output embedding, [V, d].
            bias: [V], or None.
            target: Gold words, [N].
            emotion: Of each token's row, [N].
            token_weight: Weight of each token in the sums, [N]; None for 1.

        Returns:
            Weighted sum of -log p(word), scalar; weighted sum of the type selector's cross entropy
            (both types count, as in the code; the equation prints the emotion words' only),
            scalar; -log p(word) of each token, [N], detached.
        """
        is_emotion = self.masks[emotion, target]
        some = self.masks.any(1)[emotion]
        row = emotion + len(self.masks) * is_emotion.long()
        within, nll = linear_cross_entropy(
            features,
            weight,
            bias,
            target,
            token_weight=token_weight,
            allowed=Allowed(self.sides, row),
        )
        gate = self.select(features)[:, 0]
        types = -logsigmoid(torch.where(is_emotion, gate, -gate)) * some
        type_loss = types.sum() if token_weight is None else (types * token_weight).sum()
        return within + type_loss, type_loss, nll + types.detach()


def _over(logits: Tensor, mask: Tensor) -> Tensor:
    """Log-softmax over the masked words; rows without any are finite and never read."""
    total = logits.masked_fill(~mask, -torch.inf).logsumexp(-1, keepdim=True)
    return logits - torch.where(total.isfinite(), total, 0.0)


def word_masks(lists: Sequence[Sequence[int]], words: int) -> Tensor:
    """Make the masks [E, V] from ids of emotion words, one list an emotion."""
    masks = torch.zeros(len(lists), words, dtype=torch.bool)
    for row, ids in zip(masks, lists, strict=True):
        row[list(ids)] = True
    return masks
