"""What each reply and each of its tokens is rewarded with."""

from __future__ import annotations

import torch
from torch import Tensor

from emotone.rl.moments import Moments

#: What trl adds to a standard deviation of float32 scores.
_EPS = torch.finfo(torch.float32).eps


def scale_scores(scores: Tensor, moments: Moments, *, normalise: bool = True) -> Tensor:
    """Divide scores by the running standard deviation, after taking their mean away if asked.

    Moments are to hold these scores already, as in trl. Where all scores so far are equal, their
    deviation is 0 and says nothing of scale: we divide by 1, where trl divides by 1.2e-7 and so
    turns equal scores into rewards of millions.

    Args:
        scores: [B].
        moments: Of all scores so far, these included.
        normalise: Whether the running mean is taken away.

    Returns:
        [B], in the type of `scores`.

    Source: trl 0.9.6, `use_score_scaling` and `use_score_norm`.
    """
    std = moments.std
    by = std + _EPS if std > _EPS else 1.0
    return (scores - moments.mean) / by if normalise else scores / by


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, coefficient: float) -> Tensor:
    """Reward tokens: each pays for its divergence, and the last one gets the reply's score.

    Args:
        scores: What replies are worth, [B].
        kl: Divergence at each token, in nats, [B, T]; see `emotone.rl.kl.token_kl`.
        mask: True at real tokens, [B, T]. A row without any gets nothing.
        coefficient: What a nat costs.

    Returns:
        [B, T], in the type of `kl`; 0 at padding.

    Source: Ziegler et al. 2019 (arXiv 1909.08593), equation 2; trl 0.9.6, `compute_rewards`.
    """
    paid = (-coefficient * kl).masked_fill(~mask, 0)
    at = torch.arange(mask.shape[1], device=mask.device)
    last = (at * mask).amax(1, keepdim=True)
    is_last = (at == last) & mask
    return paid + is_last * scores.to(kl.dtype)[:, None]


def reply_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, coefficient: float) -> Tensor:
    """Reward whole replies: their score, less what the divergence of their tokens costs.

    Args:
        scores: What replies are worth, [B].
        kl: Divergence at each token, in nats, [B, T].
        mask: True at real tokens, [B, T].
        coefficient: What a nat costs.

    Returns:
        [B], in the type of `scores`: the row sums of `token_rewards`.

    Source: Ahmadian et al. 2024 (arXiv 2402.14740), section 2.
    """
    return scores - coefficient * kl.masked_fill(~mask, 0).sum(1).to(scores.dtype)
