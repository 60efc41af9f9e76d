"""Where a run stands: all of it that is not a tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from emotone.errors import CheckpointError
from emotone.identity import digest

S = TypeVar("S", bound="State")


@dataclass(kw_only=True)
class State:
    """Where a run stands; a kind of training adds what it remembers from step to step.

    Args:
        step: Steps made.
        pending: Whether the evaluation that is due at this step was not made yet.
        best: Best score of an evaluation so far; None before the first that counts.
        best_step: The step it was measured at.
        worse: Evaluations since then.
        curve: All evaluations, of values that JSON has.
        seconds: Time spent.
        log_bytes: Size of the log.
        identity: All that the run depends on.
        optimizer: What of the optimiser's state is not a tensor.
    """

    step: int = 0
    pending: bool = False
    best: float | None = None
    best_step: int = 0
    worse: int = 0
    curve: list[Any] = field(default_factory=list)
    seconds: float = 0.0
    log_bytes: int = 0
    identity: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, dict[str, Any]] = field(default_factory=dict)


def as_json(state: State) -> dict[str, Any]:
    """Write a state as a JSON object."""
    return dataclasses.asdict(state)


def from_json(kind: type[S], values: Mapping[str, Any], place: Path) -> S:
    """Read what `as_json` wrote.

    Raises:
        CheckpointError: If it was written by something else.
    """
    try:
        return kind(**values)
    except TypeError as error:
        raise CheckpointError(
            f"{place} is of another kind of training or version of emotone ({error}); train anew in"
            " another folder"
        ) from error


def step_of(point: Any) -> int:
    """The step of an evaluation in a curve: of an object by name, of a list the first value."""
    return point["step"] if isinstance(point, Mapping) else point[0]


def identity(
    settings: Mapping[str, Any],
    free: Collection[str],
    weights: Mapping[str, Tensor],
    depends_on: Mapping[str, Any],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """Say what a run depends on; a run is resumed only with the same.

    Args:
        settings: By name; those that decide what a step does are taken.
        free: The others.
        weights: Their names and shapes are taken.
        depends_on: What the caller adds, such as a fingerprint of the data; of values that JSON
            has.
        digests: More of it, as `digest` makes it.
    """
    shapes = [(name, list(value.shape)) for name, value in weights.items()]
    return {
        **{k: v for k, v in settings.items() if k not in free},
        **depends_on,
        "shapes of the model": digest(shapes),
        **digests,
    }
