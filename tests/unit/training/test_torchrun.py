"""Two processes give what one gives with the same global batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from emotone.training import checkpoint
from unit.training import toy

pytestmark = pytest.mark.slow  # starts processes

#: Sums over a batch are taken in another order; float32 has 1.2e-7 of relative precision.
CURVE, WEIGHTS = 1e-5, 1e-4
#: Every step logged; 70 rows by 16 leave 6 for the last batch of an epoch.
SETTINGS = {"epochs": 6, "log_every": 1, "lr": 0.01, "train_rows": 70, "patience": 0}


def torchrun(out: Path, **settings) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(toy.__file__).parents[2]), *sys.path])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*command, "--nproc_per_node", "2", toy.__file__, str(out), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def gloo() -> None:
    """Skip where two processes cannot find each other at all, whatever they train."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
    program = "import torch.distributed as d; d.init_process_group('gloo'); d.barrier()"
    program += "; d.destroy_process_group()"
    code = ["2", "--no-python", sys.executable, "-c", program]
    done = subprocess.run([*command, *code], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("torchrun cannot start two processes with gloo on this machine")


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "settings",
    [
        {"clip": 0.5},
        # 65 rows: the last batch of an epoch has one row, so the second process has none. A mean
        # over several steps would tell if it counted another.
        {"train_rows": 65, "optimiser": "sgd", "lr": 0.5, "decay": 0.9, "evaluate_every": 2}
        | {"log_every": 3},
    ],
)
def test_two_processes_equal_one(gloo, tmp_path, settings):
    settings = {**SETTINGS, **settings}
    one, _ = toy.train(tmp_path / "one", toy.model(dropout=0.0), **settings)
    process = torchrun(tmp_path / "two", dropout=0.0, **settings)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    pairs = list(zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True))
    assert len(pairs) > 20
    for a, b in pairs:
        assert a.keys() == b.keys()
        for key in a.keys() - {"seconds", "tokens_per_second"}:
            assert a[key] == pytest.approx(b[key], rel=CURVE, abs=CURVE), (a["step"], key)
    weights, two = checkpoint.weights(one), load_file(tmp_path / "two" / "final.safetensors")
    for key, value in weights.items():
        assert (two[key] - value).abs().max() < WEIGHTS, key
    said = [line for line in said.splitlines() if "WARN" in line.upper()]
    assert not [line for line in said if "OMP_NUM_THREADS" not in line], said


def test_two_processes_stop_together_and_one_goes_on(gloo, tmp_path):
    settings = {**SETTINGS, "epochs": 4, "dropout": 0.0}
    process = torchrun(tmp_path / "two", pause=0.1, **settings)
    while not (tmp_path / "two" / "log.jsonl").exists() or not rows(tmp_path / "two"):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=300)[1]
    assert process.returncode != 0
    assert "asked to stop; saved" in said
    steps = checkpoint.read_state(checkpoint.steps(tmp_path / "two" / "checkpoints")[0])["step"]
    assert 1 <= steps < 20
    del settings["dropout"]
    toy.train(tmp_path / "two", toy.model(dropout=0.0, seed=9), **settings)
    toy.train(tmp_path / "one", toy.model(dropout=0.0), **settings)
    for a, b in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        for key in a.keys() - {"seconds", "tokens_per_second"}:
            assert a[key] == pytest.approx(b[key], rel=CURVE, abs=CURVE), (a["step"], key)


def test_an_error_of_the_first_process_is_everybodys(gloo, tmp_path):
    toy.train(tmp_path, **{**SETTINGS, "max_steps": 5})
    process = torchrun(tmp_path, **{**SETTINGS, "resume": "never"})
    said = process.communicate(timeout=300)[1]
    assert process.returncode != 0
    assert said.count("holds the checkpoints of a run") >= 1
    assert "Timeout" not in said


def test_a_curve_differs_where_the_batches_differ(tmp_path):
    """The tolerance would see it."""
    toy.train(tmp_path / "a", toy.model(dropout=0.0), **SETTINGS)
    toy.train(tmp_path / "b", toy.model(dropout=0.0), **{**SETTINGS, "seed": 2})
    pairs = zip(rows(tmp_path / "a"), rows(tmp_path / "b"), strict=True)
    assert any(abs(a.get("loss", 0) - b.get("loss", 0)) > 100 * CURVE for a, b in pairs)
