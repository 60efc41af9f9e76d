"""A run under way: what a step, an evaluation and a checkpoint do."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotone.errors import DataError, RunError
from emotone.training import checkpoint as checkpoints
from emotone.training import optim
from emotone.training.distributed import Ranks
from emotone.training.log import Display, Log, say
from emotone.training.resume import resumed_from
from emotone.training.seeding import reseed, seed_for
from emotone.training.settings import Fitted, Point, Training
from emotone.training.state import State, check_identity
from emotone.training.stopping import Asked, Stopped
from emotone.training.sums import TOKEN_LOSS, TOKENS, Sums, finite, means, vector

#: Steps between looks at whether another process was asked to stop, where a look waits for a GPU.
LOOK_EVERY = 10


class Run:
    """The parts of a step, and what they share."""

    def __init__(
        self,
        model: nn.Module,
        team: Ranks,
        settings: Training,
        out: Path,
        asked: Asked,
        dev_batches: Callable[[], Iterable[Any]] | None,
        made_with: dict[str, Any],
    ) -> None:
        self.team, self.settings, self.out, self.asked = team, settings, out, asked
        self.model, self.dev_batches = model, dev_batches
        self.best: dict[str, Tensor] | None = None
        self.log: Log | None = None
        self.display: Display | None = None
        self.folder = out / "checkpoints"
        place = team.first_does(lambda: resumed_from(settings.resume, self.folder))
        self.state = State(lr=settings.lr, identity=made_with)
        moments: dict[str, Tensor] = {}
        if place is not None:
            self.state = State.from_json(checkpoints.read_state(place), place)
            check_identity(self.state.identity, made_with, place)
            values = checkpoints.read_tensors(place, checkpoints.MODEL)
            checkpoints.put(model, values, str(place))
            if self.state.best is not None:
                here = self.state.best_step == self.state.step and not self.state.pending
                self.best = values if here else checkpoints.read_tensors(place, checkpoints.BEST)
            moments = checkpoints.read_tensors(place, checkpoints.OPTIMIZER)
        model.train()
        self.parallel = team.accelerator.prepare_model(model)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = optim.optimiser(self.parameters, settings, team.device)
        optim.restore(dict(model.named_parameters()), self.optimizer, moments, self.state.optimizer)
        self.interval = Sums(self.state.interval, first=team.first)
        self.since = Sums(self.state.since, first=team.first)
        self.norm = self.stop = torch.zeros((), device=team.device)
        self.sound = torch.ones((), dtype=torch.bool, device=team.device)
        self.saved = self.checked = self.state.step  # nothing to save or to check before a step
        self.spent, self.clock = self.state.seconds, time.perf_counter()
        self.mark = self.clock

    def open_logs(self, total: int, *, shown: bool) -> None:
        """Begin to log and to show.

        Args:
            total: Steps of all epochs.
            shown: Whether to show progress at all.
        """
        if self.team.first:
            self.log = Log(self.out / "log.jsonl", self.state.log_bytes)
        total = min(total, self.settings.max_steps or total)
        self.display = Display(total, self.state.step, shown and self.team.first)

    def close(self) -> None:
        """Give back what is open."""
        if self.display is not None:
            self.display.close()
        if self.log is not None:
            self.log.close()
        for tracker in self.team.accelerator.trackers:
            tracker.finish()

    def step(self, rows: np.ndarray, collate: Callable[[np.ndarray], Any]) -> None:
        """Make one step on a global batch."""
        team, settings, state = self.team, self.settings, self.state
        reseed(seed_for(settings.seed, "dropout", state.step, team.rank), team.device)
        own, counts = team.rows(rows)
        batch = collate(own).to(team.device)
        with self._precision():
            losses = self.parallel(batch)
        names, sums = vector(losses, team.device, counts=counts)
        # One message: how much the global batch counts, and whether any process was asked to stop.
        asked = torch.full_like(sums[:1], float(self.asked.number))
        whole = team.sum(torch.cat((sums[:2], asked)))
        self.stop = whole[2]
        per_token, per_row = (1 / whole[:2].clamp(min=1)).to(losses.token_loss.dtype)
        loss = losses.token_loss * per_token + losses.row_loss * per_row
        # Gradients of several processes are averaged, but the objective is a sum over them.
        team.accelerator.backward(loss * (team.world if counts else 0))
        limit = settings.clip or math.inf
        norm = team.accelerator.clip_grad_norm_(self.parameters, limit)
        self.norm = torch.as_tensor(norm)
        self.sound = torch.isfinite(self.norm) & torch.isfinite(loss.detach())
        optim.set_lr(self.optimizer, self._lr())
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.interval.add(names, sums)
        self.since.add(names, sums)
        if self.display is not None:
            self.display.step()

    def log_if_due(self) -> None:
        """Write a line when it is time; look at the loss each step where that costs nothing."""
        due = self.state.step % self.settings.log_every == 0
        if not due and self.team.device.type != "cpu":
            return
        if not due:
            self._check(bool(self.sound))
            return
        sums = self.interval.read(self.team.sum)
        self._check(finite(sums) and bool(self.sound))
        self.interval = Sums()
        spent = time.perf_counter() - self.mark
        self.mark = time.perf_counter()
        speed = sums[TOKENS] / max(spent, 1e-9)
        row = {**means(sums), "lr": self._lr(), "grad_norm": self.norm.item()}
        self._write({**row, "tokens_per_second": round(speed, 1)})

    def evaluate(self) -> None:
        """Measure the development data, in evaluation mode, and draw the consequences.

        A signal breaks it off; it is then still pending.
        """
        began = time.perf_counter()
        found = Sums()
        broken = torch.zeros(1, device=self.team.device)
        self.model.eval()
        with torch.no_grad(), self._precision():
            for number, batch in enumerate((self.dev_batches or list)()):
                if self.asked.number:
                    broken += 1
                    break
                own = number % self.team.world == self.team.rank
                if own or number == 0:  # each process must know the names
                    losses = self.model(batch.to(self.team.device))
                    found.add(*vector(losses, self.team.device, counts=own))
        self.model.train()
        if self.team.sum(broken).item():
            self.stop = broken[0] + 1
            return
        sums = found.read(self.team.sum)
        if not sums.get(TOKENS):
            raise DataError("there is no token to evaluate on; give development data")
        measured = means(sums)
        loss = measured.pop("loss")
        # The objective may be weighted; the likelihood of a token is what runs are compared by.
        loss = measured.pop("nll", sums[TOKEN_LOSS] / sums[TOKENS])
        since = self.since.read(self.team.sum)
        self._check(math.isfinite(loss) and finite(since))
        self._judge(loss, means(since)["loss"] if since else math.nan)
        self.since = Sums()
        self._write(
            {
                "dev_loss": loss,
                "dev_perplexity": math.exp(min(loss, 700.0)),
                **{f"dev_{name}": value for name, value in measured.items()},
                "lr": self._lr(),
                "best_step": self.state.best_step,
            }
        )
        self._pause(began)

    def _judge(self, dev_loss: float, train_loss: float) -> None:
        state = self.state
        state.pending = False
        state.curve.append(Point(state.step, train_loss, dev_loss))
        if state.best is None or dev_loss < state.best:
            state.best, state.best_step, state.worse = dev_loss, state.step, 0
            self.best = checkpoints.weights(self.model)
        else:
            state.worse += 1
        state.lr = optim.decayed(state.lr, self.settings.decay, train_loss, state.before)
        state.before = [*state.before, train_loss][-3:]

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        began = time.perf_counter()
        if self.saved == self.state.step:
            return
        state = self.state
        state.interval = self.interval.read(self.team.sum)
        state.since = self.since.read(self.team.sum)
        self._check(finite(state.since) and bool(self.sound))
        state.seconds = self._seconds()
        if self.log is not None:  # the first process
            state.log_bytes = self.log.synced()
            named = dict(self.model.named_parameters())
            moments, state.optimizer = optim.flatten(named, self.optimizer)
            here = state.best_step == state.step and not state.pending
            checkpoints.save(
                self.folder,
                state.step,
                model=checkpoints.weights(self.model),
                optimizer={k: v.detach().cpu().contiguous() for k, v in moments.items()},
                best=None if here else self.best,
                state=state.as_json(),
                keep=self.settings.keep,
            )
        self.saved = state.step
        self._pause(began)

    def leave_if_asked(self) -> None:
        """Save and leave if this or another process was sent a signal.

        Raises:
            Stopped: If so.
        """
        number = self.asked.number
        if self.team.world > 1:  # all must leave at the same step
            looks = self.team.device.type == "cpu" or self.state.step % LOOK_EVERY == 0
            if not (looks or self.state.pending) or not self.stop.item():
                return
        elif not number:
            return
        self.save()
        if self.team.first:
            step = checkpoints.name(self.state.step)
            say(f"asked to stop; saved {self.folder / step}, and the same command goes on from it")
        raise Stopped(number or signal.SIGTERM)

    def finish(self) -> Fitted:
        """Save, measure the last weights if they were not, and put the best ones in the model."""
        state = self.state
        stopped = state.stopped(self.settings) or "epochs"
        # Before the measuring, which a run that is made longer later does not have here.
        self.save()
        measured = bool(state.curve) and state.curve[-1].step == state.step
        if self.dev_batches is not None and not measured:
            state.pending = True
            self.evaluate()
            self.leave_if_asked()
        if self.best is not None:
            checkpoints.put(self.model, self.best)
        return Fitted(
            steps=state.step,
            epochs=self._epoch(),
            best_dev=state.best,
            best_step=state.best_step,
            seconds=self._seconds(),
            stopped=stopped,
            curve=tuple(state.curve),
            log=self.out / "log.jsonl",
        )

    def _lr(self) -> float:
        settings = self.settings
        return optim.scheduled(self.state.lr, self.state.step, settings.warmup, settings.linear)

    def _precision(self) -> AbstractContextManager[Any]:
        half = self.settings.precision == "bf16"
        return torch.autocast(self.team.device.type, torch.bfloat16, enabled=half)

    def _check(self, right: bool) -> None:
        first, last = self.checked + 1, self.state.step
        if not right:
            where = f"at step {last}" if first >= last else f"between steps {first} and {last}"
            raise RunError(
                f"the loss or its gradient is no number any more {where}; lower lr or clip, and go"
                " on from the last checkpoint"
            )
        self.checked = last

    def _write(self, row: Mapping[str, Any]) -> None:
        if self.log is None or self.display is None:
            return
        seconds = round(self._seconds(), 3)
        self.log.write({"step": self.state.step, "epoch": self._epoch(), **row, "seconds": seconds})
        self.display.tell(row)
        self.team.accelerator.log(dict(row), step=self.state.step)

    def _epoch(self) -> int:
        # From 1, as people count them; between two epochs it is the one that has ended.
        return self.state.epoch + bool(self.state.position)

    def _seconds(self) -> float:
        return self.spent + time.perf_counter() - self.clock

    def _pause(self, began: float) -> None:
        spent = time.perf_counter() - began
        self.mark += spent
        if self.display is not None:
            self.display.pause(spent)
