"""Recurrent systems: training and beam search, against joeynmt and against our own plain ways.

`python -m bench.recurrent [--joeynmt-python /path/to/venv/bin/python] [--rounds 5] [--threads 2]
[--output docs/results/bench-recurrent.json]`

- training: A-Seq2Seq and full ECM against joeynmt's recurrent model. GRU of 2 layers of 256, word
  embeddings of 100, 40,000 words for posts and as many for replies, additive attention with input
  feeding, Adam, clipping, no dropout, float32. The encoder reads in both directions on both sides:
  joeynmt's fails in one. Two sets of 3 batches of 64 pairs: "mixed" as they come, 5 to 20 words
  long, which is how joeynmt batches; "alike" as our plan does it, by length.
- naive: ECM's training step against the equations written plainly (`naive_ecm`) and torch's
  default Adam; loss and gradients must be equal.
- softmax: the sampled softmax and bf16 against the full one in float32.
- beam: 20 beams over 64 posts, 20 words long, against joeynmt; against a loop over posts; against
  a loop over posts and hypotheses, one at a time.
- memory: peak of resident memory of each, in a process of its own.

On a machine that others use too, `--clock processor --threads 1` counts the seconds that a process
worked instead of those that passed, and goals are judged by that; the waiting of one thread for
another would count as work, hence one thread.

joeynmt needs an environment of its own, with joeynmt==2.3.0, importlib-metadata and the torch of
this one; its interpreter comes by `--joeynmt-python` or JOEYNMT_PYTHON. All is measured in turn
(A B B A ...); figures are medians of the rounds' ratios, with their range. A goal that is missed is
printed as missed; no goal is judged by the wall clock when the machine was busy before the start.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from bench import recurrent_work as work
from bench.naive_ecm import naive_losses
from bench.peers.process import Process

ROOT = Path(__file__).parents[1]
PARTS = ("beam", "training", "naive", "softmax", "memory")
BUSY = 1.5


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--joeynmt-python", type=Path, default=None)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--clock", choices=work.CLOCKS, default="wall")
    arguments.add_argument("--only", choices=PARTS, action="append")
    arguments.add_argument("--output", type=Path, default=None)
    arguments.add_argument("--child", choices=sorted(work.ALONE), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.child:
        print(json.dumps(work.alone(chosen.child)))
        return
    load = os.getloadavg()[0]
    judged = load <= BUSY or chosen.clock == "processor"
    if not judged:
        print(f"load average is {load:.1f}: no goal is judged", file=sys.stderr)
    named = chosen.joeynmt_python or os.environ.get("JOEYNMT_PYTHON")
    bench = Bench(
        chosen.rounds, chosen.threads, Path(named) if named else None, chosen.clock, judged
    )
    with bench:
        # Searches come first: a model that has learnt to end writes shorter replies.
        for part in (p for p in PARTS if p in (chosen.only or PARTS)):
            getattr(bench, part)()
            gc.collect()
    results: dict[str, Any] = {
        "ratios": bench.ratios,
        "memory": bench.peaks,
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
            "peer": bench.peer.about if bench.peer else bench.why,
        },
    }
    print(table(results))
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def table(results: dict[str, Any]) -> str:
    """Return the ratios, memory and checks as Markdown."""
    lines = ["| ours against | times as fast | range | goal | ours | other | |", "|" + "---|" * 7]
    for name, r in results["ratios"].items():
        if "not measured" in r:
            lines.append(f"| {name} | not measured: {r['not measured']} | | {r['goal']} | | | |")
            continue
        low, high = r["range"]
        verdict = {True: "reached", False: "missed", None: ""}[r["reached"]]
        goal = "" if r["goal"] is None else r["goal"]
        rates = f"{r['ours']:g} {r['unit']} | {r['other']:g} {r['unit']}"
        lines.append(
            f"| {name} | {r['ratio']:g} | {low:g} to {high:g} | {goal} | {rates} | {verdict} |"
        )
    lines += ["", "| peak memory | MiB | above the start |", "|---|---|---|"]
    for name, peak in results["memory"].items():
        lines.append(f"| {name} | {peak['peak']:.0f} | {peak['peak'] - peak['resting']:.0f} |")
    lines += ["", "| check | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in results["checks"].items()]
    return "\n".join(lines)


class Bench:
    """What is measured, and what came out.

    Args:
        rounds: Rounds of each comparison.
        threads: Threads of each side.
        python: The peer's interpreter, or None.
        clock: Name of the clock of both sides.
        judged: Whether goals are judged.
    """

    def __init__(
        self, rounds: int, threads: int, python: Path | None, clock: str, judged: bool
    ) -> None:
        self.clock = work.CLOCKS[clock]
        self.rounds, self.threads, self.judged = rounds, threads, judged
        self.ratios: dict[str, Any] = {}
        self.peaks: dict[str, Any] = {}
        self.checks: dict[str, Any] = {}
        self.batches = work.batches()
        self._folder = tempfile.TemporaryDirectory()
        self.why = ""
        self.peer: Process | None = None
        path = Path(self._folder.name) / "batches.npz"
        work.save(path, self.batches)
        if python is None:
            self.why = "no interpreter; give --joeynmt-python or JOEYNMT_PYTHON"
        else:
            script = ROOT / "bench" / "peers" / "joeynmt_rnn.py"
            options = ["--threads", str(threads), "--words", str(work.WORDS), "--clock", clock]
            try:
                self.peer = Process(python, script, str(path), *options)
            except (OSError, RuntimeError) as error:
                self.why = f"{type(error).__name__}: {error}"
        if self.why:
            print(f"joeynmt is not measured: {self.why}", file=sys.stderr)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        if self.peer is not None:
            self.peer.__exit__()
        self._folder.cleanup()

    def training(self) -> None:
        """A-Seq2Seq and ECM against joeynmt, on both sets of batches."""
        goals = {"A-Seq2Seq": 1.5, "full ECM": 1.0}
        ours = {
            "A-Seq2Seq": work.Training(work.a_seq2seq()),
            "full ECM": work.Training(work.ecm()),
        }
        for which in ("mixed", "alike"):
            batches = self.batches[which]
            runs: dict[str, Callable[[], float | None]] = {
                name: lambda of=of, batches=batches: of.rate(batches, self.clock)
                for name, of in ours.items()
            }
            rates = self._in_turn({"joeynmt": lambda which=which: self._peer_trains(which), **runs})
            for name, goal in goals.items():
                ratio = self._ratio(rates[name], rates["joeynmt"], goal, "tokens/s")
                self._tell(f"{name} training, {which} batches, joeynmt", ratio)

    def _peer_trains(self, which: str) -> float | None:
        if self.peer is None:
            return None
        answer = self.peer.ask(do="train", set=which, steps=list(range(work.COUNT)))
        return answer["tokens"] / answer["seconds"]

    def naive(self) -> None:
        """ECM's forward and backward pass against the plain one: equal loss, gradients, speed."""
        model = work.ecm()
        batch = self.batches["mixed"][0]
        losses, gradients = {}, {}
        for name, run in (("fast", model), ("naive", lambda b: naive_losses(model, b))):
            model.zero_grad()
            lost = work.objective(run(batch))
            lost.backward()
            losses[name] = lost.item()
            gradients[name] = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        apart = abs(losses["fast"] - losses["naive"]) / abs(losses["naive"])
        self.checks["ECM's loss against the naive one, relative difference"] = f"{apart:.1e}"
        same = gradients["fast"].keys() == gradients["naive"].keys()
        worst = max(
            float((g - gradients["fast"][n]).norm() / g.norm().clamp_min(1e-12))
            for n, g in gradients["naive"].items()
        )
        self.checks["gradients likewise, worst tensor, by norm"] = f"{worst:.1e}"
        self.checks["loss within 1e-5, gradients within 1e-4"] = (
            apart < 1e-5 and same and worst < 1e-4
        )
        model.zero_grad()
        fast = work.Training(model)
        other = work.ecm()
        naive = work.Training(other, lambda one: naive_losses(other, one), plain=True)
        for which in ("mixed", "alike"):
            few = self.batches[which][1:2]
            rates = self._in_turn(
                {
                    "fast": lambda few=few: fast.rate(few, self.clock),
                    "naive": lambda few=few: naive.rate(few, self.clock),
                }
            )
            ratio = self._ratio(rates["fast"], rates["naive"], 3.0, "tokens/s")
            self._tell(f"full ECM training, {which} batch, naive ECM", ratio)

    def softmax(self) -> None:
        """The sampled softmax and bf16 against full and float32: output layer, and whole step."""
        models = {"full": work.a_seq2seq(), "sampled": work.a_seq2seq("sampled")}
        batch = self.batches["alike"][1]
        layers = {name: work.Layer(model, batch) for name, model in models.items()}
        steps = {name: work.Training(model) for name, model in models.items()}
        names = {"sampled": "2,048 sampled words", "bf16": "bf16"}
        for what, goals in (("output layer", (4.0, 1.4)), ("training step", (None, None))):
            runs: dict[str, Callable[[], float | None]] = {
                name: (
                    (lambda m=layers[of], bf16=bf16: m.rate(self.clock, bf16=bf16))
                    if what == "output layer"
                    else (lambda m=steps[of], bf16=bf16: m.rate([batch], self.clock, bf16=bf16))
                )
                for name, of, bf16 in (
                    ("full", "full", False),
                    ("sampled", "sampled", False),
                    ("bf16", "full", True),
                )
            }
            rates = self._in_turn(runs)
            for (name, title), goal in zip(names.items(), goals, strict=True):
                ratio = self._ratio(rates[name], rates["full"], goal, "tokens/s")
                self._tell(f"A-Seq2Seq {what}, {title}, full float32", ratio)

    def beam(self) -> None:
        """Beam search against joeynmt's, a loop over posts, and one over hypotheses as well."""
        search = work.Searching(work.never_ending(work.a_seq2seq()), self.batches["posts"][0])
        posts = len(search.batch.source)
        few = range(0, posts, posts // work.FEW)
        together = search.together(range(posts))
        some = range(work.COMPARED)
        self.checks["beam: posts whose n-best are those of the loop over posts"] = work.agree(
            together[: work.COMPARED], search.by_post(some)
        )
        self.checks["beam: and those of the loop over hypotheses"] = work.agree(
            [together[i] for i in few], search.by_hypothesis(few)
        )

        def rate(run: Callable[[Sequence[int]], Any], which: Sequence[int]) -> float:
            start = self.clock()
            run(which)
            return len(which) / (self.clock() - start)

        rates = self._in_turn(
            {
                "together": lambda: rate(search.together, range(posts)),
                "joeynmt": self._peer_searches,
                "by post": lambda: rate(search.by_post, few),
                "by hypothesis": lambda: rate(search.by_hypothesis, few),
            },
            warm=False,
        )
        for other, goal in (("joeynmt", 1.5), ("by post", None), ("by hypothesis", 8.0)):
            name = other if other == "joeynmt" else f"one {other.removeprefix('by ')} at a time"
            ratio = self._ratio(rates["together"], rates[other], goal, "posts/s")
            self._tell(f"beam 20, 64 posts, {name}", ratio)

    def _peer_searches(self) -> float | None:
        if self.peer is None:
            return None
        answer = self.peer.ask(do="search", set="posts", beam=work.BEAMS, longest=work.LONGEST)
        words = answer["posts"] * work.N_BEST * work.LONGEST
        self.checks["joeynmt's replies have full length"] = answer["words"] == words
        return answer["posts"] / answer["seconds"]

    def memory(self) -> None:
        """Peak of each piece of work, alone in a process."""
        for name in work.ALONE:
            options = ["--threads", str(self.threads), "--child", name]
            command = [sys.executable, "-m", "bench.recurrent", *options]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            self._peak(name, json.loads(done.stdout))
        if self.peer is not None:
            resting = self.peer.about["resting MiB"]
            asked = {
                "joeynmt training": {"do": "train", "set": "mixed", "steps": [0]},
                "joeynmt beam": dict(do="search", set="posts", beam=work.BEAMS, longest=2),
            }
            for name, request in asked.items():
                answer = self.peer.ask(**request)
                self._peak(name, {"peak": answer["peak MiB"], "resting": resting})

    def _peak(self, name: str, peaks: dict[str, float]) -> None:
        self.peaks[name] = {key: round(value) for key, value in peaks.items()}
        print(f"peak memory, {name}: {self.peaks[name]}", flush=True)

    def _in_turn(
        self, runs: dict[str, Callable[[], float | None]], *, warm: bool = True
    ) -> dict[str, list[float | None]]:
        """Measure rates in turn; the order alternates, so that drift favours nobody."""
        if warm:
            for run in runs.values():
                run()
        rates: dict[str, list[float | None]] = {name: [] for name in runs}
        for i in range(self.rounds):
            for name in runs if i % 2 == 0 else reversed(list(runs)):
                gc.collect()
                rates[name].append(runs[name]())
        return rates

    def _ratio(
        self, ours: list[float | None], other: list[float | None], goal: float | None, unit: str
    ) -> dict[str, Any]:
        pairs = [
            (a, b) for a, b in zip(ours, other, strict=True) if a is not None and b is not None
        ]
        if not pairs:
            return {"not measured": self.why, "goal": goal}
        ratios = [a / b for a, b in pairs]
        middle = statistics.median(ratios)
        return {
            "ratio": round(middle, 2),
            "range": [round(min(ratios), 2), round(max(ratios), 2)],
            "goal": goal,
            "reached": middle >= goal if self.judged and goal is not None else None,
            "ours": float(f"{statistics.median(a for a, _ in pairs):.4g}"),
            "other": float(f"{statistics.median(b for _, b in pairs):.4g}"),
            "unit": unit,
        }

    def _tell(self, name: str, ratio: dict[str, Any]) -> None:
        self.ratios[name] = ratio
        print(f"{name}: {json.dumps(ratio)}", flush=True)


if __name__ == "__main__":
    main()
