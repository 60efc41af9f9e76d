"""Mean and spread of all scores that a run has seen so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emotone.rl.masked import SumOver, alone, wide


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of the scores so far.

    Args:
        mean: Their mean.
        var: Their variance, divided by n.
        count: How many; begins just above 0, so that the first update forgets the two above.
    """

    mean: float = 0.0
    var: float = 1.0
    count: float = 1e-24

    @property
    def std(self) -> float:
        """Standard deviation, divided by n - 1; 1 while fewer than two scores are known."""
        if self.count <= 1:
            return 1.0
        return (self.var * self.count / (self.count - 1)) ** 0.5


def update(moments: Moments, scores: Tensor, *, sum_over: SumOver = alone) -> Moments:
    """Take in the scores of one step.

    Numbers are float64, where trl's are float32; they agree to float32's precision.

    Args:
        moments: What was known before.
        scores: Of this process's replies, [B]; may be empty where other processes have some.
        sum_over: Adds a tensor over processes; each must call.

    Returns:
        What is known now, the same in every process.

    Source: Chan et al. 1979, the parallel variance; trl 0.9.6, `RunningMoments`.
    """
    x = scores.detach().to(wide(scores.device))
    total, count = sum_over(
        torch.stack([x.sum(), torch.full((), float(len(x)), dtype=x.dtype, device=x.device)])
    ).tolist()
    if count == 0:
        return moments
    mean = total / count
    # Around the mean of all processes: sums of raw squares would lose what small spreads are.
    squares = sum_over((x - mean).square().sum()[None]).item()
    delta, both = mean - moments.mean, moments.count + count
    old = moments.var * moments.count + delta**2 * moments.count * count / both
    return Moments(moments.mean + delta * count / both, (old + squares) / both, both)
