"""`emotone train`, with a system from outside that trains the toy of the training tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from emotone.cli import main

SYSTEM = '''
"""Nodding: a system of one setting and the training of a toy."""

from dataclasses import asdict, dataclass, field

from emotone.training import Training
from unit.training import toy


@dataclass(frozen=True)
class Config:
    width: int = 12
    training: Training = field(default_factory=Training)


def load(model=None, *, device="auto", config=None):
    raise NotImplementedError


def train(config, out):
    toy.train(out, toy.Toy(width=config.width), progress=True, **asdict(config.training))
    return out
'''
TOML = "[training]\nepochs = 2\nbatch = 16\nlog_every = 5\n"


@pytest.fixture
def nodding(tmp_path, monkeypatch) -> str:
    (tmp_path / "nodding_system").mkdir()
    (tmp_path / "nodding_system" / "nodding.py").write_text(SYSTEM)
    (tmp_path / "small.toml").write_text(TOML)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield "nodding_system.nodding"
    for name in ("nodding_system", "nodding_system.nodding"):
        sys.modules.pop(name, None)


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["emotone", "train", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def steps(out: Path) -> list[int]:
    rows = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [row["step"] for row in rows if "loss" in row]


def test_a_config_is_trained_and_the_folder_is_the_result(nodding, monkeypatch, capsys):
    assert run(monkeypatch, nodding, "--config", "small.toml", "--device", "cpu") == 0
    said = capsys.readouterr()
    assert said.out == "runs/nodding-small\n"
    assert "training for at most 20 steps" in said.err
    assert steps(Path("runs/nodding-small")) == [5, 10, 15, 20]


def test_overrides_out_and_resume(nodding, monkeypatch, capsys):
    short = ["--config", "small.toml", "--out", "mine", "--set", "training.epochs=1"]
    assert run(monkeypatch, nodding, *short) == 0
    assert steps(Path("mine")) == [5, 10]
    assert run(monkeypatch, nodding, "--config", "small.toml", "--out", "mine") == 0
    assert "going on from mine/checkpoints/step-00000010" in capsys.readouterr().err
    assert steps(Path("mine")) == [5, 10, 15, 20]
    assert run(monkeypatch, nodding, *short, "--resume", "never") == 2
    assert "holds the checkpoints of a run" in capsys.readouterr().err
    place = "mine/checkpoints/step-00000010"
    assert run(monkeypatch, nodding, *short, "--resume", place) == 0
    assert run(monkeypatch, nodding, *short, "--set", "training.lr=0.1") == 2
    assert "lr (0.001 then, 0.1 now)" in capsys.readouterr().err
    (Path(place) / "state.json").write_text("{}")
    assert run(monkeypatch, nodding, *short, "--resume", place) == 1
    assert "state.json is damaged" in capsys.readouterr().err


def test_wrong_use_is_exit_2(nodding, monkeypatch, capsys):
    assert run(monkeypatch, nodding, "--set", "training.epoch=3") == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert run(monkeypatch, nodding, "--set", "training.lr=-1.0") == 2
    assert "lr is -1.0; use more than 0" in capsys.readouterr().err
    assert run(monkeypatch, nodding, "--device", "tpu") == 2
    assert "'tpu'" in capsys.readouterr().err
    assert run(monkeypatch, nodding, "--config", "none.toml") == 2
    assert "cannot read none.toml" in capsys.readouterr().err
    assert run(monkeypatch, "nodding_system.other") == 2
    assert "unknown system" in capsys.readouterr().err


def test_systems_without_training_say_so(monkeypatch, capsys):
    assert run(monkeypatch, "echo") == 2
    assert "echo has nothing to train" in capsys.readouterr().err


def test_a_system_from_outside_without_train_says_so(nodding, monkeypatch, capsys):
    path = Path("nodding_system/nodding.py")
    path.write_text(path.read_text().replace("def train(", "def other("))
    assert run(monkeypatch, nodding) == 2
    assert "offers no train" in capsys.readouterr().err
