"""How a run is made, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from emotone.errors import ConfigError

#: Settings that a resumed run may change, as they do not change what a step does.
FREE = frozenset(
    {
        "device",
        "epochs",
        "keep",
        "log_every",
        "max_steps",
        "patience",
        "resume",
        "save_every",
        "tensorboard",
        "threads",
    }
)


@dataclass(frozen=True, slots=True)
class Training:
    """How a run is made.

    Args:
        epochs: Passes over the data at most.
        batch: Rows of a global batch; several processes share them.
        optimiser: "adam" (fused) or "sgd" (no momentum, as in ECM's code).
        lr: Learning rate of the first step.
        decay: Factor on the learning rate when the mean training loss since the last evaluation
            is above each of the last 3, as in ECM's code (.99 there); 1 never changes it.
        warmup: Steps in which the learning rate rises in a line from near 0.
        linear: The learning rate falls in a line, to 0 at this step; 0 never.
        weight_decay: L2 penalty, as torch's optimisers have it.
        clip: Largest global norm of the gradient; 0 for no limit.
        balanced: Draw the emotions equally often; read by whoever makes the plan of rows.
        patience: Evaluations without a better one before the run stops; 0 for no such stop.
        evaluate_every: Steps between evaluations; 0 for one at the end of each epoch.
        save_every: Steps between checkpoints; 0 for one at each evaluation.
        keep: Checkpoints that stay; 2 or more survive a damaged disk block in the newest.
        log_every: Steps between lines of the log; a GPU is waited for only then.
        max_steps: Steps at most; 0 for no limit.
        seed: Decides the plan of rows and the dropout of each step.
        precision: "fp32", or "bf16" for the matrix products of forward and backward.
        threads: Threads of the CPU; 0 leaves what is set.
        tensorboard: Write the log for tensorboard too.
        resume: "auto" goes on from the newest whole checkpoint, "never" starts anew, and a path
            names one checkpoint.
        device: "auto" takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        ConfigError: If a value is out of its range.
    """

    epochs: int = 20
    batch: int = 128
    optimiser: Literal["adam", "sgd"] = "adam"
    lr: float = 1e-3
    decay: float = 1.0
    warmup: int = 0
    linear: int = 0
    weight_decay: float = 0.0
    clip: float = 5.0
    balanced: bool = False
    patience: int = 3
    evaluate_every: int = 0
    save_every: int = 0
    keep: int = 2
    log_every: int = 50
    max_steps: int = 0
    seed: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 0
    tensorboard: bool = False
    resume: str = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "keep", "log_every"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        whole = ("patience", "evaluate_every", "save_every", "max_steps", "seed", "threads")
        for name in (*whole, "warmup", "linear"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("weight_decay", "clip"):
            value = getattr(self, name)
            self._check(name, math.isfinite(value) and value >= 0, "0 or more")
        self._check("lr", math.isfinite(self.lr) and self.lr > 0, "more than 0")
        self._check("decay", 0 < self.decay <= 1, "above 0, at most 1")
        self._check("resume", bool(self.resume), "auto, never or the path of a checkpoint")
        for name, allowed in (
            ("optimiser", ("adam", "sgd")),
            ("precision", ("fp32", "bf16")),
            ("device", ("auto", "cpu", "cuda", "mps")),
        ):
            self._check(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")

    def _check(self, name: str, right: bool, allowed: str) -> None:
        if not right:
            raise ConfigError(f"training: {name} is {getattr(self, name)!r}; use {allowed}")


class Point(NamedTuple):
    """One evaluation.

    Args:
        step: Steps made.
        train_loss: Mean objective since the evaluation before, in nats.
        dev_loss: Nats per token on the development data.
    """

    step: int
    train_loss: float
    dev_loss: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of a run; the model holds the weights of `best_step`.

    Args:
        steps: Steps made, those before a resume included.
        epochs: Epochs begun.
        best_dev: Least nats per token on the development data; None without such data.
        best_step: The step it was measured at.
        seconds: Time spent, that before a resume included.
        stopped: "patience", "epochs" or "max_steps".
        curve: The evaluations, in order.
        log: The log file, one JSON object a line.
    """

    steps: int
    epochs: int
    best_dev: float | None
    best_step: int
    seconds: float
    stopped: Literal["patience", "epochs", "max_steps"]
    curve: tuple[Point, ...]
    log: Path
