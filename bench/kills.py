"""Kill a training run at random moments, start it again each time, and compare the end.

`python -m bench.kills [--run training] [--times 50] [--seed 1] [--output docs/results/kills.json]`

The run is the toy of `tests/unit/training/toy.py`, or with `--run reinforcement` that of
`tests/unit/rl/trainer_toy.py`. It saves at every step, so that most moments fall into the writing
of a checkpoint. A kill is SIGKILL: nothing can be tidied up. It counts as
survived when the next start goes on from the newest checkpoint there was. At the end weights,
optimiser and log must equal those of a run that nobody killed, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests" / "unit"
#: Longest wait before a kill once a run trains, in seconds.
LONGEST = 0.3
TIMINGS = ("seconds", "tokens_per_second")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run that is killed.

    Args:
        toy: The program.
        loop: The module to have loaded before it starts.
        pause: Pause in each step, in seconds: no machine makes more steps between two kills than
            `LONGEST` holds pauses.
        settings: Of the run.
        limit: The setting that ends it.
        timings: Keys of the log that differ between two equal runs.
    """

    toy: Path
    loop: str
    pause: float
    settings: dict[str, Any]
    limit: str
    timings: tuple[str, ...]

    def steps(self, times: int) -> int:
        """Steps that so many kills cannot come to the end of."""
        return round(LONGEST / self.pause) * times + 20


RUNS = {
    "training": Kind(
        TESTS / "training" / "toy.py",
        "emotone.training.loop",
        0.01,
        {"patience": 0, "evaluate_every": 7, "lr": 0.01, "train_rows": 80, "epochs": 10**6},
        "max_steps",
        TIMINGS,
    ),
    "reinforcement": Kind(
        TESTS / "rl" / "trainer_toy.py",
        "emotone.rl.trainer",
        0.02,
        {"evaluate_every": 7, "epochs": 2, "updates": 2, "dropout": True, "lr": 0.01},
        "steps",
        ("seconds", "rollout_seconds", "score_seconds", "listen_seconds", "learn_seconds"),
    ),
}


@dataclass(frozen=True, slots=True)
class Survived:
    """What came of the kills.

    Args:
        kills: How often the run was killed.
        continued: How often it went on from the newest checkpoint there was.
        while_writing: How many kills left a half-written checkpoint.
        steps: Steps of the whole run.
        same_weights: Whether the last weights equal those of the run that nobody killed.
        same_optimiser: The same of the optimiser's state.
        same_log: The same of the log, timings left out.
    """

    kills: int
    continued: int
    while_writing: int
    steps: int
    same_weights: bool
    same_optimiser: bool
    same_log: bool

    @property
    def whole(self) -> bool:
        """Whether nothing was lost."""
        same = self.same_weights and self.same_optimiser and self.same_log
        return same and self.continued == self.kills


def kills(times: int, seed: int, folder: Path, *, run: str = "training") -> Survived:
    """Kill a run so many times, then let it end, and compare it with one that was left alone."""
    kind = RUNS[run]
    steps = kind.steps(times)
    settings = {**kind.settings, kind.limit: steps, "save_every": 1, "progress": True}
    chance = random.Random(seed)
    out, alone = folder / "killed", folder / "alone"
    killed = continued = writing = 0
    newest = None
    while killed < times:
        process, stderr = _start(kind, out, {**settings, "pause": kind.pause})
        _wait_until_it_trains(process, stderr)
        time.sleep(chance.uniform(0, LONGEST))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"the run ended before it was killed: {stderr.read_text()}")
        continued += killed > 0 and _went_on(stderr, newest)
        killed += 1
        newest = max(out.glob("checkpoints/step-*"), default=None)
        writing += any(out.glob("checkpoints/.*.part"))
    process, stderr = _start(kind, out, settings)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the run did not go on: {stderr.read_text()}")
    continued += _went_on(stderr, newest)
    process, _ = _start(kind, alone, {**settings, "save_every": steps})
    process.join()
    return Survived(
        kills=killed,
        continued=continued,
        while_writing=writing,
        steps=steps,
        same_weights=_bytes(out, "final.safetensors") == _bytes(alone, "final.safetensors"),
        same_optimiser=_bytes(_last(out), "optimizer.safetensors")
        == _bytes(_last(alone), "optimizer.safetensors"),
        same_log=log(out, kind.timings) == log(alone, kind.timings),
    )


def log(out: Path, timings: Sequence[str] = TIMINGS) -> list[dict[str, Any]]:
    """Read a run's log without what differs between equal runs."""
    rows = map(json.loads, (out / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [{k: v for k, v in row.items() if k not in timings} for row in rows]


def _start(kind: Kind, out: Path, settings: dict[str, Any]) -> tuple[Any, Path]:
    # Children of a process that has torch loaded begin at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([kind.loop])
    stderr = out.with_suffix(".stderr")
    stderr.unlink(missing_ok=True)
    process = context.Process(target=_run, args=(kind.toy, out, settings, stderr))
    process.start()
    return process, stderr


def _run(toy: Path, out: Path, settings: dict[str, Any], stderr: Path) -> None:
    with stderr.open("w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.argv = [str(toy), str(out), json.dumps(settings)]
    runpy.run_path(str(toy), run_name="__main__")


def _wait_until_it_trains(process: Any, stderr: Path) -> None:
    while process.is_alive():
        if stderr.exists() and "training for at most" in stderr.read_text(encoding="utf-8"):
            return
        time.sleep(0.005)


def _went_on(stderr: Path, newest: Path | None) -> bool:
    return newest is None or f"going on from {newest}\n" in stderr.read_text(encoding="utf-8")


def _last(out: Path) -> Path:
    return max(out.glob("checkpoints/step-*"))


def _bytes(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--run", choices=sorted(RUNS), default="training")
    arguments.add_argument("--times", type=int, default=50)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--output", type=Path, default=None)
    chosen = arguments.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcome = kills(chosen.times, chosen.seed, Path(folder), run=chosen.run)
    print(f"killed {outcome.kills} times, {outcome.while_writing} of them while writing")
    print(f"continued from the newest checkpoint: {outcome.continued} of {outcome.kills}")
    for name in ("weights", "optimiser", "log"):
        same = "equal" if getattr(outcome, f"same_{name}") else "DIFFER"
        print(f"{name} after {outcome.steps} steps: {same}")
    print(f"{time.perf_counter() - began:.0f} s")
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(asdict(outcome), indent=1) + "\n", encoding="utf-8")
    raise SystemExit(0 if outcome.whole else 1)


if __name__ == "__main__":
    main()
