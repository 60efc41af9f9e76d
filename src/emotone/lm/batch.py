"""Lists of token ids as padded batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pad(rows: Sequence[Sequence[int]], token: int, *, left: bool) -> tuple[Tensor, Tensor]:
    """Make a batch of lists of token ids.

    Args:
        rows: Token ids, one list a row.
        token: What fills the shorter ones.
        left: Whether the padding comes first, as a causal model's prompt needs.

    Returns:
        Ids and mask, True at real tokens, both [B, T].
    """
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), token)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        real = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[i, real] = torch.tensor(row, dtype=torch.long)
        mask[i, real] = True
    return ids, mask


def pad_pairs(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], token: int, *, left: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Make a batch of prompts, each followed by its reply.

    Args:
        pairs: Token ids of the prompt, which may be empty, and of the reply.
        token: What fills the shorter rows.
        left: Whether the padding comes first.

    Returns:
        Ids; mask, True at real tokens; and True at the tokens of the replies; all [B, T].
    """
    ids, mask = pad([[*prompt, *reply] for prompt, reply in pairs], token, left=left)
    of_reply, _ = pad([[0] * len(p) + [1] * len(r) for p, r in pairs], 0, left=left)
    return ids, mask, of_reply.bool()
