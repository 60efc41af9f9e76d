"""Let every trained stage answer the same dialogues, score the replies, and write the numbers.

`python -m recipes.emprl.evaluate RUNS [--out out/emprl/eval] [--contexts 300] [--samplings 3]`

RUNS holds the runs, such as t5-small-s1; see `recipes.emprl.runs`. `--answer-only` makes replies
while others are still being trained; run again, it goes on where it stood. Writes
docs/results/emprl.json: only the scoring identifier judges there, which trained nothing.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emotone.evaluation.instruments import Wanted, open_instruments
from emotone.evaluation.manifest import manifest
from emotone.evaluation.touched import check_judges
from emotone.metrics import Instruments
from emotone.metrics.pooling import ROUNDS, difference, paired_difference, ratio
from emotone.types import MECHANISMS, Example
from recipes.compare.files import RESULTS, ROOT, write_results
from recipes.compare.rows import (
    LIKELIHOODS,
    Row,
    Statistics,
    number,
    of_likelihoods,
    of_replies,
    p_value,
)
from recipes.emprl.answer import answer
from recipes.emprl.curves import curve
from recipes.emprl.hacks import earned
from recipes.emprl.rows import CONSTANT, PEOPLE, SAME_FOR_ALL, SHUFFLED, contrasts, floors, rows_of
from recipes.emprl.runs import CONTEXTS, DECODING, Stage, dialogues, find

DIALOGUES = ROOT / "out/emprl/data/ed-valid.jsonl"
PAIRED_ROUNDS = 2000

LEVELS = (
    "emp_f1",
    "emp_macro_f1",
    "emp_accuracy",
    *(f"{name}_{m}" for name in ("emp_f1", "emp_macro_f1") for m in MECHANISMS),
)
SIMILARITY = ("similarity_reference", "similarity_post")
MEASURES = (
    "perplexity",
    "bits_per_character",
    *LEVELS,
    "emp_f1_floor",
    "emp_macro_f1_floor",
    "emp_accuracy_floor",
    "bleu",
    "distinct_1",
    "distinct_2",
    *SIMILARITY,
    "length_words",
    "repeated_4",
    "commonest_share",
)
#: What is measured of rows that no model wrote; a reference against itself says nothing.
OF_FLOORS = {
    PEOPLE: ("distinct_1", "distinct_2", "length_words", "repeated_4", "commonest_share"),
    SHUFFLED: (*LEVELS, "bleu", *SIMILARITY),
    CONSTANT: (*LEVELS, "bleu", *SIMILARITY),
}
#: Metrics that must not get worse while the reward is raised, as ratios.
GUARDED = ("perplexity", "distinct_1", "distinct_2", "length_words")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("runs", type=Path)
    arguments.add_argument("--out", type=Path, help="folder of the replies; RUNS/eval without it")
    arguments.add_argument("--dialogues", type=Path, default=DIALOGUES)
    arguments.add_argument("--contexts", type=int, default=CONTEXTS)
    arguments.add_argument("--samplings", type=int, default=3)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--only", default=".", help="stages whose title matches")
    arguments.add_argument("--answer-only", action="store_true")
    arguments.add_argument("--score-only", action="store_true")
    arguments.add_argument("--result", type=Path, default=RESULTS / "emprl.json")
    given = arguments.parse_args()
    stages = [s for s in find(given.runs) if re.search(given.only, s.title)]
    out = given.out or given.runs / "eval"
    examples = dialogues(given.dialogues, given.contexts)
    if not given.score_only:
        for stage in stages:
            answer(stage, examples, out, samplings=given.samplings, batch=given.batch)
    if given.answer_only:
        return
    of_replies = tuple(m for m in MEASURES if m not in LIKELIHOODS)
    opened = open_instruments(Wanted(of_replies, "en", strict=True, cache=out / ".labels"))
    rows = rows_of(stages, out, given.samplings)
    for row in rows.values():
        check_judges(opened.judges, row.pairs, trained=())
    settings = {"contexts": len(examples), "samplings": given.samplings, "rounds": given.rounds}
    results = {
        "manifest": manifest([given.dialogues], judges=opened.judges, settings=settings),
        "decoding": asdict(DECODING),
        "same_for_all": SAME_FOR_ALL,
        **scored({**rows, **floors(examples)}, examples, opened.instruments, given.rounds),
        "runs": {s.title: trained(s) for s in stages if s.stage != "plain"},
        "tricks": tricks(),
    }
    write_results(given.result, results)
    print(f"wrote {given.result}")


def scored(
    rows: Mapping[str, Row], examples: Sequence[Example], instruments: Instruments, rounds: int
) -> dict[str, Any]:
    """Measure every row, and what sets it apart from the supervised one."""
    posts = [e.id for e in examples]
    statistics: dict[str, dict[str, Statistics]] = {}
    signatures: dict[str, str] = {}
    of_rows: dict[str, Any] = {}
    for name, row in rows.items():
        start = time.perf_counter()
        measures = OF_FLOORS.get(name, MEASURES)
        statistics[name] = {m: measured(row, m, instruments, posts) for m in measures}
        samples = {m: s.sampled(posts, rounds) for m, s in statistics[name].items()}
        signatures |= {m: s.signature for m, s in samples.items()}
        of_rows[name] = {
            "trainings": sorted(row.replies),
            "samplings": max(map(len, row.replies.values())),
            "replies": len(row.pairs),
            "numbers": {m: number(s, m) for m, s in samples.items()},
            "by_seed": {m: [rounded(v) for v in s.values] for m, s in samples.items()},
        }
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return {
        "signatures": signatures,
        "rows": of_rows,
        "differences": {
            f"{a} - {b}": compared(statistics[a], statistics[b], posts, rounds)
            for a, b in contrasts(rows)
        },
    }


def measured(row: Row, metric: str, instruments: Instruments, posts: Sequence[str]) -> Statistics:
    """Read the replies of a row, or its likelihoods, once."""
    if metric in LIKELIHOODS:
        return of_likelihoods(row, metric, posts, f"name:{metric}|of:references|v:1")
    return of_replies(row, metric, instruments)


def compared(
    first: Mapping[str, Statistics],
    second: Mapping[str, Statistics],
    posts: Sequence[str],
    rounds: int,
) -> dict[str, Any]:
    """Differences of two rows on the same dialogues, over the trainings that both have.

    A reinforced model begins at the supervised one of its own seed, so their trainings go in pairs.
    """
    both = sorted(set(first["bleu"].stats) & set(second["bleu"].stats))
    numbers: dict[str, Any] = {}
    ratios: dict[str, Any] = {}
    for metric in (m for m in MEASURES if not m.endswith("_floor")):
        ours, theirs = first[metric], second[metric]
        if both:
            ours, theirs = ours.of(both), theirs.of(both)
        a, b = ours.sampled(posts, rounds), theirs.sampled(posts, rounds)
        paired = bool(both) and a.values.shape == b.values.shape
        gap = paired_difference(a, b) if paired else difference(a, b)
        p = p_value(ours, theirs, PAIRED_ROUNDS)
        numbers[metric] = {**gap.row(), "p": None if p is None else rounded(p)}
        if metric in GUARDED:
            ratios[metric] = ratio(a, b).row()
    return {"trainings": both, "numbers": numbers, "ratios": ratios}


def rounded(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.6g}")


def trained(stage: Stage) -> dict[str, Any]:
    """What the folder of a stage says of its training, and its curve."""
    from emotone.systems.emprl.folder import read_card

    folder = Path(stage.model)
    card = read_card(folder)
    log = folder / "log.jsonl"
    return {
        "stage": stage.stage,
        "name": stage.name,
        "seed": stage.seed,
        "base": card.base,
        "identifier": card.identifier,
        "measured": asdict(card.measured),
        "curve": curve(log) if log.is_file() else {},
    }


def tricks() -> dict[str, Any]:
    """What games the reward, by the judge that gives it."""
    from emotone.judges import open_identifier

    return earned(open_identifier("empathy-reward"))


if __name__ == "__main__":
    main()
