"""How a run is made, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from emotone.errors import ConfigError

#: Settings that a resumed run may change, as they do not change what a step does.
RUN_FREE = frozenset({"device", "keep", "log_every", "patience", "resume", "save_every", "threads"})
#: The same of a training by likelihood.
FREE = RUN_FREE | {"epochs", "max_steps", "shard", "tensorboard"}


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What every run can be set to; each kind of training adds its own and has its own defaults.

    Args:
        batch: Rows of a global batch; several processes share them.
        lr: Learning rate of the first step.
        warmup: Steps in which the learning rate rises in a line from near 0.
        linear: The learning rate falls in a line, to 0 at this step; 0 never.
        clip: Largest global norm of the gradient; 0 for no limit.
        patience: Evaluations without a better one before the run stops; 0 for no such stop.
        evaluate_every: Steps between evaluations; 0 for one at the end of each epoch.
        save_every: Steps between checkpoints; 0 for one at each evaluation.
        keep: Checkpoints that stay; 2 or more survive a damaged disk block in the newest.
        log_every: Steps between lines of the log; a GPU is waited for only then.
        seed: Decides the order of the data and the dropout of each step.
        precision: "fp32", or "bf16" for the matrix products of forward and backward.
        threads: Threads of the CPU; 0 leaves what is set.
        resume: "auto" goes on from the newest whole checkpoint, "never" starts anew, and a path
            names one checkpoint.
        device: "auto" takes CUDA, else Apple's MPS, else the CPU.
    """

    batch: int = 128
    lr: float = 1e-3
    warmup: int = 0
    linear: int = 0
    clip: float = 5.0
    patience: int = 3
    evaluate_every: int = 0
    save_every: int = 0
    keep: int = 2
    log_every: int = 50
    seed: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 0
    resume: str = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


def check_run_settings(settings: RunSettings, section: str) -> None:
    """Check the ranges of what every run can be set to.

    Args:
        settings: Of any kind of training.
        section: What a message calls it.

    Raises:
        ConfigError: If a value is out of its range.
    """
    for name in ("batch", "keep", "log_every"):
        check_setting(settings, section, name, getattr(settings, name) >= 1, "1 or more")
    for name in (
        *("warmup", "linear", "patience", "evaluate_every", "save_every", "seed", "threads"),
    ):
        check_setting(settings, section, name, getattr(settings, name) >= 0, "0 or more")
    lr, clip = settings.lr, settings.clip
    check_setting(settings, section, "clip", math.isfinite(clip) and clip >= 0, "0 or more")
    check_setting(settings, section, "lr", math.isfinite(lr) and lr > 0, "more than 0")
    resume = "auto, never or the path of a checkpoint"
    check_setting(settings, section, "resume", bool(settings.resume), resume)
    check_choice(settings, section, "precision", ("fp32", "bf16"))
    check_choice(settings, section, "device", ("auto", "cpu", "cuda", "mps"))


def check_setting(settings: Any, section: str, name: str, right: bool, allowed: str) -> None:
    """Refuse a value that is not allowed.

    Raises:
        ConfigError: If it is not right.
    """
    if not right:
        raise ConfigError(f"{section}: {name} is {getattr(settings, name)!r}; use {allowed}")


def check_choice(settings: Any, section: str, name: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not one of some.

    Raises:
        ConfigError: If it is not.
    """
    right = getattr(settings, name) in allowed
    check_setting(settings, section, name, right, f"one of {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class Training(RunSettings):
    """How a model is trained by likelihood.

    Args:
        epochs: Passes over the data at most.
        optimiser: "adam" (fused) or "sgd" (no momentum, as in ECM's code).
        decay: Factor on the learning rate when the mean training loss since the last evaluation
            is above each of the last 3 (.99 in ECM's code, which looks at the words' loss alone,
            as ecm does in the style "faithful"); 1 never changes it.
        weight_decay: L2 penalty, as torch's optimisers have it.
        balanced: Draw the emotions equally often; read by whoever makes the plan of rows.
        max_steps: Steps at most; 0 for no limit.
        tensorboard: Write the log for tensorboard too.
        shard: Cut the weights over the processes that torchrun started, for a model that one
            card does not hold; for chat models.

    Raises:
        ConfigError: If a value is out of its range.
    """

    epochs: int = 20
    optimiser: Literal["adam", "sgd"] = "adam"
    decay: float = 1.0
    weight_decay: float = 0.0
    balanced: bool = False
    max_steps: int = 0
    tensorboard: bool = False
    shard: bool = False

    def __post_init__(self) -> None:
        check_run_settings(self, "training")
        decay = self.weight_decay
        for name, right, allowed in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("max_steps", self.max_steps >= 0, "0 or more"),
            ("weight_decay", math.isfinite(decay) and decay >= 0, "0 or more"),
            ("decay", 0 < self.decay <= 1, "above 0, at most 1"),
        ):
            check_setting(self, "training", name, right, allowed)
        check_choice(self, "training", "optimiser", ("adam", "sgd"))


class Evaluation(NamedTuple):
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
        best_dev: Least nats per token on the development data, or the last where the run ends
            with its last weights; None without such data.
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
    stopped: str
    curve: tuple[Evaluation, ...]
    log: Path
