"""Write the page of results from docs/results/emprl.json, and the drawings of its curves.

`python -m recipes.emprl.table` writes docs/systems/emprl-results.md and
docs/systems/emprl-curves/*.svg. No number is typed by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.types import MECHANISMS
from recipes.compare.files import PAGES, RESULTS, read_results, write_page
from recipes.compare.table import number_table, table
from recipes.emprl.curves import drawing
from recipes.emprl.findings import findings
from recipes.emprl.names import COLUMNS, STOPPED, TRICKS, title

CURVES = "emprl-curves"

EMPATHY = ("emp_f1", "emp_macro_f1", "emp_accuracy")
BY_MECHANISM = tuple(f"{name}_{m}" for name in ("emp_f1", "emp_macro_f1") for m in MECHANISMS)
TEXTS = (
    "perplexity",
    "bits_per_character",
    "bleu",
    "similarity_reference",
    "similarity_post",
    "distinct_1",
    "distinct_2",
    "length_words",
    "repeated_4",
    "commonest_share",
)
DIFFERENCES = (
    *EMPATHY,
    *(k for k in TEXTS if k not in ("bits_per_character", "similarity_post", "commonest_share")),
)
#: What is shown of evaluations: key, heading, digits.
EVALUATED = (
    ("dev_reward", "reward", 4),
    *((f"dev_term/{m}", m, 3) for m in MECHANISMS),
    ("dev_kl", "KL", 2),
    ("dev_length", "tokens", 1),
    ("dev_distinct_2", "Distinct-2", 3),
    ("dev_nll", "nats a token", 3),
)

Results = Mapping[str, Any]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--result", type=Path, default=RESULTS / "emprl.json")
    arguments.add_argument("--docs", type=Path, default=PAGES)
    given = arguments.parse_args()
    results = read_results(given.result)
    for name, svg in drawings(results).items():
        write_page(given.docs / CURVES / f"{name}.svg", svg)
    write_page(given.docs / "emprl-results.md", page(results, given.result.name))


def drawings(results: Results) -> dict[str, str]:
    """Draw the curve of every reinforced run, by the run's name."""
    return {
        name: drawing(run["curve"], f"Learning curves of {name}", run["measured"]["best_step"])
        for name, run in results["runs"].items()
        if run["curve"].get("evaluations") or run["curve"].get("steps")
    }


def page(results: Results, source: str) -> str:
    """The page as Markdown."""
    settings = results["manifest"]["settings"]
    decoding = results["decoding"]
    judges = ", ".join(f"`{name}`" for name in results["manifest"]["judges"])
    lines = [
        "# EmpRL, measured",
        "",
        f"Written by `python -m recipes.emprl.table` from docs/results/{source}; do not edit."
        f" {settings['contexts']} conversations of EmpatheticDialogues' validation part, one turn"
        " of each chosen with a fixed seed, answered by every row; the test part was not used."
        f" Replies are sampled as in the authors' code: top-k {decoding['top_k']}, temperature"
        f" {decoding['temperature']}, {decoding['min_tokens']} to {decoding['max_tokens']} tokens;"
        f" every training answers {settings['samplings']} times. Empathy is judged only by"
        f" {judges}, which gave no reward, chose no weights and shares no training text with the"
        " judge that gave the reward. Brackets hold 95 % intervals over dialogues, and over"
        " trainings if there are several, otherwise over samplings.",
        "",
        *(f"- {line}" for line in findings(results)),
        "",
        "## Empathy",
        "",
        "The levels of each reply against those of the person's reply, both by the scoring judge:"
        " weighted F1 as in the paper, which favours a system whose replies all have the commonest"
        " level; macro-F1; and accuracy. Means over the three mechanisms.",
        "",
        *numbers(results, EMPATHY, floor=True),
        "",
        "By mechanism:",
        "",
        *numbers(results, BY_MECHANISM),
        "",
        "## Likelihood, content and variety",
        "",
        "Perplexity is that of people's replies under the system, by its own tokens: it is"
        " comparable between stages of one model, but not between models; bits per character are"
        " comparable between models too.",
        "",
        *numbers(results, TEXTS),
        "",
        "## Differences",
        "",
        "On the same dialogues, training by training; p by random swaps of dialogues, over all"
        " trainings and samplings together.",
        "",
        *differences(results),
        "",
        "## Learning curves",
        "",
        "Reward and terms are those of the judge that gives the reward. Lines are means over"
        " training steps, dots are held-out dialogues, and the dashed line marks the step whose"
        " weights are used.",
        *curves(results),
        "",
        "## What games the reward",
        "",
        "Mean reward of replies to invented dialogues, by the judge that gives the reward: with the"
        " paper's reward alone, and with the guards of the configs. First come replies that a"
        " person might write, then tricks.",
        "",
        *tricks(results),
    ]
    return "\n".join(lines) + "\n"


def numbers(results: Results, keys: Sequence[str], *, floor: bool = False) -> list[str]:
    """A table of rows and metrics."""
    rows = [
        ([title(name, results["same_for_all"]), _trainings(row["trainings"])], row["numbers"])
        for name, row in results["rows"].items()
    ]
    if floor:
        first = next(n for _, n in rows if "emp_f1_floor" in n)
        always = {key: first[f"{key}_floor"] for key in keys}
        rows.append((["Always the commonest level", ""], always))
    return number_table(["", "trainings"], rows, COLUMNS, keys)


def differences(results: Results) -> list[str]:
    """A table of pairs of rows and metrics."""
    rows: list[tuple[list[str], Mapping[str, Any]]] = []
    for name, gap in results["differences"].items():
        first, second = map(title, name.split(" - "))
        rows.append(([f"{first} minus {second}", _trainings(gap["trainings"])], gap["numbers"]))
    return number_table(["", "trainings"], rows, COLUMNS, DIFFERENCES, "+") or [
        "Nothing to compare yet."
    ]


def _trainings(seeds: Sequence[int]) -> str:
    return str(len(seeds)) if seeds and seeds != [0] else ""


def curves(results: Results) -> list[str]:
    """Where each run stopped and why, its evaluations, and its drawing."""
    lines: list[str] = []
    for name, run in results["runs"].items():
        evaluations = run["curve"].get("evaluations")
        if not evaluations:
            continue
        measured = run["measured"]
        why = STOPPED.get(measured["stopped"], measured["stopped"])
        head = ["step", *(heading for _, heading, _ in EVALUATED), "refused for"]
        rows = [
            [
                f"**{row['step']}**" if row["step"] == measured["best_step"] else str(row["step"]),
                *(f"{row[key]:.{d}f}" if key in row else "" for key, _, d in EVALUATED),
                row["refused"],
            ]
            for row in evaluations
        ]
        lines += [
            "",
            f"### {name}",
            "",
            f"{measured['steps']} steps, {measured['seconds'] / 60:.0f} minutes; {why}. The weights"
            f" are those of step {measured['best_step']}.",
            "",
            f"![Learning curves of {name}]({CURVES}/{name}.svg)",
            "",
            *table(head, thinned(rows)),
        ]
    return lines


def thinned(rows: Sequence[list[str]], most: int = 9) -> list[list[str]]:
    """Keep the first, the last, the best and some between."""
    if len(rows) <= most:
        return list(rows)
    places = {round(i * (len(rows) - 1) / (most - 1)) for i in range(most)}
    places |= {i for i, row in enumerate(rows) if row[0].startswith("*")}
    return [row for i, row in enumerate(rows) if i in places]


def tricks(results: Results) -> list[str]:
    """A table of kinds of replies and what they earn."""
    keys = (*MECHANISMS, "repetition", "length", "copied", "common")
    head = ["replies", "paper's reward", "with guards", *keys]
    rows = [
        [
            TRICKS.get(kind, kind),
            f"{reward['off']:.3f}",
            f"{reward['on']:+.3f}",
            *(f"{reward['terms'][k]:.2f}" for k in keys),
        ]
        for kind, reward in results["tricks"].items()
    ]
    return table(head, rows)


if __name__ == "__main__":
    main()
