"""Random batches of replies, and processes that share one, for the tests of this folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

lengths = st.lists(st.integers(1, 7), min_size=2, max_size=6)
seeds = st.integers(0, 9999)


def mask_of(sizes: list[int], extra: int = 1) -> Tensor:
    """Mask of rows of given lengths, and some columns that are padding in every row."""
    return torch.arange(max(sizes) + extra) < torch.tensor(sizes)[:, None]


def noise(mask: Tensor, seed: int, *, scale: float = 1.0, loud: float = 0.0) -> Tensor:
    """Normal numbers, [B, T], in float64; `loud` at padding."""
    g = torch.Generator().manual_seed(seed)
    made = scale * torch.randn(mask.shape, generator=g, dtype=torch.float64)
    return made.masked_fill(~mask, loud)


def in_processes(parts: list[slice], run: Callable[[slice, Any], Any]) -> list[Any]:
    """Let `run(rows, sum_over)` do its rows in as many processes as there are parts.

    They are threads; a call of `sum_over` waits until each of them has called, as all-reduce does.
    """
    given: list[Any] = [None] * len(parts)
    made: list[Any] = [None] * len(parts)
    errors: list[BaseException] = []
    meet = threading.Barrier(len(parts))

    def work(rank: int) -> None:
        def sum_over(values: Tensor) -> Tensor:
            given[rank] = values
            meet.wait(timeout=300)
            total = torch.stack(given).sum(0)
            meet.wait(timeout=300)
            return total

        try:
            made[rank] = run(parts[rank], sum_over)
        except threading.BrokenBarrierError:
            pass
        except Exception as error:
            errors.append(error)
            meet.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return made
