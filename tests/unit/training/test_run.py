"""What every run does around the steps of its task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from emotone.errors import ConfigError, RunError
from emotone.rl.trainer import Progress as Reinforcement
from emotone.training import checkpoint
from emotone.training.loop import Progress as Likelihood
from emotone.training.run import Measurement, Run, Task, locked, prepared
from emotone.training.settings import RunSettings
from emotone.training.state import State, as_json, from_json

COMMON = {"step", "pending", "best", "best_step", "worse", "curve", "seconds", "log_bytes"}
COMMON |= {"identity", "optimizer"}


@dataclass(kw_only=True)
class Counted(State):
    """A state that remembers one thing more."""

    total: float = 0.0


def run(out: Path | None, steps: int, scores: dict[int, float | None] | None = None, **changes):
    """Add one to a number in each step; an evaluation has the score that is given for it."""
    number = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([number], lr=1.0)

    def step(state: Counted) -> None:
        number.grad = -torch.ones(2)
        optimizer.step()
        state.total += 1

    def measure(state: Counted, _) -> Measurement:
        score = (scores or {})[state.step]
        return Measurement({"dev": score, "lr": 1.0}, score, [state.step, score])

    settings = RunSettings(**{"log_every": 1, "save_every": 2, "evaluate_every": 2, **changes})
    with prepared(settings, out) as (team, request):
        task = Task(
            state=Counted(),
            steps=steps,
            parameters={"number": number},
            optimizer=optimizer,
            step=step,
            over=lambda state: "steps" if state.step >= steps else None,
            report=lambda state, _seconds: {"total": state.total, "nothing": float("nan")},
            measure=None if scores is None else measure,
        )
        under_way = Run(
            task, settings=settings, team=team, request=request, out=out, identity={"of": (1, 2)}
        )
        reason = under_way.train()
    return under_way.state, number.detach(), reason


def test_it_goes_on_with_what_the_task_remembers(tmp_path):
    state, number, reason = run(tmp_path, 3)
    assert (state.step, state.total, reason) == (3, 3.0, "steps")
    state, number, _ = run(tmp_path, 5)
    assert (state.step, state.total, number.tolist()) == (5, 5.0, [5.0, 5.0])
    lines = [json.loads(x) for x in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(x["step"], x["total"]) for x in lines] == [(i, float(i)) for i in range(1, 6)]
    assert lines[0].keys() == {"step", "total", "seconds"}  # and no number that is not finite


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(None, 4, {2: 1.0, 4: 2.0})[1].tolist() == [2.0, 2.0]
    assert not list(tmp_path.iterdir())


def test_the_best_weights_are_those_of_the_best_score_that_counts(tmp_path):
    state, number, _ = run(tmp_path, 6, {2: 3.0, 4: 1.0, 6: None}, patience=0)
    assert (state.best, state.best_step, state.worse) == (1.0, 4, 1)
    assert number.tolist() == [4.0, 4.0]
    assert state.curve == [[2, 3.0], [4, 1.0], [6, None]]
    saved = checkpoint.steps(tmp_path / "checkpoints")[0]
    assert checkpoint.read_tensors(saved, checkpoint.MODEL)["number"].tolist() == [6.0, 6.0]
    assert checkpoint.read_tensors(saved, checkpoint.BEST)["number"].tolist() == [4.0, 4.0]


def test_patience_goes_before_what_the_task_says(tmp_path):
    state, _, reason = run(tmp_path, 4, {2: 1.0, 4: 2.0}, patience=1)
    assert (state.step, reason) == (4, "patience")


def test_another_identity_is_refused(tmp_path):
    run(tmp_path, 2)
    saved = checkpoint.steps(tmp_path / "checkpoints")[0]
    assert checkpoint.read_state(saved)["identity"] == {"of": [1, 2]}
    values = json.loads((saved / "state.json").read_text())
    values["identity"] = {"of": [1, 3]}
    checkpoint.save(
        tmp_path / "checkpoints",
        2,
        model=checkpoint.read_tensors(saved, checkpoint.MODEL),
        optimizer={},
        best=None,
        state=values,
        keep=2,
    )
    with pytest.raises(ConfigError, match=r"other of \(\[1, 3\] then, \[1, 2\] now\)"):
        run(tmp_path, 3)


def test_a_folder_is_held_and_given_back(tmp_path):
    with locked(tmp_path), pytest.raises(RunError, match="another run is training"):
        run(tmp_path, 1)
    run(tmp_path, 1)


def test_the_keys_of_a_checkpoint_are_frozen():
    """A run that was killed long ago goes on."""
    likelihood = COMMON | {"lr", "epoch", "position", "before", "interval", "since"}
    assert as_json(Likelihood(lr=1.0)).keys() == likelihood
    reinforcement = COMMON | {"kl_weight", "moments", "kl_negative"}
    assert as_json(Reinforcement(kl_weight=0.2)).keys() == reinforcement
    state = Likelihood(lr=1.0, epoch=3, curve=[[1, 2.0, 3.0]])
    assert from_json(Likelihood, json.loads(json.dumps(as_json(state))), Path("x")) == state
