"""A run of reinforcement that was interrupted ends as one that was not, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bench.kills import RUNS, kills

from emotone.errors import CheckpointError, ConfigError
from emotone.rl.policy import trainable_parameters
from emotone.rl.trainer import TIMINGS
from emotone.training import checkpoint
from emotone.training.checkpoint import copied
from unit.rl import trainer_toy as toy

TOY = Path(toy.__file__)


def start(out: Path, *before: str, **settings) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(TOY.parents[2]), *sys.path])
    return subprocess.Popen(
        [sys.executable, *before, str(TOY), str(out), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = copied(trainable_parameters(one)), copied(trainable_parameters(other))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def log(out: Path) -> list[dict]:
    rows = map(json.loads, (out / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


def last(out: Path) -> Path:
    return checkpoint.steps(out / "checkpoints")[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": True, "updates": 2, "kl": {"horizon": 50}},
        {"algorithm": "rloo", "epochs": 1, "warmup": 3, "linear": 12},
        {"algorithm": "grpo", "precision": "bf16", "ppo": {"scale_scores": False}},
    ],
)
def test_ten_steps_equal_six_and_four(tmp_path, settings):
    whole, done = toy.train(tmp_path / "whole", steps=10, **settings)
    halves, first = toy.train(tmp_path / "halves", steps=6, **settings)
    assert first.steps == 6
    spent = checkpoint.read_state(last(tmp_path / "halves"))["seconds"]
    # What a policy held before does not matter: all that learns comes from the checkpoint.
    other = toy.Toy()
    other.load_state_dict(halves.state_dict())
    halves, second = toy.train(tmp_path / "halves", other, steps=10, **settings)
    assert same(whole, halves)
    assert second.curve == done.curve
    assert second.seconds > spent
    # The measuring at the end of the shorter run is not in the log of the longer one.
    assert log(tmp_path / "halves") == log(tmp_path / "whole")
    for file in (checkpoint.MODEL, checkpoint.OPTIMIZER):
        one, other = last(tmp_path / "whole") / file, last(tmp_path / "halves") / file
        assert one.read_bytes() == other.read_bytes()


def test_what_was_written_after_the_checkpoint_is_written_again(tmp_path):
    whole, _ = toy.train(tmp_path / "whole", steps=7)

    def failing(rows, texts):
        if len(texts) == 16:  # a step; the development data are fewer
            failing.left -= 1
            if failing.left == 0:
                raise RuntimeError("the machine is gone")
        return toy.worth(rows, texts)

    failing.left = 6
    with pytest.raises(RuntimeError):
        toy.train(tmp_path / "killed", steps=7, save_every=2, reward=failing)
    assert checkpoint.read_state(last(tmp_path / "killed"))["step"] == 4
    assert log(tmp_path / "killed")[-1]["step"] == 5
    again, _ = toy.train(tmp_path / "killed", steps=7, save_every=2)
    assert same(whole, again)
    assert log(tmp_path / "whole") == log(tmp_path / "killed")


def test_the_best_weights_outlive_the_step_they_are_of(tmp_path):
    # A guard that refuses all but the start makes the first evaluation the best one.
    more = {"guards": {"distinct": 1.0}, "save_every": 2, "evaluate_every": 2}
    best, done = toy.train(tmp_path, steps=4, **more)
    assert (done.best_step, (last(tmp_path) / checkpoint.BEST).exists()) == (0, True)
    again, second = toy.train(tmp_path, best, steps=6, **more)
    assert (second.best_step, second.steps) == (0, 6)
    assert same(again, toy.Toy())


def test_a_finished_run_is_left_as_it_is(tmp_path, capsys):
    done, found = toy.train(tmp_path, steps=5)
    rows = (tmp_path / "log.jsonl").read_text()
    again, second = toy.train(tmp_path, steps=5, progress=True)
    assert same(done, again)
    assert (second.steps, second.curve) == (found.steps, found.curve)
    assert (tmp_path / "log.jsonl").read_text() == rows
    assert f"going on from {last(tmp_path)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lr": 0.1}, "lr (0.03 then, 0.1 now)"),
        ({"sampling": {"top_k": 4}}, "sampling"),
        ({"prompts": 49}, "prompts"),
        ({"dev": False}, "development data"),
        ({"depends_on": {"reward": "b"}}, 'reward ("a" then, "b" now)'),
        ({"toy": "wider"}, "shapes of the model"),
        ({"algorithm": "rloo"}, 'algorithm ("ppo" then, "rloo" now)'),
    ],
)
def test_another_run_is_refused(tmp_path, changed, said):
    if "toy" in changed:
        changed = {"toy": toy.Toy(width=16)}
    begun = {"steps": 1, "depends_on": {"reward": "a"}}
    toy.train(tmp_path, **begun)
    with pytest.raises(ConfigError) as error:
        toy.train(tmp_path, **{**begun, **changed})
    assert said in str(error.value)


def test_what_does_not_change_a_step_may_change(tmp_path):
    toy.train(tmp_path, steps=2)
    free = {"patience": 9, "keep": 5, "save_every": 1, "log_every": 1, "threads": 0}
    _, found = toy.train(tmp_path, steps=4, **free)
    assert found.steps == 4
    with pytest.raises(ConfigError, match="holds the checkpoints of a run"):
        toy.train(tmp_path, steps=4, resume="never")


def test_a_run_of_another_kind_is_refused(tmp_path):
    from unit.training.toy import train

    train(tmp_path, max_steps=1)
    with pytest.raises(CheckpointError, match="another kind of training"):
        toy.train(tmp_path)


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path):
    found = kills(2, 1, tmp_path, run="reinforcement")
    assert found.whole, found
    assert found.kills == 2


def test_the_comparison_leaves_out_timings_only():
    assert set(RUNS["reinforcement"].timings) == TIMINGS
