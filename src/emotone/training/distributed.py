"""The processes of a run: one, or as many as torchrun started."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.tracking import is_tensorboard_available
from accelerate.utils import broadcast_object_list
from torch import Tensor

from emotone.errors import EmotoneError, RunError, Unsupported
from emotone.models import devices

T = TypeVar("T")


def is_first_process() -> bool:
    """Tell whether this process writes files: the only one, or the first of several."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not several or torch.distributed.get_rank() == 0


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes that share each batch.

    Args:
        accelerator: accelerate's view of them.
        rank: Number of this one, from 0.
        world: How many there are.
        device: Where this one computes.
    """

    accelerator: Accelerator
    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add tensors of equal shape over all processes; each gets the sum."""
        if self.world == 1:
            return values
        return self.accelerator.reduce(values, "sum")  # pyright: ignore[reportReturnType]

    def rows(self, batch: np.ndarray) -> tuple[np.ndarray, bool]:
        """Take this process's share of a global batch.

        Returns:
            Row indices, and whether they count. A process that a short batch has no row for takes
            the first one without counting it, as every process must take part in the backward pass.
        """
        own = batch[self.rank :: self.world]
        return (own, True) if len(own) else (batch[:1], False)

    def autocast(self, precision: str) -> torch.autocast:
        """Compute in "fp32", or matrix products in "bf16", inside."""
        half = precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def first_does(self, act: Callable[[], T]) -> T:
        """Let the first process do something; its result or error is everybody's."""
        if self.world == 1:
            return act()
        outcome: list[Any] = [None, None]
        if self.first:
            try:
                outcome[0] = act()
            except EmotoneError as error:
                outcome[1] = error
        broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]


def ranks(device: str, *, tensorboard: Path | None = None) -> Ranks:
    """Join the processes of this run.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        tensorboard: Folder to write tensorboard's files to; None for none.

    Raises:
        Unsupported: If the device or the library tensorboard is not here.
        RunError: If torchrun started more processes than found each other.
    """
    if tensorboard is not None and not is_tensorboard_available():
        raise Unsupported("tensorboard is not installed; pip install tensorboard, or leave it off")
    device = devices.place(device).type
    # accelerate keeps the first run's answer for the whole process; a second run may differ.
    AcceleratorState._reset_state()
    if not torch.distributed.is_initialized():
        PartialState._reset_state()
    try:
        accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision="no",  # `Ranks.autocast` says what runs in bfloat16
            log_with=None if tensorboard is None else "tensorboard",
            project_dir=tensorboard,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"the processes cannot join ({reason}); check torchrun's settings"
        ) from error
    started = int(os.environ.get("WORLD_SIZE", "1"))
    joined = accelerator.num_processes
    if joined != started:
        raise RunError(
            f"torchrun started {started} processes, but {joined} joined; start them by torchrun or"
            " accelerate launch only"
        )
    if joined > 1:
        # Not at the end of a run, as the next one in this process needs the group again.
        atexit.unregister(_leave)
        atexit.register(_leave)
    if tensorboard is not None:
        accelerator.init_trackers("tensorboard")
    return Ranks(accelerator, accelerator.process_index, joined, accelerator.device)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
