"""Two processes learn what one learns from the same global batches."""

from __future__ import annotations

import subprocess
import sys

import pytest
from safetensors.torch import load_file

from emotone.rl.policy import trainable_parameters
from emotone.rl.trainer import TIMINGS
from emotone.training.checkpoint import copied
from unit.rl import trainer_toy as toy
from unit.rl.test_trainer_resuming import log, start

pytestmark = pytest.mark.slow  # starts processes

#: Sums over a batch are taken in another order; float32 has 1.2e-7 of relative precision.
CLOSE = 1e-5
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def gloo() -> None:
    """Skip where two processes cannot find each other at all, whatever they train."""
    program = "import torch.distributed as d; d.init_process_group('gloo'); d.barrier()"
    program += "; d.destroy_process_group()"
    code = ["--no-python", sys.executable, "-c", program]
    if subprocess.run([sys.executable, *TORCHRUN, *code], capture_output=True).returncode:
        pytest.skip("torchrun cannot start two processes with gloo on this machine")


def test_two_processes_equal_one(gloo, tmp_path):
    # Three passes an update in one process, two in each of two.
    settings = {"steps": 5, "lr": 0.01, "updates": 2, "rows_a_pass": 3, "evaluate_every": 3}
    one, _ = toy.train(tmp_path / "one", **settings)
    process = start(tmp_path / "two", *TORCHRUN, **settings)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    pairs = list(zip(log(tmp_path / "one"), log(tmp_path / "two"), strict=True))
    assert len(pairs) > 5
    for a, b in pairs:
        assert a.keys() == b.keys()
        for key in a.keys() - TIMINGS:
            assert a[key] == pytest.approx(b[key], rel=CLOSE, abs=CLOSE), (a["step"], key)
    weights = copied(trainable_parameters(one))
    two = load_file(tmp_path / "two" / "final.safetensors")
    for key, value in weights.items():
        assert (two[key] - value).abs().max() < CLOSE, key
    warned = [line for line in said.splitlines() if "WARN" in line.upper()]
    assert not [line for line in warned if "OMP_NUM_THREADS" not in line], said
