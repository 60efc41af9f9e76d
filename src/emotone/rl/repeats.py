"""Prompts that occur more than once in a batch, as in group sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from emotone.rl.types import Prompts


def repeats(prompts: Prompts) -> tuple[Prompts, Tensor | None]:
    """Return each prompt once, and the place among them of every row, [B]; None if all differ."""
    first: dict[tuple[int, ...], int] = {}
    kept: list[int] = []
    rows: list[int] = []
    ids, mask = prompts.ids.tolist(), prompts.mask.tolist()
    for i, (row, real) in enumerate(zip(ids, mask, strict=True)):
        key = tuple(token if here else -1 for token, here in zip(row, real, strict=True))
        if key not in first:
            first[key] = len(kept)
            kept.append(i)
        rows.append(first[key])
    if len(kept) == len(rows):
        return prompts, None
    device = prompts.ids.device
    return prompts.rows(torch.tensor(kept, device=device)), torch.tensor(rows, device=device)
