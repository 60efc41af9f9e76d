"""Where a run stands: all of it that is not a tensor."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from emotone.errors import CheckpointError, ConfigError
from emotone.training.settings import FREE, Point, Training


@dataclass
class State:
    """Where a run stands.

    Args:
        lr: Learning rate of the next step.
        step: Steps made.
        epoch: Number of the epoch, from 0.
        position: Batches of the epoch that are done.
        pending: Whether the evaluation that is due at this step was not made yet.
        best: Least nats per token on the development data so far.
        best_step: The step it was measured at.
        worse: Evaluations since then.
        before: Mean training loss of the last evaluations, for the schedule.
        curve: All evaluations.
        interval: Sums since the last line of the log.
        since: Sums since the last evaluation.
        seconds: Time spent.
        log_bytes: Size of the log.
        identity: What the run was made with.
        optimizer: What of the optimiser's state is no tensor.
    """

    lr: float
    step: int = 0
    epoch: int = 0
    position: int = 0
    pending: bool = False
    best: float | None = None
    best_step: int = 0
    worse: int = 0
    before: list[float] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)
    interval: dict[str, float] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    log_bytes: int = 0
    identity: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, dict[str, Any]] = field(default_factory=dict)

    def stopped(self, settings: Training) -> Literal["patience", "epochs", "max_steps"] | None:
        """Say why the run is over; None while it is not."""
        if settings.patience and self.worse >= settings.patience:
            return "patience"
        if self.epoch >= settings.epochs:
            return "epochs"
        if settings.max_steps and self.step >= settings.max_steps:
            return "max_steps"
        return None

    def as_json(self) -> dict[str, Any]:
        """Write it as a JSON object."""
        return {**dataclasses.asdict(self), "curve": [list(p) for p in self.curve]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: Path) -> State:
        """Read what `as_json` wrote.

        Raises:
            CheckpointError: If it was written by another version of emotone.
        """
        try:
            return cls(**{**values, "curve": [Point(*p) for p in values["curve"]]})
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{place} is of another version of emotone ({error}); train anew in another folder"
            ) from error


def identity(
    settings: Training,
    model: nn.Module,
    plan: Sequence[np.ndarray],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """Say what a run is made with; a run is resumed only with the same.

    Args:
        settings: Those that decide what a step does are taken.
        model: Its names and shapes are taken.
        plan: Rows of the first epoch's batches, which change with the data.
        own: What the caller adds, such as a fingerprint of the data; of values that JSON has.
    """
    shapes = [(key, list(value.shape)) for key, value in model.state_dict().items()]
    rows = hashlib.sha256()
    for batch in plan:
        rows.update(np.ascontiguousarray(batch, dtype=np.int64).tobytes() + b"/")
    return {
        **{k: v for k, v in dataclasses.asdict(settings).items() if k not in FREE},
        **json.loads(json.dumps(dict(own))),
        "shapes of the model": hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:12],
        "rows of the batches": rows.hexdigest()[:12],
    }


def check_identity(was: Mapping[str, Any], now: Mapping[str, Any], place: Path) -> None:
    """Refuse to go on with something else.

    Raises:
        ConfigError: If anything differs; it names what.
    """
    differ = [
        f"{key} ({was.get(key)!r} then, {now.get(key)!r} now)"
        for key in {**was, **now}
        if was.get(key) != now.get(key)
    ]
    if differ:
        raise ConfigError(
            f"{place} is of a run with other {', '.join(differ)}; set it as it was, or name another"
            " folder for a new run"
        )
