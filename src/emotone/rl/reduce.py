"""Means, variances and whitening over real tokens, and what processes gather from one another.

All of it is the same for one process and for many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from emotone.errors import DataError
from emotone.training.distributed import Ranks

T = TypeVar("T")

#: Adds a tensor over the processes of a run, such as `training.distributed.Ranks.sum`.
SumOver = Callable[[Tensor], Tensor]

#: Added to a variance before its root is taken, as in trl.
_EPS = 1e-8


class MaskedMoments(NamedTuple):
    """Mean and variance of real tokens, all processes together.

    Args:
        mean: Their mean, a scalar.
        var: Their variance with Bessel's correction (divided by n - 1), a scalar.
        n: How many there are, a scalar.
    """

    mean: Tensor
    var: Tensor
    n: Tensor


def one_process(values: Tensor) -> Tensor:
    """Reduction for a single process: returns its input."""
    return values


def sum_dtype(device: torch.device) -> torch.dtype:
    """The type that sums are kept in: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def masked_mean(values: Tensor, mask: Tensor, *, sum_over: SumOver = one_process) -> Tensor:
    """Average over real tokens.

    Args:
        values: [B, T]; padding is not looked at, even if it is NaN.
        mask: True at real tokens, [B, T].
        sum_over: Adds a tensor over processes; each must call.

    Returns:
        Scalar in the type of `values`, with its graph in one process; 0 where nothing is real.
    """
    real = values.masked_fill(~mask, 0).to(sum_dtype(values.device))
    sums = sum_over(torch.stack([real.sum(), mask.sum().to(real.dtype)]))
    return (sums[0] / sums[1].clamp(min=1)).to(values.dtype)


def masked_moments(
    values: Tensor, mask: Tensor, *, sum_over: SumOver = one_process
) -> MaskedMoments:
    """Mean and variance over real tokens, in float64.

    The squares are summed around the mean of all processes, in a second pass, so that N processes
    give what one gives.

    Args:
        values: [B, T]; padding is not looked at.
        mask: True at real tokens, [B, T].
        sum_over: Adds a tensor over processes; each must call.

    Raises:
        DataError: If there are fewer than 2 real tokens, of which no variance can be taken.
    """
    x = values.detach().masked_fill(~mask, 0).to(sum_dtype(values.device))
    sums = sum_over(torch.stack([x.sum(), mask.sum().to(x.dtype)]))
    mean, n = sums[0] / sums[1].clamp(min=1), sums[1]
    if n < 2:
        raise DataError(
            f"a variance needs 2 real tokens, but the batch has {int(n)}; give more replies a"
            " step, or longer ones"
        )
    squares = (x - mean).masked_fill(~mask, 0).square().sum()
    return MaskedMoments(mean, sum_over(squares[None])[0] / (n - 1), n)


def whiten(
    values: Tensor, mask: Tensor, *, shift_mean: bool = True, sum_over: SumOver = one_process
) -> Tensor:
    """Bring values to variance 1 over real tokens, and to mean 0 too if requested.

    The result is `(x - mean) / sqrt(var + 1e-8)`, plus `mean` where it is not shifted.

    Difference from trl, which whitens padding too: with `shift_mean=False` its zeros become
    `mean * (1 - 1 / std)`, and the advantages of real tokens then depend on how far their row
    happens to be padded. Padding stays 0 here.

    Args:
        values: [B, T].
        mask: True at real tokens, [B, T].
        shift_mean: Whether the mean is taken away. trl: False for rewards, True for advantages.
        sum_over: Adds a tensor over processes; each must call.

    Returns:
        [B, T] in the type of `values`, without a graph; 0 at padding.

    Raises:
        DataError: If there are fewer than 2 real tokens.

    Source: trl 0.9.6, `masked_whiten`.
    """
    moments = masked_moments(values, mask, sum_over=sum_over)
    x = values.detach().masked_fill(~mask, 0).to(moments.mean.dtype)
    whitened = (x - moments.mean) * torch.rsqrt(moments.var + _EPS)
    if not shift_mean:
        whitened = whitened + moments.mean
    return whitened.masked_fill(~mask, 0).to(values.dtype)


def gather_rows(team: Ranks, own: np.ndarray | Tensor, at: np.ndarray, rows: int) -> Tensor:
    """Put together one number a row of the global batch.

    Args:
        team: The processes.
        own: A number for each row of this process, [b].
        at: The places of these rows in the global batch, [b].
        rows: Rows of the global batch, B.

    Returns:
        A number for each row, [B], on the CPU; the same in every process.
    """
    whole = torch.zeros(rows, dtype=sum_dtype(team.device), device=team.device)
    places = torch.from_numpy(at).to(team.device)
    whole[places] = torch.as_tensor(own).to(whole)
    return team.sum(whole).cpu()


def gather_list(team: Ranks, own: Sequence[T]) -> list[T]:
    """Join the lists of all processes, in the order of the processes."""
    return list(own) if team.world == 1 else gather_object(list(own))
