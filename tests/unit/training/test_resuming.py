"""A run that was interrupted ends as one that was not, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from bench.kills import TIMINGS, kills, log

from emotone.errors import ConfigError, RunError
from emotone.training import checkpoint
from emotone.training.log import TIMINGS as LEFT_OUT
from unit.training import toy

TOY = Path(toy.__file__)
LONG = {"epochs": 10, "lr": 0.01, "patience": 0}  # 100 steps


def start(out: Path, **settings) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(TOY.parents[2]), *sys.path])
    return subprocess.Popen(
        [sys.executable, str(TOY), str(out), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = checkpoint.weights(one), checkpoint.weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def last(out: Path) -> Path:
    return checkpoint.steps(out / "checkpoints")[0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"evaluate_every": 7},
        {"evaluate_every": 7, "save_every": 9, "log_every": 3},
        {"optimiser": "sgd", "lr": 2.0, "decay": 0.5, "clip": 0.5, "evaluate_every": 2},
        {"precision": "bf16", "weight_decay": 0.01, "clip": 0.0},
    ],
)
def test_a_hundred_steps_equal_forty_and_sixty(tmp_path, settings):
    settings = {**LONG, **settings}
    whole, fitted = toy.train(tmp_path / "whole", **settings)
    halves, first = toy.train(tmp_path / "halves", max_steps=40, **settings)
    assert (first.stopped, first.steps, fitted.stopped) == ("max_steps", 40, "epochs")
    assert not same(whole, halves)
    rate = checkpoint.read_state(last(tmp_path / "halves"))["lr"]
    assert (rate < settings["lr"]) is ("decay" in settings)
    # What a model held before does not matter: all comes from the checkpoint.
    halves, second = toy.train(tmp_path / "halves", toy.model(seed=9), **settings)
    assert same(whole, halves)
    assert log(tmp_path / "whole") == log(tmp_path / "halves")
    assert second.curve == fitted.curve
    assert (second.best_dev, second.best_step) == (fitted.best_dev, fitted.best_step)
    assert second.seconds > first.seconds
    for file in (checkpoint.MODEL, checkpoint.OPTIMIZER):
        one, other = last(tmp_path / "whole") / file, last(tmp_path / "halves") / file
        assert one.read_bytes() == other.read_bytes()


def test_dropout_is_on_and_its_seed_is_the_runs(tmp_path):
    one, _ = toy.train(tmp_path / "1", max_steps=20)
    again, _ = toy.train(tmp_path / "2", max_steps=20)
    assert same(one, again)
    calm, _ = toy.train(tmp_path / "3", toy.model(dropout=0.0), max_steps=20)
    assert not same(one, calm)


def test_a_finished_run_is_left_as_it_is(tmp_path, capsys):
    done, fitted = toy.train(tmp_path, epochs=3)
    rows = (tmp_path / "log.jsonl").read_text()
    again, second = toy.train(tmp_path, toy.model(seed=9), epochs=3, progress=True)
    assert same(done, again)
    assert (second.steps, second.curve) == (fitted.steps, fitted.curve)
    assert (tmp_path / "log.jsonl").read_text() == rows
    assert f"going on from {last(tmp_path)}" in capsys.readouterr().err


def test_the_best_weights_outlive_the_step_they_are_of(tmp_path):
    settings = {"epochs": 8, "patience": 0}
    best, fitted = toy.train(tmp_path / "whole", toy.spoiling(), **settings)
    assert fitted.best_step == 10
    place = checkpoint.steps(tmp_path / "whole" / "checkpoints")[-1]
    assert (place / checkpoint.BEST).exists()
    toy.train(tmp_path / "halves", toy.spoiling(), max_steps=60, **settings)
    again, second = toy.train(tmp_path / "halves", toy.spoiling(), **settings)
    assert second.best_step == fitted.best_step
    assert same(best, again)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lr": 0.1}, "lr (0.01 then, 0.1 now)"),
        ({"batch": 8}, "batch (16 then, 8 now)"),
        ({"train_rows": 140}, "rows of the batches"),
        ({"depends_on": {"data": "b"}}, 'data ("a" then, "b" now)'),
        ({"toy": "wider"}, "shapes of the model"),
    ],
)
def test_another_run_is_refused(tmp_path, changed, said):
    if "toy" in changed:
        changed = {"toy": toy.Toy(width=16)}
    begun = {"max_steps": 10, "lr": 0.01, "depends_on": {"data": "a"}}
    toy.train(tmp_path, **begun)
    with pytest.raises(ConfigError) as error:
        toy.train(tmp_path, **{**begun, **changed})
    assert said in str(error.value)


def test_what_does_not_change_a_step_may_change(tmp_path):
    toy.train(tmp_path, max_steps=10)
    free = {"patience": 9, "keep": 5, "epochs": 4, "save_every": 3, "log_every": 1}
    _, fitted = toy.train(tmp_path, **free)
    assert fitted.steps == 40


def test_resume_never_and_by_name(tmp_path):
    _, fitted = toy.train(tmp_path / "a", epochs=2, keep=9, save_every=5)
    with pytest.raises(ConfigError, match="holds the checkpoints of a run"):
        toy.train(tmp_path / "a", epochs=2, resume="never")
    toy.train(tmp_path / "b", epochs=2, resume="never")
    assert log(tmp_path / "a") == log(tmp_path / "b")
    place = tmp_path / "a" / "checkpoints" / "step-00000005"
    _, again = toy.train(tmp_path / "a", epochs=2, keep=9, save_every=5, resume=str(place))
    assert log(tmp_path / "a") == log(tmp_path / "b")
    assert again.curve == fitted.curve
    for strange in (str(tmp_path), "step-00000005", str(tmp_path / "b" / "checkpoints" / "x")):
        with pytest.raises(ConfigError, match="use auto, never or a checkpoint in"):
            toy.train(tmp_path / "a", resume=strange)


def test_only_one_run_at_a_time_in_a_folder(tmp_path):
    class Nested(toy.Toy):
        def forward(self, batch):
            with pytest.raises(RunError, match="another run is training"):
                toy.train(tmp_path, max_steps=1)
            return super().forward(batch)

    toy.train(tmp_path, Nested(), max_steps=1)


@pytest.mark.slow
def test_a_signal_saves_and_leaves(tmp_path):
    settings = {"epochs": 3, "pause": 0.1, "save_every": 1000, "progress": True, "log_every": 1}
    process = start(tmp_path / "run", **settings)
    while not (tmp_path / "run" / "log.jsonl").exists() or not log(tmp_path / "run"):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 143, said
    place = last(tmp_path / "run")
    steps = checkpoint.read_state(place)["step"]
    assert 1 <= steps < 30
    assert f"emotone: asked to stop; saved {place}" in said
    assert "Traceback" not in said
    again, _ = toy.train(tmp_path / "run", toy.model(seed=9), epochs=3, log_every=1)
    whole, _ = toy.train(tmp_path / "whole", epochs=3, log_every=1)
    assert same(again, whole)
    assert log(tmp_path / "run") == log(tmp_path / "whole")


@pytest.mark.slow
def test_a_signal_breaks_an_evaluation_off_and_it_is_made_later(tmp_path):
    class Called(toy.Toy):
        def forward(self, batch):
            if not self.training:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(batch)

    before = signal.getsignal(signal.SIGTERM)
    torch.manual_seed(3)
    with pytest.raises(SystemExit) as left:
        toy.train(tmp_path / "run", called := Called(), epochs=3)
    assert left.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert called.training
    state = checkpoint.read_state(last(tmp_path / "run"))
    assert (state["step"], state["pending"], state["curve"]) == (10, True, [])
    again, fitted = toy.train(tmp_path / "run", toy.model(seed=9), epochs=3)
    torch.manual_seed(3)
    whole, other = toy.train(tmp_path / "whole", toy.Toy(), epochs=3)
    assert same(again, whole)
    assert log(tmp_path / "run") == log(tmp_path / "whole")
    assert fitted.curve == other.curve


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path):
    found = kills(6, 1, tmp_path)
    assert found.whole, found
    assert found.kills == 6


def test_the_comparison_leaves_out_timings_only():
    assert set(TIMINGS) == LEFT_OUT


def test_no_global_state_is_left_changed(tmp_path):
    torch.manual_seed(11)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    trained, _ = toy.train(tmp_path, train_rows=16, epochs=1, dev=False, threads=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert "forward" not in vars(trained)
    assert not any(module._forward_hooks for module in trained.modules())
