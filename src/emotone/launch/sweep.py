"""Trainings over a grid of settings, several at once; the worse half may be stopped early.

    rung r:  train all that are left to step s_r;   keep the best ceil(n / 2)          r = 1 .. R

Each training is the command `emotone train` in a process and a folder of its own, so that it is the
same as one that is started by hand, and goes on after a kill as that does. A rung goes on where the
one before ended, by `training.max_steps`; what falls or rises over all steps is not touched by it.

Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
optimization" (successive halving, with eta = 2).
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from emotone import systems
from emotone.errors import RunError, Unsupported, UsageError
from emotone.files import write_json
from emotone.protocols import Spread
from emotone.training.run import TAKEN

RESULT, SAID, LOG = "sweep.json", "train.log", "log.jsonl"
#: Seconds until a training whose folder another one holds is asked again, and how often: an hour.
_WAIT, _WAITS = 5.0, 720


@dataclass(frozen=True, slots=True)
class Trial:
    """One training.

    Args:
        settings: What it sets of the grid, "key=value".
        folder: Its model folder.
        loss: The least on development data so far; None where it failed.
        steps: Steps made.
        failure: The last line of what a failed one said; "" for none.
    """

    settings: tuple[str, ...]
    folder: Path
    loss: float | None = None
    steps: int = 0
    failure: str = ""


def trials_of(grid: Sequence[str], out: Path) -> list[Trial]:
    """Return a trial for each choice of one value a setting, in order.

    Args:
        grid: Such as "training.lr=1e-3,3e-3"; values are parted by commas outside brackets.
        out: Folder of the folders.

    Raises:
        UsageError: If a part of the grid has no values, or a setting comes twice.
    """
    axes: list[list[str]] = []
    for part in grid:
        key, sign, values = part.partition("=")
        chosen = [value.strip() for value in re.split(r",(?![^\[]*\])", values)]
        if not (sign and key and all(chosen)):
            raise UsageError(f"the grid {part!r} cannot be read; write training.lr=1e-3,3e-3")
        axes.append([f"{key}={value}" for value in chosen])
    keys = [axis[0].partition("=")[0] for axis in axes]
    if len({*keys}) < len(keys):
        raise UsageError(f"a setting comes twice in the grid ({', '.join(keys)}); give it once")
    chosen_all = [*itertools.product(*axes)]
    width = len(str(len(chosen_all)))
    return [
        Trial(settings, out / re.sub(r"[^\w.=+-]+", "_", "-".join([f"{n:0{width}}", *settings])))
        for n, settings in enumerate(chosen_all, 1)
    ]


def sweep(
    system: str,
    trials: Sequence[Trial],
    *,
    fixed: Sequence[str] = (),
    rungs: Sequence[int] = (),
    spread: Spread,
    out: Path,
    done: Callable[[Trial], None] = lambda _: None,
) -> list[Trial]:
    """Train all trials, the best half of a rung to the next.

    Args:
        system: As `emotone train` takes it.
        trials: What is trained.
        fixed: Further arguments of that command, for all.
        rungs: Steps to which trials are trained before the worse half ends; () trains all to
            their end. The last rung has no end of its own: what is left is trained to its end.
        spread: How several train at once.
        out: Folder that keeps `sweep.json`.
        done: Called with each trial that was trained to a rung.

    Returns:
        All trials, the best first: those that came farthest, by loss; failed ones last.

    Raises:
        RunError: If all failed.
        Unsupported: If the system cannot be trained to rungs.
    """
    training = getattr(systems.module(system).Config(), "training", None)
    if rungs and not hasattr(training, "max_steps"):
        raise Unsupported(f"{system} has no training.max_steps to end rungs by; leave them out")
    left, ended = [*trials], list[Trial]()
    for steps in (*rungs, 0):
        trained: list[Trial] = []
        for trial in spread(partial(train, system, tuple(fixed), steps), left):
            trained.append(trial)
            done(trial)
            _write(out, [*ended, *trained])
        good = sorted((t for t in trained if t.loss is not None), key=_rank)
        keep = math.ceil(len(good) / 2) if steps else len(good)
        left, ended = good[:keep], [*ended, *(t for t in trained if t not in good[:keep])]
        if not left:
            raise RunError(
                f"all {len(trained)} trainings that were left failed, such as"
                f" {trained[0].folder}: {trained[0].failure}; its {SAID} says more"
            )
    ranked = [*left, *sorted(ended, key=lambda t: (t.loss is None, -t.steps, _rank(t)))]
    _write(out, ranked)
    return ranked


def train(system: str, fixed: tuple[str, ...], steps: int, trial: Trial) -> Trial:
    """Train one in a process of its own; what it says goes to a file in its folder.

    Args:
        system: As for `sweep`.
        fixed: As for `sweep`.
        steps: `training.max_steps`; 0 leaves it as it is.
        trial: Which.
    """
    settings = [*trial.settings, *([f"training.max_steps={steps}"] if steps else [])]
    sets = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "emotone", "train", system, *fixed, *sets]
    trial.folder.mkdir(parents=True, exist_ok=True)
    waits = 0
    while True:
        # Appended, as a training that a killed sweep left behind writes there too.
        with (trial.folder / SAID).open("a", encoding="utf-8") as log:
            ran = subprocess.run(
                [*command, "--out", str(trial.folder)],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        said = (trial.folder / SAID).read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        if not (ran.returncode and TAKEN in last) or waits == _WAITS:
            break
        if not waits:
            print(f"emotone: another run trains in {trial.folder}; waiting", file=sys.stderr)
        waits += 1
        time.sleep(_WAIT)
    if ran.returncode:
        return replace(trial, loss=None, failure=f"exit code {ran.returncode}: {last}")
    try:
        lines = (trial.folder / LOG).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    evaluations = [row for row in map(json.loads, lines) if "dev_loss" in row]
    if not evaluations:
        return replace(trial, loss=None, failure="it measured no loss on development data")
    loss = min(float(row["dev_loss"]) for row in evaluations)
    return replace(trial, loss=loss, steps=int(evaluations[-1]["step"]))


def in_threads(workers: int, work: Callable[[Any], Any], blocks: Iterable[Any], /) -> Iterator[Any]:
    """Do as `map`, several at once; the work waits for a process of its own."""
    cores = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(work, blocks)


def _rank(trial: Trial) -> tuple[float, str]:
    return (math.inf if trial.loss is None else trial.loss, trial.folder.name)


def _write(out: Path, trials: Sequence[Trial]) -> None:
    write_json(out / RESULT, {"trials": [row(trial) for trial in trials]})


def row(trial: Trial) -> dict[str, Any]:
    """Say what came of a trial, ready for JSON."""
    return {
        "folder": trial.folder.name,
        "settings": list(trial.settings),
        "loss": trial.loss,
        "steps": trial.steps,
        **({"failure": trial.failure} if trial.failure else {}),
    }
