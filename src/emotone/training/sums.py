"""Running sums of what a model returns, kept on its device so that no step waits for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from emotone.errors import RunError

TOKENS, ROWS, TOKEN_LOSS, ROW_LOSS = _FIXED = ("tokens", "rows", "token_loss", "row_loss")


def vector(losses: Any, device: torch.device, *, counts: bool = True) -> tuple[list[str], Tensor]:
    """Put the sums of one batch into one tensor.

    Args:
        losses: What the model returned, `emotone.nn.losses.Losses`.
        device: Where the model is.
        counts: Whether the batch counts; else all are 0.

    Returns:
        Names, and values [n] in float64 where the device has it. Tokens and rows come first.
    """
    # Apple's GPUs have no float64.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    names = [*_FIXED, *sorted(losses.logged)]
    each = [losses.tokens, losses.rows, losses.token_loss, losses.row_loss]
    each += [losses.logged[name] for name in names[len(_FIXED) :]]
    parts = [
        # A fill, unlike a copy from the CPU, does not wait for the device.
        v.detach().to(dtype)
        if isinstance(v, Tensor)
        else torch.full((), float(v), dtype=dtype, device=device)
        for v in each
    ]
    values = torch.stack(parts)
    return names, values if counts else torch.zeros_like(values)


class Sums:
    """Sums since some step.

    Args:
        before: Sums of all processes to go on from, as `read` gave them; None to begin with 0.
        first: Whether this process is the one to add them to.
    """

    def __init__(self, before: Mapping[str, float] | None = None, *, first: bool = True) -> None:
        self._before = dict(before or {})
        self._first = first
        self._names: list[str] = []
        self._total: Tensor | None = None

    def add(self, names: list[str], values: Tensor) -> None:
        """Add the sums of a batch."""
        if self._total is None:
            self._names = names
            self._total = torch.zeros_like(values)
            if self._before and self._first:
                begun = [self._before.get(name, 0.0) for name in names]
                self._total += torch.tensor(begun, dtype=values.dtype).to(values.device)
        if names != self._names:
            raise RunError(
                f"the model logs {', '.join(names[4:])}, before {', '.join(self._names[4:])}; let"
                " `forward` return the same names each time"
            )
        self._total += values

    def read(self, total: Callable[[Tensor], Tensor] = lambda t: t) -> dict[str, float]:
        """Wait for the device and return the sums by name.

        Args:
            total: Adds a tensor over the processes of the run.
        """
        if self._total is None:
            return dict(self._before)
        return dict(zip(self._names, total(self._total).tolist(), strict=True))


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """Turn sums into what is logged.

    Returns:
        "loss", the objective, which is nats per token and the mean of the rows' losses; "nll" per
        token and other terms per row.
    """
    tokens, rows = max(sums[TOKENS], 1.0), max(sums[ROWS], 1.0)
    averages = {"loss": sums[TOKEN_LOSS] / tokens + sums[ROW_LOSS] / rows}
    for name, value in sums.items():
        if name not in _FIXED:
            averages[name] = value / (tokens if name == "nll" else rows)
    return averages


def finite(sums: Mapping[str, float]) -> bool:
    """Whether every sum is a number."""
    return all(map(math.isfinite, sums.values()))
