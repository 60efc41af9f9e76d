"""Let every trained stage answer the same dialogues, score the replies, and write the numbers.

`python -m recipes.emprl.evaluate RUNS [--out out/emprl/eval] [--contexts 300] [--samplings 3]`

RUNS holds the runs, such as t5-small-s1; see `recipes.emprl.runs`. `--answer-only` makes replies
while others are still being trained; run again, it goes on where it stood. Writes
docs/results/emprl.json: only the scoring identifier judges there, which trained nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emotone.evaluation.manifest import manifest
from emotone.evaluation.tools import Wanted, check_judges, open_tools
from emotone.files import replacing
from emotone.metrics import Tools
from emotone.metrics.empathy import MECHANISMS
from emotone.types import Example
from recipes.emprl.answer import answer
from recipes.emprl.curves import curve
from recipes.emprl.hacks import earned
from recipes.emprl.rows import (
    CONSTANT,
    LIKELIHOODS,
    PEOPLE,
    SAME_FOR_ALL,
    SHUFFLED,
    Row,
    Stated,
    floors,
    p_value,
    paired,
    rows_of,
    sampled,
    stated,
)
from recipes.emprl.runs import CONTEXTS, DECODING, STAGES, Stage, dialogues, find
from recipes.recurrent.pooling import ROUNDS, Estimate, Sampled, difference, estimate, ratio

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "docs/results/emprl.json"
DIALOGUES = ROOT / "out/emprl/data/ed-valid.jsonl"
PAIRED_ROUNDS = 2000

LEVELS = (
    "emp_f1",
    "emp_macro_f1",
    "emp_accuracy",
    *(f"{name}_{m}" for name in ("emp_f1", "emp_macro_f1") for m in MECHANISMS),
)
#: Metrics of replies.
REPLIES = (
    *LEVELS,
    "emp_f1_floor",
    "emp_macro_f1_floor",
    "emp_accuracy_floor",
    "bleu",
    "distinct_1",
    "distinct_2",
    "similarity_reference",
    "similarity_post",
    "length_words",
    "repeated_4",
    "commonest_share",
)
#: What is measured of rows that no model made; a reference against itself says nothing.
ALSO = {
    PEOPLE: ("distinct_1", "distinct_2", "length_words", "repeated_4", "commonest_share"),
    SHUFFLED: (*LEVELS, "bleu", "similarity_reference", "similarity_post"),
    CONSTANT: (*LEVELS, "bleu", "similarity_reference", "similarity_post"),
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
    arguments.add_argument("--result", type=Path, default=RESULT)
    given = arguments.parse_args()
    stages = [s for s in find(given.runs) if re.search(given.only, s.title)]
    out = given.out or given.runs / "eval"
    examples = dialogues(given.dialogues, given.contexts)
    if not given.score_only:
        for stage in stages:
            answer(stage, examples, out, samplings=given.samplings, batch=given.batch)
    if given.answer_only:
        return
    opened = open_tools(Wanted(REPLIES, "en", strict=True, cache=out / ".labels"))
    rows = rows_of(stages, out, given.samplings)
    for row in rows.values():
        for many in row.replies.values():
            for pairs in many:
                check_judges(opened.judges, pairs, trained=())
    settings = {"contexts": len(examples), "samplings": given.samplings, "rounds": given.rounds}
    whole = {
        "manifest": manifest([given.dialogues], judges=opened.judges, settings=settings),
        "decoding": asdict(DECODING),
        "same_for_all": SAME_FOR_ALL,
        **scored({**rows, **floors(examples)}, examples, opened.tools, given.rounds),
        "runs": {s.title: trained(s) for s in stages if s.stage != "plain"},
        "tricks": tricks(),
    }
    write(given.result, whole)
    print(f"wrote {given.result}")


def scored(
    rows: Mapping[str, Row], examples: Sequence[Example], tools: Tools, rounds: int
) -> dict[str, Any]:
    """Measure every row, and what sets it apart from the supervised one."""
    posts = [e.id for e in examples]
    read: dict[str, dict[str, Stated]] = {}
    found: dict[str, dict[str, Sampled]] = {}
    for name, row in rows.items():
        start = time.perf_counter()
        wanted = ALSO.get(name, (*LIKELIHOODS, *REPLIES))
        read[name] = {m: stated(row, m, tools, posts) for m in wanted}
        found[name] = {m: sampled(s, posts, rounds) for m, s in read[name].items()}
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return {
        "signatures": {m: s.signature for many in found.values() for m, s in many.items()},
        "rows": {
            name: {
                "trainings": sorted(row.replies),
                "samplings": max(map(len, row.replies.values())),
                "replies": sum(len(p) for many in row.replies.values() for p in many),
                "numbers": {m: number(s, m) for m, s in found[name].items()},
                "by_seed": {m: [rounded(v) for v in s.values] for m, s in found[name].items()},
            }
            for name, row in rows.items()
        },
        "differences": {
            f"{a} - {b}": compared(read[a], read[b], posts, rounds) for a, b in pairs_of(rows)
        },
    }


def pairs_of(rows: Mapping[str, Row]) -> list[tuple[str, str]]:
    """Which rows are compared: every stage with the supervised one, and PPO with RLOO."""
    made: list[tuple[str, str]] = []
    names = dict.fromkeys(
        row.rpartition("-")[0] for row in rows if row.rpartition("-")[2] in STAGES
    )
    for name in names:
        pairs = [(stage, "supervised") for stage in STAGES if stage != "supervised"]
        pairs.append(("ppo", "rloo"))
        made += [
            (f"{name}-{a}", f"{name}-{b}")
            for a, b in pairs
            if f"{name}-{a}" in rows and f"{name}-{b}" in rows
        ]
    return made


def compared(
    first: Mapping[str, Stated], second: Mapping[str, Stated], posts: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Differences of two rows on the same dialogues, over the trainings that both have."""
    of_any = next(iter(first)), next(iter(second))
    common = sorted(set(first[of_any[0]].stats) & set(second[of_any[1]].stats))
    made: dict[str, Any] = {"trainings": common, "numbers": {}, "ratios": {}}
    for metric in (*LIKELIHOODS, *REPLIES):
        if metric.endswith("_floor"):
            continue
        ours, theirs = first[metric], second[metric]
        if common:
            ours, theirs = ours.of(common), theirs.of(common)
        a, b = sampled(ours, posts, rounds), sampled(theirs, posts, rounds)
        both = paired(a, b) if common else None
        gap = difference(a, b) if both is None else estimate(both)
        p = p_value(ours, theirs, PAIRED_ROUNDS)
        made["numbers"][metric] = {**gap.row(), "p": None if p is None else rounded(p)}
        if metric in GUARDED:
            made["ratios"][metric] = ratio(a, b).row()
    return made


def number(found: Sampled, metric: str) -> dict[str, Any]:
    made: Estimate = estimate(found)
    if metric.startswith(("emp_", "distinct", "repeated", "commonest")):
        made = made.within(0.0, 1.0)
    return made.row()


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


def write(path: Path, whole: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False)
    # An object or list of plain values on one line: fewer lines, and easier to compare.
    text = re.sub(r"\{\s+([^{}\[\]]*?)\s+\}", lambda m: f"{{{' '.join(m[1].split())}}}", text)
    text = re.sub(r"\[\s+([^{}\[\]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
