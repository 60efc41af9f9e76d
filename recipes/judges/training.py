"""What the trainings of judges share: frozen blocks run once, and steps that outlive a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from emotone.training.run import Measurement, Run, Task, prepared
from emotone.training.settings import RunSettings
from emotone.training.state import State

B = TypeVar("B")

SETTINGS = RunSettings(save_every=100, log_every=50, patience=0, device="cpu")
FIGURES = {"loss": "loss {:.3f}"}


@dataclass(kw_only=True)
class Progress(State):
    """Where the training of a judge stands.

    Args:
        loss: Sum over the steps since the last line of the log.
        counted: How many these are.
        generator: State of torch's generator, in hex: dropout goes on where it was.
    """

    loss: float = 0.0
    counted: int = 0
    generator: str = ""


@torch.inference_mode()
def frozen_states(
    rows: Sequence[list[int]], blocks: Callable[[list[list[int]]], Tensor], *, batch: int = 64
) -> list[Tensor]:
    """Run the frozen blocks once, over rows of like length.

    Args:
        rows: Token ids of each text.
        blocks: Token ids of some texts to their states, [B, T, d], padded on the right.
        batch: How many.

    Returns:
        States of each text, [T, d] in bfloat16.
    """
    states = [torch.empty(0)] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(order), batch):
        at = order[start : start + batch]
        for i, row in zip(at, blocks([rows[i] for i in at]), strict=True):
            states[i] = row[: len(rows[i])].bfloat16().clone()
    return states


def pad_states(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """States [B, T, d], padded on the right, and mask [B, T], True at real tokens."""
    lengths = torch.tensor([len(s) for s in states])
    padded = nn.utils.rnn.pad_sequence(list(states), batch_first=True)
    return padded, torch.arange(padded.shape[1])[None] < lengths[:, None]


def train(
    batches: Iterable[B],
    loss_of: Callable[[B], Tensor],
    *,
    steps: int,
    rates: Callable[[int], Sequence[float]],
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    out: Path | None,
    identity: Mapping[str, Any],
    epoch: int = 0,
    measure: Callable[[int], dict[str, Any]] | None = None,
    progress: bool = True,
) -> list[Any]:
    """Make steps; killed, the same call goes on, and on one thread it ends with the same weights.

    Args:
        batches: The batch of every step, the same each time.
        loss_of: Loss of a batch.
        steps: How many.
        rates: Learning rate of each group of the optimiser, from the number of the step.
        parameters: What is trained, by name.
        optimizer: Changes it.
        out: Folder of the run; None keeps nothing.
        identity: All that the run depends on, of values that JSON has.
        epoch: Steps of an epoch, after which `measure` is called with the number of the step.
        measure: Measures the development data; the last weights stay, however good they are.
        progress: Whether to show progress.

    Returns:
        What `measure` returned, in order.
    """
    left = iter(batches)

    def step(state: Progress) -> None:
        for group, rate in zip(optimizer.param_groups, rates(state.step), strict=True):
            group["lr"] = rate
        loss = loss_of(next(left))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        state.loss += loss.item()
        state.counted += 1

    def report(state: Progress, _: float) -> dict[str, float]:
        mean = state.loss / state.counted
        state.loss, state.counted = 0.0, 0
        return {"loss": mean, "lr": rates(state.step - 1)[0]}

    def measured(state: Progress, _: Callable[[], bool]) -> Measurement:
        row = (measure or (lambda _: {}))(state.step)
        return Measurement({**row, "lr": rates(state.step - 1)[0]}, None, [state.step, row])

    def collect(state: Progress) -> None:
        state.generator = torch.get_rng_state().numpy().tobytes().hex()

    def resumed(state: Progress) -> None:
        generator = bytearray.fromhex(state.generator)
        torch.set_rng_state(torch.frombuffer(generator, dtype=torch.uint8))
        next(islice(left, state.step, state.step), None)  # the batches of the steps before

    with prepared(SETTINGS, out) as (team, request):
        task = Task(
            state=Progress(),
            steps=steps,
            parameters=parameters,
            optimizer=optimizer,
            step=step,
            over=lambda state: "steps" if state.step >= steps else None,
            report=report,
            measure=None if measure is None else measured,
            epoch_ended=lambda state: bool(epoch) and state.step % epoch == 0,
            collect=collect,
            resumed=resumed,
            figures=FIGURES,
            evaluation="dev",
        )
        run = Run(task, settings=SETTINGS, team=team, request=request, out=out, identity=identity)
        run.train(progress=progress)
    return [row for _, row in run.state.curve]
