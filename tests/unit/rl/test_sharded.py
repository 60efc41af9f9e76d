"""A chat model that is cut over two processes learns what it learns in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from emotone.errors import ConfigError
from emotone.rl.policy import trainable_parameters
from emotone.training.checkpoint import copied
from unit.rl import sharded_toy as toy
from unit.rl.test_trainer_torchrun import CLOSE, TORCHRUN, gloo

__all__ = ["gloo"]
#: Adam makes a whole step of a gradient that is all rounding.
WEIGHTS = 1e-4


def torchrun(out: Path, **settings) -> subprocess.Popen[str]:
    out.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join([str(Path(toy.__file__).parents[2]), *sys.path])
    return subprocess.Popen(
        [sys.executable, *TORCHRUN, toy.__file__, str(out), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def check_alike(one: Path, two: Path) -> None:
    pairs = list(zip(rows(one), rows(two), strict=True))
    assert len(pairs) > 10
    for a, b in pairs:
        assert a.keys() == b.keys()
        for key in a.keys() - {"seconds", "tokens_per_second"}:
            assert a[key] == pytest.approx(b[key], rel=CLOSE, abs=CLOSE), (a["step"], key)


@pytest.mark.slow
def test_two_processes_with_half_the_weights_each_equal_one(gloo, tmp_path):
    one = toy.train(tmp_path / "one", clip=0.5)
    process = torchrun(tmp_path / "two", clip=0.5, shard=True)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    check_alike(tmp_path / "one", tmp_path / "two")
    weights = copied(trainable_parameters(one))
    whole = sum(p.numel() for p in one.parameters())
    learned = sum(value.numel() for value in weights.values())
    for rank in (0, 1):
        final = load_file(tmp_path / "two" / f"final-{rank}.safetensors")
        assert final.keys() == weights.keys()
        for key, value in weights.items():
            assert (final[key] - value).abs().max() < WEIGHTS, key
        # Of what is frozen each keeps a half; what was learned is whole again.
        here = int((tmp_path / "two" / f"here-{rank}").read_text())
        assert here < 0.6 * (whole - learned) + learned


@pytest.mark.slow
@pytest.mark.parametrize("first_is_cut", [True, False])
def test_a_run_goes_on_with_another_number_of_processes(gloo, tmp_path, first_is_cut):
    toy.train(tmp_path / "one", max_steps=10)
    for steps, cut in ((6, first_is_cut), (10, not first_is_cut)):
        if cut:
            process = torchrun(tmp_path / "both", max_steps=steps, shard=True)
            said = process.communicate(timeout=300)[1]
            assert process.returncode == 0, said
        else:
            toy.train(tmp_path / "both", max_steps=steps)
    check_alike(tmp_path / "one", tmp_path / "both")


@pytest.mark.slow
def test_a_signal_to_one_in_the_middle_of_an_evaluation_stops_both(gloo, tmp_path):
    process = torchrun(tmp_path / "two", shard=True, signalled="1")
    said = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    assert "asked to stop; saved" in said
    toy.train(tmp_path / "two")
    toy.train(tmp_path / "one")
    check_alike(tmp_path / "one", tmp_path / "two")


def test_a_model_that_cannot_be_cut_says_so(tmp_path):
    from unit.rl.test_supervised import policy_of, settings, supervise, token_pairs

    policy = policy_of()
    data = token_pairs(policy)
    with pytest.raises(ConfigError, match="cannot be cut; leave it off"):
        supervise(policy, data, data, settings=settings(shard=True), out=tmp_path)
