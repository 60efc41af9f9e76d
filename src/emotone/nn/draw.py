"""Drawing words from distributions, with uniform numbers that were drawn before."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

#: Likeliest words that are looked at for the nucleus; all are where these do not fill it.
_NUCLEUS = 512


def draw(p: Tensor, u: Tensor, top_p: float) -> Tensor:
    """Draw a word for each row from its nucleus: p [N, V], u [N] uniform in [0, 1)."""
    if top_p >= 1.0:
        return invert(p, u)
    top = p.topk(min(_NUCLEUS, p.shape[1]))
    below = top.values.cumsum(-1)
    inside = below - top.values < top_p
    token = top.indices.gather(1, invert(top.values * inside, u)[:, None])[:, 0]
    wide = ((below[:, -1] < top_p) & (p.shape[1] > _NUCLEUS)).nonzero()[:, 0]
    if len(wide):
        token[wide] = invert(nucleus(p[wide], top_p), u[wide])
    return token


def nucleus(p: Tensor, top_p: float) -> Tensor:
    """Set to 0 what lies outside the nucleus, p [N, V]; words as likely as its last are inside."""
    # numpy sorts values alone several times faster than torch does on a CPU.
    rising = torch.from_numpy(np.sort(p.cpu().numpy(), axis=-1)).to(p.device)
    falling = rising.flip(-1)
    inside = falling.cumsum(-1) - falling < top_p
    last = falling.gather(1, inside.sum(-1, keepdim=True) - 1)
    return p * (p >= last)


def invert(weight: Tensor, u: Tensor) -> Tensor:
    """Return the place where each row's share of weight passes u: weight [N, k], u [N]."""
    below = weight.cumsum(-1)
    # u is at most 1 - 2^-24, so that even rounded it stays below the last word with weight.
    return torch.searchsorted(below, u[:, None] * below[:, -1:], right=True)[:, 0]
