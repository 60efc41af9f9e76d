"""A run of reinforcement under way: what is around its steps, from the checkpoint to the log."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotone.rl.development import Development, evaluate, refused
from emotone.rl.settings import Reinforce, Reinforced
from emotone.rl.state import State, copied, put
from emotone.rl.types import Policy
from emotone.training import checkpoint as checkpoints
from emotone.training import optim
from emotone.training.distributed import Ranks
from emotone.training.log import Display, Log, note
from emotone.training.resume import resumed_from
from emotone.training.state import check_identity
from emotone.training.stopping import Stopped, StopRequest

#: What a person sees of the log.
FIGURES = {
    "reward": "reward {:.3f}",
    "kl": "kl {:.2f}",
    "length": "length {:.1f}",
    "dev_reward": "dev reward {:.3f}",
}
#: Keys of the log that differ between two equal runs.
TIMINGS = frozenset(
    {"seconds", "rollout_seconds", "score_seconds", "listen_seconds", "learn_seconds"}
)


class Run:
    """What the steps of a run share, and what keeps them whole."""

    def __init__(
        self,
        policy: Policy,
        learning: Mapping[str, nn.Parameter],
        team: Ranks,
        settings: Reinforce,
        out: Path,
        asked: StopRequest,
        made_with: dict[str, Any],
    ) -> None:
        self.policy, self.team, self.settings, self.out = policy, team, settings, out
        self.asked = asked
        self.trained = learning
        self.best: dict[str, Tensor] | None = None
        self.log: Log | None = None
        self.display: Display | None = None
        self.folder = out / "checkpoints"
        place = team.first_does(lambda: resumed_from(settings.resume, self.folder))
        self.state = State(kl_weight=settings.kl, identity=made_with)
        moments: dict[str, Tensor] = {}
        if place is not None:
            self.state = State.from_json(checkpoints.read_state(place), place)
            check_identity(self.state.identity, made_with, place)
            values = checkpoints.read_tensors(place, checkpoints.MODEL)
            put(self.trained, values, str(place))
            if self.state.best is not None:
                here = self.state.best_step == self.state.step and not self.state.pending
                self.best = values if here else checkpoints.read_tensors(place, checkpoints.BEST)
            moments = checkpoints.read_tensors(place, checkpoints.OPTIMIZER)
        policy.eval()
        self.parallel: nn.Module = team.accelerator.prepare_model(policy.module)
        self.parameters = list(self.trained.values())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.lr, fused=True)
        optim.restore(self.trained, self.optimizer, moments, self.state.optimizer)
        self.saved = self.state.step if place is not None else -1
        self.spent, self.clock = self.state.seconds, time.perf_counter()

    def open_logs(self, *, shown: bool) -> None:
        """Begin to log and to show."""
        if self.team.first:
            self.log = Log(self.out / "log.jsonl", self.state.log_bytes)
        shown = shown and self.team.first
        self.display = Display(
            self.settings.steps, self.state.step, shown, figures=FIGURES, evaluation="dev_reward"
        )

    def close(self) -> None:
        """Give back what is open."""
        if self.display is not None:
            self.display.close()
        if self.log is not None:
            self.log.close()

    def half(self) -> AbstractContextManager[Any]:
        """Compute in the precision of the settings."""
        half = self.settings.precision == "bf16"
        return torch.autocast(self.team.device.type, torch.bfloat16, enabled=half)

    def rate(self) -> float:
        """Learning rate of the next step."""
        settings = self.settings
        return optim.scheduled(settings.lr, self.state.step, settings.warmup, settings.linear)

    def evaluate(self, development: Development) -> None:
        """Measure the development data and draw the consequences.

        A signal breaks it off; it is then still pending.
        """
        began = time.perf_counter()
        state = self.state
        found = evaluate(
            self.policy, development, self.settings, self.team, lambda: bool(self.asked.number)
        )
        if found is None:
            return
        state.pending = False
        why = refused(found, state.curve[0] if state.curve else found, self.settings)
        state.curve.append({"step": state.step, **found, "dev_refused": why})
        if not why and (state.best is None or found["dev_reward"] > state.best):
            state.best, state.best_step, state.worse = found["dev_reward"], state.step, 0
            self.best = copied(self.trained)
        else:
            state.worse += 1
        self.write({**found, "dev_refused": why, "best_step": state.best_step, "lr": self.rate()})
        if self.display is not None:
            self.display.pause(time.perf_counter() - began)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a line to the log; numbers that are not finite are left out."""
        if self.log is None or self.display is None:
            return
        kept = {k: v for k, v in row.items() if not isinstance(v, float) or math.isfinite(v)}
        self.log.write({"step": self.state.step, **kept, "seconds": round(self.seconds(), 3)})
        self.display.show(kept)

    def save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        state = self.state
        if self.saved == state.step:
            return
        began = time.perf_counter()
        state.seconds = self.seconds()
        if self.log is not None:  # the first process
            state.log_bytes = self.log.synced()
            moments, state.optimizer = optim.flatten(self.trained, self.optimizer)
            here = state.best is not None and state.best_step == state.step and not state.pending
            checkpoints.save(
                self.folder,
                state.step,
                model=copied(self.trained),
                optimizer={k: v.detach().cpu().contiguous() for k, v in moments.items()},
                best=None if here else self.best,
                state=state.as_json(),
                keep=self.settings.keep,
            )
        self.saved = state.step
        if self.display is not None:
            self.display.pause(time.perf_counter() - began)

    def leave_if_asked(self) -> None:
        """Save and leave if this or another process was sent a signal.

        Raises:
            Stopped: If so.
        """
        number = self.asked.number
        told = torch.full((1,), float(number), device=self.team.device)
        if not self.team.sum(told).item():
            return
        self.save()
        if self.team.first:
            step = checkpoints.name(self.state.step)
            note(f"asked to stop; saved {self.folder / step}, and the same command goes on from it")
        raise Stopped(number or signal.SIGTERM)

    def finish(self, development: Development | None) -> Reinforced:
        """Save, measure the last weights if they were not, and put the best ones in the policy."""
        state = self.state
        stopped = state.stopped(self.settings) or "steps"
        # Before the measuring, which a run that is made longer later does not have here.
        self.save()
        measured = bool(state.curve) and state.curve[-1]["step"] == state.step
        if development is not None and not measured:
            state.pending = True
            self.evaluate(development)
            self.leave_if_asked()
        if self.best is not None:
            put(self.trained, self.best, "the best weights")
        self.policy.eval()
        return Reinforced(
            steps=state.step,
            best_step=state.step if development is None else state.best_step,
            best_reward=state.best,
            stopped=stopped,
            seconds=self.seconds(),
            curve=tuple(state.curve),
            log=self.out / "log.jsonl",
        )

    def seconds(self) -> float:
        """Time spent so far, that before a resume included."""
        return self.spent + time.perf_counter() - self.clock
