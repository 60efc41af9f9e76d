"""What the processes of a run tell one another, so that many give what one gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from emotone.rl.masked import wide
from emotone.training.distributed import Ranks

T = TypeVar("T")


def whole(team: Ranks, own: np.ndarray | Tensor, at: np.ndarray, rows: int) -> Tensor:
    """Put together what each process knows of its rows.

    Args:
        team: The processes.
        own: A number for each row of this process, [b].
        at: The places of these rows in the global batch, [b].
        rows: Rows of the global batch, B.

    Returns:
        A number for each row, [B], on the CPU; the same in every process.
    """
    found = torch.zeros(rows, dtype=wide(team.device), device=team.device)
    places = torch.from_numpy(at).to(team.device)
    found[places] = torch.as_tensor(own).to(found)
    return team.sum(found).cpu()


def all_of(team: Ranks, own: Sequence[T]) -> list[T]:
    """Join the lists of all processes, in the order of the processes."""
    return list(own) if team.world == 1 else gather_object(list(own))
