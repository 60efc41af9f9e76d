"""Corpora, words and n-grams: our way against the plain way, in turn, same input, equal results.

`python -m bench.data [--pairs 1100000] [--posts 100000] [--replies 1000000] [--rounds 5]
[--output docs/results/bench-data.json]`

- prepare: a file of the size and shape of NLPCC 2017 (made up here, from a seed) read by our
  streaming reader and written as examples.jsonl, against `json.load` of the same file, which only
  reads it; each in a process of its own, with the peak of its resident memory.
- words: `segment_all` against jieba, on posts of the corpora in EMOTONE_DATA and made-up ones.
- Distinct-2: `distinct_n` against `nltk.ngrams` and a set.

Every pair is measured in turn (A B B A ...), and the figure is the median of the rounds' ratios,
with their range. A goal that is missed is printed as missed.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

SEED = 20170
ROOT = Path(__file__).parents[1]
#: Characters of everyday talk, of which words are made up.
CHARACTERS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年"
    "过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心"
    "她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间"
    "由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给"
)
CORPORA = (("smp2020_ewect", "smp2020_ewect"), ("lccc", "lccc_toy"), ("cped", "cped"))


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--pairs", type=int, default=1_100_000)
    arguments.add_argument("--posts", type=int, default=100_000)
    arguments.add_argument("--replies", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--only", choices=["prepare", "words", "distinct"], action="append")
    arguments.add_argument("--output", type=Path, default=None)
    arguments.add_argument("--child", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.child:
        child(chosen.child[0], Path(chosen.child[1]))
        return
    load = os.getloadavg()[0]
    if load > 1.5:
        print(f"load average is {load:.1f}: figures will be noisy", file=sys.stderr)
    wanted = chosen.only or ["prepare", "words", "distinct"]
    results: dict[str, Any] = {}
    if "prepare" in wanted:
        results["prepare"] = prepare(chosen.pairs, chosen.rounds)
    if "words" in wanted:
        results["words"] = words(chosen.posts, chosen.rounds)
    if "distinct" in wanted:
        results["distinct"] = distinct(chosen.replies, chosen.rounds)
    results["conditions"] = {
        "rounds": chosen.rounds,
        "load before": round(load, 2),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        **{name: version(name) for name in ("rjieba", "jieba", "nltk", "polars", "numpy")},
    }
    table(results)
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
        chosen.output.write_text(text, encoding="utf-8")


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def table(results: dict[str, Any]) -> None:
    for part, values in results.items():
        print(part)
        for name, value in values.items():
            print(f"  {name:<44} {json.dumps(value, ensure_ascii=False)}")


def in_turn(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int
) -> tuple[list[float], list[float]]:
    """Measure two functions in turn, the order alternating so that drift favours neither."""
    mine: list[float] = []
    other: list[float] = []
    for i in range(rounds):
        order = [(ours, mine), (theirs, other)]
        for run, times in order if i % 2 == 0 else reversed(order):
            gc.collect()
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return mine, other


def compared(mine: Sequence[float], other: Sequence[float], goal: float) -> dict[str, Any]:
    """How many times faster ours is: median and range of the rounds' ratios."""
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    middle = statistics.median(ratios)
    return {
        "times as fast": round(middle, 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
        "goal": goal,
        "reached": middle >= goal,
        "seconds": round(statistics.median(mine), 3),
        "other seconds": round(statistics.median(other), 3),
    }


def made_up_words(count: int) -> list[str]:
    draw = np.random.default_rng(SEED)
    letters = np.array(list(dict.fromkeys(CHARACTERS)))
    lengths = draw.choice([1, 2, 3], size=count * 2, p=[0.15, 0.7, 0.15])
    words = ("".join(draw.choice(letters, n)) for n in lengths)
    return list(islice(dict.fromkeys(words), count))


def sentences(count: int, least: int, most: int, seed: int) -> Iterator[list[str]]:
    """Yield lists of words; a few words are said very often, as in every language."""
    pool = np.array(made_up_words(20_000), dtype=object)
    share = 1 / np.arange(1, len(pool) + 1)
    share /= share.sum()
    draw = np.random.default_rng(seed)
    for start in range(0, count, 10_000):
        lengths = draw.integers(least, most + 1, min(10_000, count - start))
        words = pool[draw.choice(len(pool), int(lengths.sum()), p=share)].tolist()
        place = 0
        for length in lengths.tolist():
            yield words[place : place + length]
            place += length


# --- a corpus of the size of NLPCC 2017 ---------------------------------------------------------


def prepare(pairs: int, rounds: int) -> dict[str, Any]:
    measured: dict[str, list[dict[str, float]]] = {"prepare": [], "json.load": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train_data.json"
        write_pairs(path, pairs)
        for i in range(rounds):
            for what in list(measured) if i % 2 == 0 else reversed(list(measured)):
                measured[what].append(in_process(what, path))
        size = path.stat().st_size
        empty = in_process("nothing", path)
    counts = {run["items"] for runs in measured.values() for run in runs}
    if counts != {float(pairs)}:
        raise SystemExit(f"{pairs} pairs were written, but {sorted(counts)} were read")
    peak = {w: statistics.median(r["peak MiB"] for r in runs) for w, runs in measured.items()}
    seconds = {w: statistics.median(r["seconds"] for r in runs) for w, runs in measured.items()}
    ratio = peak["prepare"] / peak["json.load"]
    return {
        "pairs": pairs,
        "file, MiB": round(size / 2**20, 1),
        "seconds, ours (read, check, write)": round(seconds["prepare"], 2),
        "pairs a second, ours": round(pairs / seconds["prepare"]),
        "seconds, json.load (read only)": round(seconds["json.load"], 2),
        "peak memory, ours, MiB": round(peak["prepare"]),
        "peak memory, json.load, MiB": round(peak["json.load"]),
        "peak memory, python alone, MiB": round(empty["peak MiB"]),
        "peak memory, ours over json.load": round(ratio, 3),
        "goal": 0.5,
        "reached": ratio <= 0.5,
    }


def write_pairs(path: Path, pairs: int) -> None:
    draw = np.random.default_rng(SEED + 1)
    labels = draw.integers(0, 6, (pairs, 2)).tolist()
    texts = sentences(2 * pairs, 3, 7, SEED + 2)
    with path.open("w", encoding="utf-8") as out:
        for i, (first, second) in enumerate(labels):
            out.write("[" if i == 0 else ", ")
            pair = [[" ".join(next(texts)), first], [" ".join(next(texts)), second]]
            out.write(json.dumps(pair, ensure_ascii=False))
        out.write("]")


def in_process(what: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.data", "--child", what, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def child(what: str, path: Path) -> None:
    """Do one thing alone in this process and say what it took."""
    items = 0
    start = time.perf_counter()
    if what == "prepare":
        from emotone.data.corpora import nlpcc2017
        from emotone.data.examples import write_jsonl
        from emotone.data.reading import Problems

        items = write_jsonl(nlpcc2017.read(path, Problems()), path.with_suffix(".jsonl"))
    elif what == "json.load":
        with path.open(encoding="utf-8") as source:
            items = len(json.load(source))
    seconds = time.perf_counter() - start
    print(json.dumps({"items": float(items), "seconds": seconds, "peak MiB": peak_memory()}))


def peak_memory() -> float:
    """Peak of this program's resident memory in MiB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Not ru_maxrss, which on Linux begins with the peak of the process that started this one.
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


# --- words --------------------------------------------------------------------------------------


def words(count: int, rounds: int) -> dict[str, Any]:
    try:
        import jieba
    except ImportError as error:
        return {"not measured": str(error)}
    from emotone.data.text import segment, segment_all

    jieba.setLogLevel(logging.ERROR)
    real = list(islice(real_posts(), count))
    invented = ["".join(parts) for parts in sentences(count - len(real), 5, 20, SEED + 3)]
    posts = real + invented
    jieba.lcut(posts[0])
    segment(posts[0])  # both have loaded their dictionaries
    pieces: dict[str, list[list[str]]] = {}

    def ours() -> None:
        pieces["ours"] = segment_all(posts)

    def theirs() -> None:
        pieces["jieba"] = [jieba.lcut(post) for post in posts]

    speed = compared(*in_turn(ours, theirs, rounds), goal=20)
    rows = zip(pieces["ours"], pieces["jieba"], strict=True)
    same = [a == [word for word in b if word != " "] for a, b in rows]
    han = [
        [w for w in a if not w.isascii()] == [w for w in b if not w.isascii()]
        for a, b in zip(pieces["ours"], pieces["jieba"], strict=True)
    ]
    return speed | {
        "posts": len(posts),
        "real posts": len(real),
        "characters a post": round(statistics.mean(map(len, posts)), 1),
        "posts with jieba's words": round(sum(same) / len(posts), 5),
        "the same, real posts": round(sum(same[: len(real)]) / len(real), 5) if real else None,
        "posts with jieba's words but for ASCII runs": round(sum(han) / len(posts), 5),
    }


def real_posts() -> Iterator[str]:
    """Yield posts of the corpora at hand; nothing where EMOTONE_DATA is not set."""
    root = os.environ.get("EMOTONE_DATA")
    if not root:
        return
    from emotone.data.corpora import module
    from emotone.data.reading import Problems

    for name, folder in CORPORA:
        if (Path(root) / folder).is_dir():
            problems = Problems(on_error="skip")
            for example in module(name).read(Path(root) / folder, problems):
                yield example.dialogue.posts[-1].text


# --- Distinct-2 ---------------------------------------------------------------------------------


def distinct(count: int, rounds: int) -> dict[str, Any]:
    try:
        from nltk.util import ngrams
    except ImportError as error:
        return {"not measured": str(error)}
    from emotone.metrics.distinct import distinct_n

    replies = list(sentences(count, 4, 14, SEED + 4))
    results: dict[str, tuple[int, int]] = {}

    def ours() -> None:
        results["ours"] = distinct_n(replies, 2)

    def theirs() -> None:
        kinds: set[tuple[str, ...]] = set()
        total = 0
        for reply in replies:
            grams = list(ngrams(reply, 2))
            total += len(grams)
            kinds.update(grams)
        results["nltk"] = (len(kinds), total)

    distinct_n(replies[:10], 2)  # polars is loaded
    speed = compared(*in_turn(ours, theirs, rounds), goal=8)
    return speed | {
        "replies": count,
        "bigrams": results["ours"][1],
        "different": results["ours"][0],
        "equal counts": results["ours"] == results["nltk"],
    }


if __name__ == "__main__":
    main()
