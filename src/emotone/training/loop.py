"""The loop: every training of every system is this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import nn

from emotone.errors import DataError, RunError
from emotone.training.checkpoint import writing
from emotone.training.distributed import ranks
from emotone.training.run import Run
from emotone.training.seeding import own_randomness
from emotone.training.settings import Fitted, Training
from emotone.training.state import identity
from emotone.training.stopping import listening


def fit(
    model: nn.Module,
    *,
    train_plan: Callable[[int], list[np.ndarray]],
    collate: Callable[[np.ndarray], Any],
    dev_batches: Callable[[], Iterable[Any]] | None,
    settings: Training,
    out: Path,
    made_with: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Fitted:
    """Train a model, from the start or from where a killed run stood.

    The objective of a step is token_loss / tokens + row_loss / rows, all summed over the global
    batch. A run is a function of its arguments: interrupted and resumed, it gives the same weights
    and log (bit for bit in one process on the CPU with one thread), and several processes give the
    same as one but for rounding and dropout.

    Args:
        model: `forward(batch)` returns `emotone.nn.losses.Losses` and uses every parameter that
            takes a gradient. It is moved to the device and ends with its best weights, or the last
            ones where there is no development data.
        train_plan: Row indices of each global batch of an epoch, from its number (from 0).
        collate: Makes the batch of some rows, with `.to(device)`.
        dev_batches: Batches of the development data; each process takes its share of them.
        settings: How.
        out: Folder of the run, for `checkpoints/` and `log.jsonl`; all processes see the same one.
        made_with: What else the run depends on, such as a fingerprint of the data, of values that
            JSON has; a resumed run must have the same.
        progress: Whether to show progress on stderr.

    Returns:
        What came of it.

    Raises:
        ConfigError: If the run to resume was made with something else.
        CheckpointError: If the checkpoint to resume is damaged.
        DataError: If there is nothing to learn from.
        RunError: If the loss is no number any more, or the folder cannot be written.
        Stopped: If SIGTERM or SIGINT came; the run is saved.
    """
    plan = train_plan(0)
    if not plan or not all(len(batch) for batch in plan):
        raise DataError("there is no row to train on; give one or more a batch")
    with ExitStack() as stack:
        asked = stack.enter_context(listening())
        if settings.threads:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(settings.threads)
        team = ranks(settings.device, tensorboard=out if settings.tensorboard else None)
        team.first_does(lambda: alone(out, stack))
        stack.enter_context(own_randomness(team.device))
        made = identity(settings, model, plan, made_with or {})
        run = Run(model, team, settings, out, asked, dev_batches, made)
        stack.callback(run.close)
        run.open_logs(len(plan) * settings.epochs, shown=progress)

        state = run.state
        if state.pending:  # a signal broke the evaluation off
            run.evaluate()
            run.leave_if_asked()
        while state.stopped(settings) is None:
            batches = train_plan(state.epoch)
            while state.position < len(batches) and state.stopped(settings) is None:
                run.step(batches[state.position], collate)
                state.position += 1
                state.step += 1
                ended = state.position == len(batches)
                run.log_if_due()
                rhythm = settings.evaluate_every
                state.pending = dev_batches is not None and _due(rhythm, state.step, ended)
                if state.pending:
                    run.evaluate()
                if _due(settings.save_every or rhythm, state.step, ended):
                    run.save()
                run.leave_if_asked()
            if state.position == len(batches):
                state.epoch, state.position = state.epoch + 1, 0
        return run.finish()


def _due(every: int, step: int, ended: bool) -> bool:
    """Whether a step is the last of `every`, or without a rhythm the last of its epoch."""
    return step % every == 0 if every else ended


def alone(out: Path, stack: ExitStack) -> None:
    """Hold the folder until the stack closes; the lock of a killed run is free."""
    folder = out / "checkpoints"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"another run is training in {out}; wait for it or name another folder"
            ) from error
    stack.callback(lock.release)
