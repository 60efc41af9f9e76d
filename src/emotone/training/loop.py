"""Training by likelihood: the steps of every model that returns sums of losses.

What is around the steps, from the checkpoint to the log, is that of every training: `training.run`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from emotone.errors import ConfigError, DataError, RunError
from emotone.training import checkpoint as checkpoints
from emotone.training import optim
from emotone.training.distributed import Ranks
from emotone.training.run import Measurement, Run, Task, prepared
from emotone.training.seeding import reseed, seed_for
from emotone.training.settings import FREE, Evaluation, Fitted, Training
from emotone.training.sharding import gather_learned, is_cut, shard, whole
from emotone.training.state import State, identity
from emotone.training.sums import TOKEN_LOSS, TOKENS, Sums, finite, means, vector

#: Steps between looks at whether another process was asked to stop, where a look waits for a GPU.
LOOK_EVERY = 10
#: What a person sees of the log.
FIGURES = {
    "loss": "loss {:.3f}",
    "dev_perplexity": "dev perplexity {:.2f}",
    "tokens_per_second": "{:.0f} tokens/s",
}


def fit(
    model: nn.Module,
    *,
    train_plan: Callable[[int], list[np.ndarray]],
    collate: Callable[[np.ndarray], Any],
    dev_batches: Callable[[], Iterable[Any]] | None,
    settings: Training,
    out: Path,
    depends_on: Mapping[str, Any] | None = None,
    watched: str | None = None,
    ends_best: bool = True,
    blocks: Sequence[nn.Module] = (),
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
            ones where there is no development data or `ends_best` is false.
        train_plan: Row indices of each global batch of an epoch, from its number (from 0).
        collate: Makes the batch of some rows, with `.to(device)`.
        dev_batches: Batches of the development data; each process takes its share of them, or
            reads all of them where the weights are cut.
        settings: How.
        out: Folder of the run, for `checkpoints/` and `log.jsonl`; all processes see the same one.
        depends_on: What else the run depends on, such as a fingerprint of the data, of values that
            JSON has; a resumed run must have the same.
        watched: Term among the model's logged ones, a sum over rows, whose mean `settings.decay`
            looks at; None looks at the objective.
        ends_best: Whether the best weights on the development data are what it ends with.
        blocks: Modules that `settings.shard` cuts by themselves; none where the model cannot be
            cut. A model that was cut ends with what it has learned whole, and computes no more.
        progress: Whether to show progress on stderr.

    Returns:
        What came of it.

    Raises:
        ConfigError: If the run to resume depends on something else, or `settings.shard` is on for a
            model that cannot be cut.
        CheckpointError: If the checkpoint to resume is damaged.
        DataError: If there is nothing to learn from.
        RunError: If the loss is not a number, or the folder cannot be written.
        Stopped: If SIGTERM or SIGINT came; the run is saved.
    """
    plan = train_plan(0)
    if not plan or not all(len(batch) for batch in plan):
        raise DataError("there is no row to train on; give one or more a batch")
    own = depends_on or {}
    digests = {"rows of the batches": _digest(plan)}
    with prepared(settings, out, tensorboard=settings.tensorboard) as (team, request):
        if settings.shard and not blocks:
            raise ConfigError("training: shard is on, but this model cannot be cut; leave it off")
        sharded = settings.shard and team.world > 1
        if sharded:
            shard(model, blocks, team.device)
        run = Run(
            _Likelihood(
                model, train_plan, collate, dev_batches, settings, team, watched, ends_best
            ).task(len(plan)),
            settings=settings,
            team=team,
            request=request,
            out=out,
            identity=identity(asdict(settings), FREE, model.state_dict(), own, digests),
        )
        reason = run.train(progress=progress)
        if sharded:
            gather_learned(model)
    state = run.state
    return Fitted(
        steps=state.step,
        epochs=_epoch(state),
        best_dev=state.best
        if ends_best or not state.curve
        else Evaluation(*state.curve[-1]).dev_loss,
        best_step=state.best_step if ends_best else state.step,
        seconds=run.seconds(),
        stopped=reason,
        curve=tuple(Evaluation(*point) for point in state.curve),
        log=out / "log.jsonl",
    )


@dataclass(kw_only=True)
class Progress(State):
    """Where a training by likelihood stands.

    Args:
        lr: Learning rate of the next step, but for rise and fall.
        epoch: Number of the epoch, from 0.
        position: Batches of the epoch that are done.
        before: What the schedule looks at, its means of the last evaluations.
        interval: Sums since the last line of the log.
        since: Sums since the last evaluation.
    """

    lr: float
    epoch: int = 0
    position: int = 0
    before: list[float] = field(default_factory=list)
    interval: dict[str, float] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)


class _Likelihood:
    """The steps and evaluations of a model, and the sums of its losses between them."""

    def __init__(
        self,
        model: nn.Module,
        train_plan: Callable[[int], list[np.ndarray]],
        collate: Callable[[np.ndarray], Any],
        dev_batches: Callable[[], Iterable[Any]] | None,
        settings: Training,
        team: Ranks,
        watched: str | None,
        ends_best: bool,
    ) -> None:
        self.model, self.settings, self.team = model, settings, team
        self.train_plan, self.collate, self.dev_batches = train_plan, collate, dev_batches
        self.watched, self.ends_best = watched or "loss", ends_best
        model.train()
        self.sharded = is_cut(dict(model.named_parameters()))
        self.parallel: nn.Module = model if self.sharded else team.accelerator.prepare_model(model)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = optim.optimiser(self.parameters, settings, team.device)
        self.batches: list[np.ndarray] | None = None  # of the epoch
        self.interval, self.since = Sums(), Sums()
        self.norm = torch.zeros((), device=team.device)
        self.sound = torch.ones((), dtype=torch.bool, device=team.device)
        self.checked = 0  # the last step whose loss is known to be a number

    def task(self, batches: int) -> Task[Progress]:
        """Say what a run is made of.

        Args:
            batches: Batches of an epoch.
        """
        settings = self.settings
        steps = batches * settings.epochs
        return Task(
            state=Progress(lr=settings.lr),
            steps=min(steps, settings.max_steps or steps),
            parameters=dict(self.model.named_parameters()),
            optimizer=self.optimizer,
            weights=lambda: checkpoints.tensors(self.model),
            step=self.step,
            over=self.over,
            report=self.report,
            measure=None if self.dev_batches is None else self.measure,
            epoch_ended=self.epoch_ended,
            labels=lambda state: {"epoch": _epoch(state)},
            collect=self.collect,
            resumed=self.resumed,
            figures=FIGURES,
            ends_best=self.ends_best,
            look_every=1 if self.team.device.type == "cpu" else LOOK_EVERY,
        )

    def step(self, state: Progress) -> None:
        """Make one step on a global batch."""
        team, settings = self.team, self.settings
        rows = (self.batches or [])[state.position]
        reseed(seed_for(settings.seed, "dropout", state.step, team.rank), team.device)
        own, counts = team.rows(rows)
        batch = self.collate(own).to(team.device)
        with team.autocast(settings.precision):
            losses = self.parallel(batch)
        names, sums = vector(losses, team.device, counts=counts)
        counts_of_all = team.sum(sums[:2])  # how much the global batch counts
        per_token, per_row = (1 / counts_of_all.clamp(min=1)).to(losses.token_loss.dtype)
        loss = losses.token_loss * per_token + losses.row_loss * per_row
        # Gradients of several processes are averaged, but the objective is a sum over them.
        team.accelerator.backward(loss * (team.world if counts else 0))
        limit = settings.clip or math.inf
        norm = team.accelerator.clip_grad_norm_(self.parameters, limit)
        self.norm = whole(torch.as_tensor(norm))
        self.sound = torch.isfinite(self.norm) & torch.isfinite(loss.detach())
        optim.set_lr(self.optimizer, self.lr(state))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.interval.add(names, sums)
        self.since.add(names, sums)
        state.position += 1
        if team.device.type == "cpu":  # where a look at the loss costs nothing
            self.check(bool(self.sound), state.step + 1)

    def over(self, state: Progress) -> str | None:
        """Begin the next epoch where one has ended; say why the run is over, if it is."""
        settings = self.settings
        while True:
            if self.epoch_ended(state):
                state.epoch, state.position, self.batches = state.epoch + 1, 0, None
            if state.epoch >= settings.epochs:
                return "epochs"
            if settings.max_steps and state.step >= settings.max_steps:
                return "max_steps"
            if self.batches is not None:
                return None
            self.batches = self.train_plan(state.epoch)

    def epoch_ended(self, state: Progress) -> bool:
        """Whether no batch of the epoch is left."""
        return self.batches is not None and state.position == len(self.batches)

    def lr(self, state: Progress) -> float:
        """Learning rate of the next step."""
        settings = self.settings
        return optim.scheduled(state.lr, state.step, settings.warmup, settings.linear)

    def report(self, state: Progress, seconds: float) -> dict[str, Any]:
        """Means over the steps since the last line of the log."""
        sums = self.interval.read(self.team.sum)
        self.check(finite(sums) and bool(self.sound), state.step)
        self.interval = Sums()
        speed = sums[TOKENS] / max(seconds, 1e-9)
        row = {**means(sums), "lr": self.lr(state), "grad_norm": self.norm.item()}
        return {**row, "tokens_per_second": round(speed, 1)}

    def measure(self, state: Progress, interrupted: Callable[[], bool]) -> Measurement | None:
        """Measure the development data in evaluation mode; the learning rate may fall."""
        team = self.team
        total = Sums()
        breaks = torch.zeros(1, device=team.device)
        self.model.eval()
        with torch.no_grad(), team.autocast(self.settings.precision):
            for number, batch in enumerate((self.dev_batches or list)()):
                stop = interrupted()
                breaks += stop
                # Passes of weights that are cut need all processes: they break off together.
                if team.sum(breaks).item() if self.sharded else stop:
                    break
                own = number % team.world == team.rank
                # Each process must know the names.
                if own or number == 0 or self.sharded:
                    losses = self.model(batch.to(team.device))
                    total.add(*vector(losses, team.device, counts=own))
        self.model.train()
        if team.sum(breaks).item():
            return None
        sums = total.read(team.sum)
        if not sums.get(TOKENS):
            raise DataError("there is no token to evaluate on; give development data")
        averages = means(sums)
        loss = averages.pop("loss")
        # The objective may be weighted; the likelihood of a token is what runs are compared by.
        loss = averages.pop("nll", sums[TOKEN_LOSS] / sums[TOKENS])
        since = self.since.read(team.sum)
        self.check(math.isfinite(loss) and finite(since), state.step)
        self.since = Sums()
        trained = means(since) if since else {"loss": math.nan, self.watched: math.nan}
        train_loss, watched = trained["loss"], trained[self.watched]
        state.lr = optim.decayed(state.lr, self.settings.decay, watched, state.before)
        state.before = [*state.before, watched][-3:]
        row = {
            "dev_loss": loss,
            "dev_perplexity": math.exp(min(loss, 700.0)),
            **{f"dev_{name}": value for name, value in averages.items()},
            "lr": self.lr(state),
        }
        return Measurement(row, loss, Evaluation(state.step, train_loss, loss))

    def collect(self, state: Progress) -> None:
        """Read the sums into the state; weights that are not numbers are never saved."""
        state.interval = self.interval.read(self.team.sum)
        state.since = self.since.read(self.team.sum)
        self.check(finite(state.since) and bool(self.sound), state.step)

    def resumed(self, state: Progress) -> None:
        """Go on with the sums of a state."""
        self.interval = Sums(state.interval, first=self.team.first)
        self.since = Sums(state.since, first=self.team.first)
        self.checked = state.step

    def check(self, right: bool, last: int) -> None:
        """Stop at a loss that is not a number.

        Args:
            right: Whether all are numbers of the steps since the last check.
            last: The last of these steps.
        """
        first = self.checked + 1
        if not right:
            where = f"at step {last}" if first >= last else f"between steps {first} and {last}"
            raise RunError(
                f"the loss or its gradient is not a number {where}; lower lr or clip, and go"
                " on from the last checkpoint"
            )
        self.checked = last


def _epoch(state: Progress) -> int:
    # From 1, as people count them; between two epochs it is the one that has ended.
    return state.epoch + bool(state.position)


def _digest(plan: Sequence[np.ndarray]) -> str:
    rows = hashlib.sha256()
    for batch in plan:
        rows.update(np.ascontiguousarray(batch, dtype=np.int64).tobytes() + b"/")
    return rows.hexdigest()[:12]
