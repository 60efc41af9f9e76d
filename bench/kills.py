"""Kill a training run at random moments, start it again each time, and compare the end.

`python -m bench.kills [--times 50] [--seed 1] [--output docs/results/kills.json]`

The run is the toy of `tests/unit/training/toy.py`, which saves at every step, so that most moments
fall into the writing of a checkpoint. A kill is SIGKILL: nothing can be tidied up. It counts as
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TOY = ROOT / "tests" / "unit" / "training" / "toy.py"
#: Longest wait before a kill once a run trains, in seconds.
LONGEST = 0.3
#: Pause in each step, in seconds: no machine makes more than 30 steps between two kills.
PAUSE = 0.01
STEPS_A_KILL = 30
TIMINGS = ("seconds", "tokens_per_second")


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


def kills(times: int, seed: int, folder: Path) -> Survived:
    """Kill a run so many times, then let it end, and compare it with one that was left alone."""
    steps = STEPS_A_KILL * times + 20
    settings = {"epochs": steps, "max_steps": steps, "patience": 0, "save_every": 1, "lr": 0.01}
    settings |= {"evaluate_every": 7, "progress": True, "train_rows": 80}
    chance = random.Random(seed)
    out, alone = folder / "killed", folder / "alone"
    killed = continued = writing = 0
    newest = None
    while killed < times:
        process, said = _start(out, {**settings, "pause": PAUSE})
        _wait_until_it_trains(process, said)
        time.sleep(chance.uniform(0, LONGEST))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"the run ended before it was killed: {said.read_text()}")
        continued += killed > 0 and _went_on(said, newest)
        killed += 1
        newest = max(out.glob("checkpoints/step-*"), default=None)
        writing += any(out.glob("checkpoints/.*.part"))
    process, said = _start(out, settings)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the run did not go on: {said.read_text()}")
    continued += _went_on(said, newest)
    process, _ = _start(alone, {**settings, "save_every": steps})
    process.join()
    return Survived(
        kills=killed,
        continued=continued,
        while_writing=writing,
        steps=steps,
        same_weights=_bytes(out, "final.safetensors") == _bytes(alone, "final.safetensors"),
        same_optimiser=_bytes(_last(out), "optimizer.safetensors")
        == _bytes(_last(alone), "optimizer.safetensors"),
        same_log=log(out) == log(alone),
    )


def log(out: Path) -> list[dict[str, Any]]:
    """Read a run's log without what differs between equal runs."""
    rows = map(json.loads, (out / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


def _start(out: Path, settings: dict[str, Any]) -> tuple[Any, Path]:
    # Children of a process that has torch loaded begin at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["emotone.training.loop"])
    said = out.with_suffix(".stderr")
    said.unlink(missing_ok=True)
    process = context.Process(target=_run, args=(out, settings, said))
    process.start()
    return process, said


def _run(out: Path, settings: dict[str, Any], said: Path) -> None:
    with said.open("w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.argv = [str(TOY), str(out), json.dumps(settings)]
    runpy.run_path(str(TOY), run_name="__main__")


def _wait_until_it_trains(process: Any, said: Path) -> None:
    while process.is_alive():
        if said.exists() and "training for at most" in said.read_text(encoding="utf-8"):
            return
        time.sleep(0.005)


def _went_on(said: Path, newest: Path | None) -> bool:
    return newest is None or f"going on from {newest}\n" in said.read_text(encoding="utf-8")


def _last(out: Path) -> Path:
    return max(out.glob("checkpoints/step-*"))


def _bytes(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--times", type=int, default=50)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--output", type=Path, default=None)
    chosen = arguments.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = kills(chosen.times, chosen.seed, Path(folder))
    print(f"killed {found.kills} times, {found.while_writing} of them while writing")
    print(f"continued from the newest checkpoint: {found.continued} of {found.kills}")
    for name in ("weights", "optimiser", "log"):
        same = "equal" if getattr(found, f"same_{name}") else "DIFFER"
        print(f"{name} after {found.steps} steps: {same}")
    print(f"{time.perf_counter() - began:.0f} s")
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    raise SystemExit(0 if found.whole else 1)


if __name__ == "__main__":
    main()
