"""A grid of trainings: all the choices, the better half of a rung, and what failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from emotone.cli import sweep as command
from emotone.errors import RunError, Unsupported, UsageError
from emotone.launch import sweep as sweeping
from emotone.launch.sweep import Trial, in_threads, sweep, train, trials_of

#: A system whose loss after n steps is known: the distance of `a` from 3, less for more steps.
TOY = """
import json
from dataclasses import dataclass, field
from pathlib import Path

@dataclass(frozen=True)
class Training:
    max_steps: int = 0
    resume: str = "auto"

@dataclass(frozen=True)
class Config:
    a: int = 0
    b: str = "x"
    training: Training = field(default_factory=Training)

def load(model=None, **_):
    raise NotImplementedError

def tiny():
    raise NotImplementedError

def train(config, out):
    if config.b == "bad":
        raise ValueError("b cannot be bad")
    steps = config.training.max_steps or 100
    log = Path(out) / "log.jsonl"
    with log.open("a") as file:
        loss = abs(config.a - 3) + 1 / steps
        file.write(json.dumps({"step": steps, "dev_loss": loss}) + "\\n")
        file.write(json.dumps({"step": steps, "loss": 0.0}) + "\\n")
    return out
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/__init__.py").touch()
    (tmp_path / "lab/toy.py").write_text(TOY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        monkeypatch.delitem(sys.modules, name)
    return "lab.toy"


def test_a_grid_is_every_choice(tmp_path: Path):
    trials = trials_of(["a=1,2", "b=x, y", "c=[1,2],[3]"], tmp_path)
    assert [t.settings for t in trials[:3]] == [
        ("a=1", "b=x", "c=[1,2]"), ("a=1", "b=x", "c=[3]"), ("a=1", "b=y", "c=[1,2]"),
    ]  # fmt: skip
    assert len({t.folder for t in trials}) == 8
    assert trials[0].folder.name == "1-a=1-b=x-c=_1_2_"
    for grid, reason in (
        (["a"], "cannot be read"),
        (["a=1,,2"], "cannot be read"),
        (["a=1", "a=2"], "comes twice"),
    ):
        with pytest.raises(UsageError, match=reason):
            trials_of(grid, tmp_path)


def losses(a: int) -> float:
    return float(abs(a - 3))


def test_the_better_half_of_a_rung_goes_on(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[tuple[str, int]] = []

    def fake(system: str, fixed: tuple[str, ...], steps: int, trial: Trial) -> Trial:
        a = int(trial.settings[0].removeprefix("a="))
        made.append((trial.settings[0], steps))
        return Trial(trial.settings, trial.folder, losses(a), steps or 500)

    monkeypatch.setattr(sweeping, "train", fake)
    trials = trials_of(["a=0,1,2,3,9"], tmp_path)
    ranked = sweep(toy, trials, rungs=(100, 200), spread=map, out=tmp_path)
    assert made[:5] == [(f"a={n}", 100) for n in (0, 1, 2, 3, 9)]
    assert made[5:] == [("a=3", 200), ("a=2", 200), ("a=1", 200), ("a=3", 0), ("a=2", 0)]
    assert [t.settings[0] for t in ranked] == ["a=3", "a=2", "a=1", "a=0", "a=9"]
    kept = json.loads((tmp_path / "sweep.json").read_text())["trials"]
    assert [row["steps"] for row in kept] == [500, 500, 200, 100, 100]


def test_each_is_a_training_of_its_own(toy: str, tmp_path: Path):
    trials = trials_of(["a=1,3", "b=y,bad"], tmp_path / "out")
    spread = lambda work, blocks: in_threads(2, work, blocks)  # noqa: E731
    told: list[Trial] = []
    ranked = sweep(toy, trials, spread=spread, out=tmp_path / "out", done=told.append)
    assert [t.settings for t in ranked[:2]] == [("a=3", "b=y"), ("a=1", "b=y")]
    assert [t.loss for t in ranked] == [pytest.approx(0.01), pytest.approx(2.01), None, None]
    assert "b cannot be bad" in ranked[2].failure
    assert [t.settings for t in told] == [t.settings for t in trials]
    assert "lab.toy" not in (ranked[0].folder / "train.log").read_text(encoding="utf-8")


def test_where_all_fail_it_says_why(toy: str, tmp_path: Path):
    trials = trials_of(["b=bad"], tmp_path / "out")
    with pytest.raises(RunError, match=r"all 1 trainings that were left failed, .*b cannot be bad"):
        sweep(toy, trials, spread=map, out=tmp_path / "out")


def test_a_training_without_development_data_has_no_loss(toy: str, tmp_path: Path):
    (tmp_path / "lab/toy.py").write_text(TOY.replace('"dev_loss"', '"other"'), encoding="utf-8")
    trial = train(toy, (), 0, trials_of(["a=1"], tmp_path / "out")[0])
    assert (trial.loss, trial.failure) == (None, "it measured no loss on development data")


def test_a_folder_that_a_training_left_behind_holds_is_waited_for(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = TOY.replace(
        'if config.b == "bad":',
        """mark = Path("taken")
    if not mark.exists():
        mark.touch()
        raise ValueError("another run is training in here")
    if config.b == "bad":""",
    )
    (tmp_path / "lab/toy.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(sweeping, "_WAIT", 0.01)
    assert train(toy, (), 0, trials_of(["a=3"], tmp_path / "out")[0]).loss == pytest.approx(0.01)


def test_what_has_no_steps_to_end_by_has_no_rungs(toy: str, tmp_path: Path):
    lacking = TOY.replace("    training: Training = field(default_factory=Training)\n", "")
    (tmp_path / "lab/other.py").write_text(lacking, encoding="utf-8")
    with pytest.raises(Unsupported, match=r"no training\.max_steps to end rungs by"):
        sweep("lab.other", trials_of(["a=1"], tmp_path), rungs=(5,), spread=map, out=tmp_path)


@pytest.mark.parametrize("rungs", ["200,100", "0", "a", "100,100"])
def test_rungs_rise(rungs: str, tmp_path: Path):
    with pytest.raises(UsageError, match="write rising numbers of steps"):
        command.sweep("toy", ["a=1"], tmp_path, rungs=rungs)


def test_trainings_of_all_rungs_are_counted():
    assert command._count(5, 2) == 5 + 3 + 2
    assert command._count(4, 0) == 4
