"""A run: every training that may take long is one.

It goes on after a kill, may be shared by several processes, and keeps a log.

What differs between trainings is a `Task`: likelihood (`training.loop`), reinforcement
(`rl.trainer`), emotion vectors (`steering.fit`). Checkpoints, signals, the log and the choice of
the best weights are here, once.
"""

from __future__ import annotations

import json
import math
import operator
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from emotone.errors import RunError
from emotone.identity import check_same
from emotone.training import checkpoint as checkpoints
from emotone.training import optim
from emotone.training.distributed import Ranks, ranks
from emotone.training.log import Display, Log, note
from emotone.training.resume import resumed_from
from emotone.training.seeding import own_randomness
from emotone.training.settings import RunSettings
from emotone.training.sharding import is_cut
from emotone.training.state import State, as_json, from_json, step_of
from emotone.training.stopping import Stopped, StopRequest, stop_requests

S = TypeVar("S", bound=State)
#: What is said where another run holds the folder, before its name.
TAKEN = "another run is training in"


class Measurement(NamedTuple):
    """What an evaluation on development data gave.

    Args:
        row: For the log, the learning rate "lr" among it.
        score: What the best weights are chosen by; None where these cannot be the best.
        point: What the curve of the run keeps, of values that JSON has; its first value is the
            step, or the one named "step".
    """

    row: Mapping[str, Any]
    score: float | None
    point: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[S]):
    """What is trained, and how one step of it is made.

    Args:
        state: Where a new run stands; a subclass of `State` holds what the task remembers from
            step to step.
        steps: Steps of the whole run at most.
        parameters: What the optimiser changes, by name.
        optimizer: It.
        step: Makes one step. The run counts it.
        over: Says why the run is over; None while it is not. The run itself sees to `patience`.
        weights: The tensors that a checkpoint holds, by name, where they are; without it
            `parameters`.
        report: Row of the log about the steps since the last one, from the seconds they took.
        measure: Measures the development data, unless the function that it is given says that it
            shall break off; then None. None without such data.
        better: Whether a score is better than the best so far.
        measures_start: Whether a run is measured and saved before its first step too.
        epoch_ended: Whether the last step ended an epoch, which is when a run without a rhythm is
            measured and saved.
        labels: What stands at the start of each row of the log, after the step.
        collect: Puts into the state what the task holds elsewhere, before it is saved.
        resumed: Takes it out of the state, once a run goes on from one.
        ends_best: Whether it ends with the best weights; otherwise with the last.
        look_every: Steps between looks at whether another process is to stop.
        figures: Which keys of the log a person sees, and how each is written.
        evaluation: The key that only the row of an evaluation has.
    """

    state: S
    steps: int
    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    step: Callable[[S], None]
    over: Callable[[S], str | None]
    weights: Callable[[], Mapping[str, Tensor]] | None = None
    report: Callable[[S, float], Mapping[str, Any]] = lambda _state, _seconds: {}
    measure: Callable[[S, Callable[[], bool]], Measurement | None] | None = None
    better: Callable[[float, float], bool] = operator.lt
    measures_start: bool = False
    epoch_ended: Callable[[S], bool] = lambda _: False
    labels: Callable[[S], Mapping[str, Any]] = lambda _: {}
    collect: Callable[[S], None] = lambda _: None
    resumed: Callable[[S], None] = lambda _: None
    ends_best: bool = True
    look_every: int = 1
    figures: Mapping[str, str] = field(default_factory=dict)
    evaluation: str = "dev_loss"

    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors that a checkpoint holds."""
        return self.parameters if self.weights is None else self.weights()


@contextmanager
def prepared(
    settings: RunSettings, out: Path | None, *, tensorboard: bool = False
) -> Iterator[tuple[Ranks, StopRequest]]:
    """Prepare a run: catch signals, set threads, join the processes, lock the folder.

    torch's global generators may be reseeded inside; they are then as they were.

    Args:
        settings: Threads and device.
        out: Folder of the run; None for a run that keeps nothing.
        tensorboard: Whether the log is written for tensorboard too.

    Raises:
        RunError: If another run has the folder, or it cannot be written.
        Unsupported: If the device is not here.
    """
    with ExitStack() as stack:
        request = stack.enter_context(stop_requests())
        if settings.threads:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(settings.threads)
        team = ranks(settings.device, tensorboard=out if tensorboard else None)
        if out is not None:
            team.first_does(lambda: stack.enter_context(locked(out)))
        stack.enter_context(own_randomness(team.device))
        yield team, request


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the folder of a run; the lock of a killed run is free.

    Raises:
        RunError: If another run holds it, or it cannot be written.
    """
    folder = out / "checkpoints"
    with checkpoints.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(f"{TAKEN} {out}; wait for it or name another folder") from error
    try:
        yield
    finally:
        lock.release()


class Run(Generic[S]):
    """A task under way.

    Args:
        task: What is trained.
        settings: When it is measured, saved and logged, and which checkpoint it goes on from.
        team: The processes, and
        request: what says that the run shall stop, both of `prepared`.
        out: Folder of the run, for `checkpoints/` and `log.jsonl`; None keeps nothing.
        identity: All that the run depends on, of values that JSON has.

    Raises:
        ConfigError: If the run to resume depends on something else.
        CheckpointError: If the checkpoint to resume is damaged.
    """

    def __init__(
        self,
        task: Task[S],
        *,
        settings: RunSettings,
        team: Ranks,
        request: StopRequest,
        out: Path | None,
        identity: Mapping[str, Any],
    ) -> None:
        self.task, self.settings, self.team, self.request = task, settings, team, request
        self.out = out
        self.folder = None if out is None else out / "checkpoints"
        self.state = task.state
        self.state.identity = json.loads(json.dumps(dict(identity)))  # as it will be read
        self.best: dict[str, Tensor] | None = None
        self.log: Log | None = None
        self.display: Display | None = None
        place = None
        if (folder := self.folder) is not None:
            place = team.first_does(lambda: resumed_from(settings.resume, folder))
        if place is not None:
            self._go_on_from(place)
        elif task.measures_start:
            self.state.pending = task.measure is not None
        # Where nothing is measured before the first step, there is nothing to save before it.
        self.saved = -1 if place is None and task.measures_start else self.state.step
        self.spent, self.clock = self.state.seconds, time.perf_counter()
        self.mark = self.clock

    def _go_on_from(self, place: Path) -> None:
        task = self.task
        state = from_json(type(task.state), checkpoints.read_state(place), place)
        check_same(state.identity, self.state.identity, place, "name another folder for a new run")
        values = checkpoints.read_tensors(place, checkpoints.MODEL)
        checkpoints.put(task.tensors(), values, str(place))
        if state.best is not None:
            here = state.best_step == state.step and not state.pending
            self.best = values if here else checkpoints.read_tensors(place, checkpoints.BEST)
        moments = checkpoints.read_tensors(place, checkpoints.OPTIMIZER)
        optim.restore(task.parameters, task.optimizer, moments, state.optimizer)
        task.resumed(state)
        self.state = state

    def train(self, *, progress: bool = False) -> str:
        """Make steps until the task is over.

        Args:
            progress: Whether to show progress on stderr.

        Returns:
            Why it is over.

        Raises:
            RunError: If the folder cannot be written.
            Stopped: If SIGTERM or SIGINT came; the run is saved.
        """
        task, state, settings = self.task, self.state, self.settings
        try:
            self._open_logs(progress)
            while True:
                if state.pending:
                    self._evaluate()
                if self._due(settings.save_every or settings.evaluate_every):
                    self._save()
                self._leave_if_requested()
                if (reason := self._over()) is not None:
                    self._finish()
                    return reason
                task.step(state)
                state.step += 1
                if self.display is not None:
                    self.display.step()
                if state.step % settings.log_every == 0:
                    self._report()
                state.pending = task.measure is not None and self._due(settings.evaluate_every)
        finally:
            self._close()

    def seconds(self) -> float:
        """Time spent so far, that before a resume included."""
        return self.spent + time.perf_counter() - self.clock

    def _over(self) -> str | None:
        reason = self.task.over(self.state)
        patience = self.settings.patience
        return "patience" if patience and self.state.worse >= patience else reason

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 if every else self.task.epoch_ended(self.state)

    def _open_logs(self, shown: bool) -> None:
        if self.out is not None and self.team.first:
            self.log = Log(self.out / "log.jsonl", self.state.log_bytes)
        task = self.task
        shown = shown and self.team.first
        self.display = Display(task.steps, self.state.step, shown, task.figures, task.evaluation)

    def _close(self) -> None:
        if self.display is not None:
            self.display.close()
        if self.log is not None:
            self.log.close()
        for tracker in self.team.accelerator.trackers:
            tracker.finish()

    def _report(self) -> None:
        row = self.task.report(self.state, time.perf_counter() - self.mark)
        self.mark = time.perf_counter()
        self._write(row)

    def _evaluate(self) -> None:
        """Measure the development data; a signal breaks it off, and it is then still pending."""
        began = time.perf_counter()
        task, state = self.task, self.state
        measure = task.measure or (lambda _state, _broken: None)
        measurement = measure(state, lambda: bool(self.request.number))
        if measurement is None:
            return
        score = measurement.score
        state.pending = False
        state.curve.append(measurement.point)
        if score is not None and (state.best is None or task.better(score, state.best)):
            state.best, state.best_step, state.worse = score, state.step, 0
            self.best = checkpoints.copied(task.tensors())
        else:
            state.worse += 1
        self._write({**measurement.row, "best_step": state.best_step})
        self._pause(began)

    def _write(self, row: Mapping[str, Any]) -> None:
        """Append a line to the log; numbers that are not finite are left out."""
        row = {k: v for k, v in row.items() if not isinstance(v, float) or math.isfinite(v)}
        step = self.state.step
        if self.log is not None:
            labels = {"step": step, **self.task.labels(self.state)}
            self.log.write({**labels, **row, "seconds": round(self.seconds(), 3)})
            self.team.accelerator.log(row, step=step)
        if self.display is not None:
            self.display.show(row)

    def _save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        task, state = self.task, self.state
        if self.folder is None or self.saved == state.step:
            return
        began = time.perf_counter()
        task.collect(state)
        state.seconds = self.seconds()
        moments, state.optimizer = optim.flatten(task.parameters, task.optimizer)
        weights: Mapping[str, Tensor] = {}
        if self.log is not None or is_cut(task.tensors()):  # by all that hold a part
            weights, moments = checkpoints.copied(task.tensors()), checkpoints.copied(moments)
        if self.log is not None:  # the first process
            state.log_bytes = self.log.synced()
            here = state.best is not None and state.best_step == state.step and not state.pending
            checkpoints.save(
                self.folder,
                state.step,
                model=weights,
                optimizer=moments,
                best=None if here else self.best,
                state=as_json(state),
                keep=self.settings.keep,
            )
        self.saved = state.step
        self._pause(began)

    def _leave_if_requested(self) -> None:
        """Save and leave if this or another process was sent a signal."""
        number, state = self.request.number, self.state
        if self.team.world > 1:  # all must leave at the same step
            if not (state.pending or state.step % self.task.look_every == 0):
                return
            sent = torch.full((1,), float(number), device=self.team.device)
            if not self.team.sum(sent).item():
                return
        elif not number:
            return
        self._save()
        if self.team.first and self.folder is not None:
            place = self.folder / checkpoints.name(state.step)
            note(f"asked to stop; saved {place}, and the same command goes on from it")
        raise Stopped(number or signal.SIGTERM)

    def _finish(self) -> None:
        """Save, measure the last weights if they were not, and put the best ones in place."""
        state = self.state
        # Before the measuring, which a run that is made longer later does not have here.
        self._save()
        measured = bool(state.curve) and step_of(state.curve[-1]) == state.step
        if self.task.measure is not None and not measured:
            state.pending = True
            self._evaluate()
            self._leave_if_requested()
        if self.best is not None and self.task.ends_best:
            checkpoints.put(self.task.tensors(), self.best, "the best weights")

    def _pause(self, began: float) -> None:
        """Leave the time since `began` out of what steps take."""
        spent = time.perf_counter() - began
        self.mark += spent
        if self.display is not None:
            self.display.pause(spent)
