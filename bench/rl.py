"""Reinforcement: one PPO step against trl's, and the shared identifier against three networks.

`python -m bench.rl [--trl-python /path/to/venv/bin/python] [--rounds 3] [--threads 1]
[--clock processor] [--output docs/results/bench-rl.json]`

- ppo: a whole step of EmpRL's released settings on a T5 of T5-small's size with random weights:
  32 prompts of 30 to 50 tokens, a reply of exactly 30 tokens to each (top-k 20, temperature 0.9),
  a reward that costs next to nothing, 4 passes over the batch in 4 accumulated parts of 8. Ours is
  the trainer's own step.
- whole: the same with nothing left out of the draw, so that our losses are over all 32,128 words
  as trl's are.
- scoring: 1,000 contexts with a response each, by the identifier that rewards (one trunk reads both
  texts, for all mechanisms) and by three networks of two such trunks each, as EmpRL has them.

Both sides' log-probabilities of the same replies are compared first. trl needs an environment of
its own (`tests/parity/make_trl_rollout.py` says which); its interpreter comes by `--trl-python` or
TRL_PYTHON. On a machine that others use too, `--clock processor --threads 1` counts the seconds
that a process worked instead of those that passed. All is measured in turn (A B B A ...), after one
round that does not count; figures are medians of the rounds' ratios, with their range. A goal that
is missed is printed as missed; none is judged by the wall clock when the machine was busy before.
Parts can be measured one by one (`--only`): the output keeps what it has of the others.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench import rl_work as work
from bench.peers.process import Process

ROOT = Path(__file__).parents[1]
PARTS = ("ppo", "whole", "scoring")
BUSY = 1.5
#: Seconds of each part of a piece of work, "seconds" being the whole.
Seconds = dict[str, float]


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--trl-python", type=Path, default=None)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--clock", choices=work.CLOCKS, default="wall")
    arguments.add_argument("--only", choices=PARTS, action="append")
    arguments.add_argument("--output", type=Path, default=None)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    load = os.getloadavg()[0]
    judged = load <= BUSY or chosen.clock == "processor"
    if not judged:
        print(f"load average is {load:.1f}: no goal is judged", file=sys.stderr)
    named = chosen.trl_python or os.environ.get("TRL_PYTHON")
    results: dict[str, Any] = {}
    if chosen.output and chosen.output.is_file():
        results = json.loads(chosen.output.read_text(encoding="utf-8"))
    for part in (p for p in PARTS if p in (chosen.only or PARTS)):
        bench = Bench(
            chosen.rounds, chosen.clock, chosen.threads, judged, Path(named) if named else None
        )
        getattr(bench, part)()
        results[part] = {
            "ratios": bench.ratios,
            "seconds": bench.seconds,
            "checks": bench.checks,
            "conditions": {
                "clock": chosen.clock,
                "threads": chosen.threads,
                "rounds": chosen.rounds,
                "load before": round(load, 2),
                "torch": torch.__version__,
                "python": platform.python_version(),
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "peer": bench.about,
            },
        }
        if chosen.output:
            chosen.output.parent.mkdir(parents=True, exist_ok=True)
            chosen.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """Return ratios, seconds and checks as Markdown."""
    lines = ["| ours against | times as fast | range | goal | |", "|" + "---|" * 5]
    for name, r in _joined(results, "ratios").items():
        if "not measured" in r:
            lines.append(f"| {name} | not measured: {r['not measured']} | | {r['goal']} | |")
            continue
        low, high = r["range"]
        verdict = {True: "reached", False: "missed", None: ""}[r["reached"]]
        goal = "" if r["goal"] is None else r["goal"]
        lines.append(f"| {name} | {r['ratio']:g} | {low:g} to {high:g} | {goal} | {verdict} |")
    lines += ["", "| seconds (median) | whole | of it |", "|---|---|---|"]
    for part in results.values():
        for name, seconds in part["seconds"].items():
            rest = ", ".join(f"{k} {v:g}" for k, v in seconds.items() if k != "seconds")
            lines.append(f"| {name} | {seconds['seconds']:g} | {rest} |")
    lines += ["", "| check | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in _joined(results, "checks").items()]
    return "\n".join(lines)


def _joined(results: dict[str, Any], what: str) -> dict[str, Any]:
    return {name: value for part in results.values() for name, value in part[what].items()}


class Bench:
    """What is measured, and what came out.

    Args:
        rounds: Rounds of each comparison.
        clock: Name of the clock of both sides.
        threads: Threads of each side.
        judged: Whether goals are judged.
        python: The peer's interpreter, or None.
    """

    def __init__(
        self, rounds: int, clock: str, threads: int, judged: bool, python: Path | None
    ) -> None:
        self.rounds, self.threads, self.judged = rounds, threads, judged
        self.named, self.clock = clock, work.CLOCKS[clock]
        self.ratios: dict[str, Any] = {}
        self.seconds: dict[str, Seconds] = {}
        self.checks: dict[str, Any] = {}
        self.python = python
        self.about: Any = None

    def scoring(self) -> None:
        """Score pairs by the shared trunk and by three networks."""
        ours = work.shared_trunk()
        three = work.three_networks(ours)
        pairs = work.pairs()
        seconds = self._in_turn(
            {
                "identifier of one trunk": lambda: self._timed(lambda: ours.probabilities(pairs)),
                "three networks": lambda: self._timed(lambda: three.probabilities(pairs)),
            },
            warm=lambda: (ours.probabilities(pairs[:16]), three.probabilities(pairs[:16])),
        )
        self._ratio("scoring, three networks", *seconds.values(), goal=2.0)

    def ppo(self) -> None:
        """One PPO step, ours and trl's."""
        self._steps("PPO step, trl", top_k=20, goal=1.3)

    def whole(self) -> None:
        """The same over the whole vocabulary."""
        self._steps("PPO step over the whole vocabulary, trl", top_k=0, goal=None)

    def _steps(self, title: str, *, top_k: int, goal: float | None) -> None:
        if self.python is None:
            self.about = "no interpreter; give --trl-python or TRL_PYTHON"
            self.ratios[title] = {"not measured": self.about, "goal": goal}
            return
        script = ROOT / "bench" / "peers" / "trl_ppo.py"
        options = ["--threads", str(self.threads), "--clock", self.named]
        with tempfile.TemporaryDirectory() as name:
            work.save(Path(name))
            ours = work.Step(top_k)
            with Process(self.python, script, name, *options) as peer:
                self.about = peer.about
                self._one_model(ours, peer)
                draws = iter(range(10**6))
                seconds = self._in_turn(
                    {
                        "ours" if top_k else "ours, whole vocabulary": lambda: ours.seconds(
                            self.clock
                        ),
                        "trl": lambda: self._peer_steps(peer, next(draws)),
                    }
                )
            self.checks["all replies of ours have 30 tokens"] = ours.length() == work.TOKENS
        self._ratio(title, *seconds.values(), goal=goal)

    def _one_model(self, ours: work.Step, peer: Process) -> None:
        replies = [row[::-1][:12] for row in ours.prompts]
        theirs = torch.tensor(peer.ask(do="score", replies=replies)["logprobs"])
        apart = float((torch.tensor(ours.logprobs(replies)) - theirs).abs().max())
        self.checks["log-probabilities of both sides, largest difference"] = f"{apart:.1e}"
        self.checks["they have one model"] = apart < 1e-3

    def _peer_steps(self, peer: Process, seed: int) -> Seconds:
        answer = peer.ask(do="step", seed=seed)
        self.checks["all replies of trl have 30 tokens"] = set(answer["tokens"]) == {work.TOKENS}
        self.checks["trl's peak memory, MiB"] = round(answer["peak MiB"])
        return {k: answer[k] for k in ("seconds", "rollout", "score", "optimise")}

    def _timed(self, run: Callable[[], object]) -> Seconds:
        start = self.clock()
        run()
        return {"seconds": self.clock() - start}

    def _in_turn(
        self, runs: dict[str, Callable[[], Seconds]], warm: Callable[[], object] | None = None
    ) -> dict[str, list[float]]:
        """Measure in turn; the order alternates, so that drift favours nobody."""
        for run in runs.values() if warm is None else (warm,):
            run()
        seconds: dict[str, list[Seconds]] = {name: [] for name in runs}
        for i in range(self.rounds):
            for name in runs if i % 2 == 0 else reversed(list(runs)):
                gc.collect()
                seconds[name].append(runs[name]())
                print(f"{name}: {seconds[name][-1]}", file=sys.stderr, flush=True)
        for name, rows in seconds.items():
            self.seconds[name] = {
                key: float(f"{statistics.median(row[key] for row in rows):.3g}") for key in rows[0]
            }
        return {name: [row["seconds"] for row in rows] for name, rows in seconds.items()}

    def _ratio(
        self, name: str, ours: list[float], other: list[float], *, goal: float | None
    ) -> None:
        ratios = [b / a for a, b in zip(ours, other, strict=True)]
        middle = statistics.median(ratios)
        self.ratios[name] = {
            "ratio": round(middle, 2),
            "range": [round(min(ratios), 2), round(max(ratios), 2)],
            "goal": goal,
            "reached": middle >= goal if self.judged and goal is not None else None,
        }
        print(f"{name}: {json.dumps(self.ratios[name])}", flush=True)


if __name__ == "__main__":
    main()
