"""Means, variances and whitening over real tokens, of one process or of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from emotone.errors import DataError

#: Adds a tensor over the processes of a run, such as `training.distributed.Ranks.sum`.
SumOver = Callable[[Tensor], Tensor]

#: Added to a variance before its root is taken, as in trl.
_EPS = 1e-8


class Spread(NamedTuple):
    """Where values lie, all processes together.

    Args:
        mean: Their mean, a scalar.
        var: Their variance with Bessel's correction (divided by n - 1), a scalar.
        n: How many there are, a scalar.
    """

    mean: Tensor
    var: Tensor
    n: Tensor


def alone(values: Tensor) -> Tensor:
    """Add a tensor over one process: it is the sum already."""
    return values


def wide(device: torch.device) -> torch.dtype:
    """The type that sums are kept in: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def masked_mean(values: Tensor, mask: Tensor, *, sum_over: SumOver = alone) -> Tensor:
    """Average over real tokens.

    Args:
        values: [B, T]; what stands at padding is not looked at, even if it is not a number.
        mask: True at real tokens, [B, T].
        sum_over: Adds a tensor over processes; each must call.

    Returns:
        Scalar in the type of `values`, with its graph in one process; 0 where nothing is real.
    """
    kept = values.masked_fill(~mask, 0).to(wide(values.device))
    sums = sum_over(torch.stack([kept.sum(), mask.sum().to(kept.dtype)]))
    return (sums[0] / sums[1].clamp(min=1)).to(values.dtype)


def spread(values: Tensor, mask: Tensor, *, sum_over: SumOver = alone) -> Spread:
    """Mean and variance over real tokens, in float64.

    The squares are summed around the mean of all processes, in a second pass, so that N processes
    give what one gives.

    Args:
        values: [B, T]; what stands at padding is not looked at.
        mask: True at real tokens, [B, T].
        sum_over: Adds a tensor over processes; each must call.

    Raises:
        DataError: If there are fewer than 2 real tokens, of which no variance can be taken.
    """
    x = values.detach().masked_fill(~mask, 0).to(wide(values.device))
    sums = sum_over(torch.stack([x.sum(), mask.sum().to(x.dtype)]))
    mean, n = sums[0] / sums[1].clamp(min=1), sums[1]
    if n < 2:
        raise DataError(
            f"a variance needs 2 real tokens, but the batch has {int(n)}; give more replies a"
            " step, or longer ones"
        )
    squares = (x - mean).masked_fill(~mask, 0).square().sum()
    return Spread(mean, sum_over(squares[None])[0] / (n - 1), n)


def whiten(
    values: Tensor,
    mask: Tensor,
    *,
    shift_mean: bool = True,
    padding: bool = False,
    sum_over: SumOver = alone,
) -> Tensor:
    """Bring values to variance 1 over real tokens, and to mean 0 too if asked.

    The result is `(x - mean) / sqrt(var + 1e-8)`, plus `mean` where it is not shifted.

    trl whitens padding too. With `shift_mean=False` its zeros become `mean * (1 - 1 / std)`, and
    the advantages of real tokens then depend on how far their row happens to be padded. We leave
    0 there; `padding=True` does as trl does, for comparison.

    Args:
        values: [B, T].
        mask: True at real tokens, [B, T].
        shift_mean: Whether the mean is taken away. trl: False for rewards, True for advantages.
        padding: Whether padding is whitened as a value of 0 is.
        sum_over: Adds a tensor over processes; each must call.

    Returns:
        [B, T] in the type of `values`, without a graph; 0 at padding.

    Raises:
        DataError: If there are fewer than 2 real tokens.

    Source: trl 0.9.6, `masked_whiten`.
    """
    found = spread(values, mask, sum_over=sum_over)
    x = values.detach().masked_fill(~mask, 0).to(found.mean.dtype)
    made = (x - found.mean) * torch.rsqrt(found.var + _EPS)
    if not shift_mean:
        made = made + found.mean
    if not padding:
        made = made.masked_fill(~mask, 0)
    return made.to(values.dtype)
