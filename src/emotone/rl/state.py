"""Where a run of reinforcement stands: all of it that is not a tensor."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from emotone.errors import CheckpointError
from emotone.rl.settings import FREE, Reinforce


@dataclass
class State:
    """Where a run stands.

    Args:
        kl_weight: Weight of the KL divergence in the next step.
        step: Steps made.
        pending: Whether the evaluation that is due at this step was not made yet.
        moments: Running moments of the rewards.
        kl_negative: Whether a mean KL divergence below 0 was told of.
        best: Highest reward of an evaluation that the guards let pass; None before the first.
        best_step: The step it was measured at.
        worse: Evaluations since then.
        curve: All evaluations, the first at step 0.
        seconds: Time spent.
        log_bytes: Size of the log.
        identity: What the run was made with.
        optimizer: What of the optimiser's state is no tensor.
    """

    kl_weight: float
    step: int = 0
    pending: bool = False
    moments: list[float] = field(default_factory=list)
    kl_negative: bool = False
    best: float | None = None
    best_step: int = 0
    worse: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    log_bytes: int = 0
    identity: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, dict[str, Any]] = field(default_factory=dict)

    def stopped(self, settings: Reinforce) -> Literal["patience", "steps"] | None:
        """Say why the run is over; None while it is not."""
        if settings.patience and self.worse >= settings.patience:
            return "patience"
        return "steps" if self.step >= settings.steps else None

    def as_json(self) -> dict[str, Any]:
        """Write it as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: Path) -> State:
        """Read what `as_json` wrote.

        Raises:
            CheckpointError: If it was written by something else.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(
                f"{place} is of another kind of training or version of emotone ({error}); train"
                " anew in another folder"
            ) from error


def identity(
    settings: Reinforce,
    trained: Mapping[str, nn.Parameter],
    prompts: Sequence[Sequence[int]],
    development: Sequence[Sequence[Sequence[int]]],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """Say what a run is made with; a run is resumed only with the same.

    Args:
        settings: Those that decide what a step does are taken.
        trained: The parameters that change; their names and shapes are taken.
        prompts: Prompts as token ids.
        development: Prompts and given replies of the development data, as token ids.
        own: What the caller adds, such as a fingerprint of the data and of the reward; of values
            that JSON has.
    """
    shapes = [(name, list(value.shape)) for name, value in trained.items()]
    return {
        **{k: v for k, v in dataclasses.asdict(settings).items() if k not in FREE},
        **json.loads(json.dumps(dict(own))),
        "shapes of the model": _digest(shapes),
        "prompts": _digest([list(row) for row in prompts]),
        "development data": _digest([[list(row) for row in rows] for rows in development]),
    }


def copied(trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Copy parameters to the CPU."""
    return {k: p.detach().to("cpu", copy=True).contiguous() for k, p in trained.items()}


def put(trained: Mapping[str, nn.Parameter], values: Mapping[str, Tensor], where: str) -> None:
    """Give parameters the values that `copied` took.

    Raises:
        CheckpointError: If names or shapes are those of another model.
    """
    for key in sorted({*trained, *values}):
        if key not in trained or key not in values or trained[key].shape != values[key].shape:
            raise CheckpointError(
                f"{where} is of another model ({key!r} differs); resume with the settings the run"
                " began with"
            )
    for key, parameter in trained.items():
        parameter.data.copy_(values[key])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
