"""Write the page of results from docs/results/emprl.json, and the drawings of its curves.

`python -m recipes.emprl.table` writes docs/systems/emprl-results.md and
docs/systems/emprl-curves/*.svg. No number is typed by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.files import replacing
from recipes.emprl.curves import drawing
from recipes.emprl.findings import findings
from recipes.emprl.names import COLUMNS, STOPPED, TRICKS, title
from recipes.recurrent.names import shown, table

ROOT = Path(__file__).parents[2]
CURVES = "emprl-curves"

EMPATHY = ("emp_f1", "emp_macro_f1", "emp_accuracy")
BY_MECHANISM = tuple(
    f"{name}_{m}"
    for name in ("emp_f1", "emp_macro_f1")
    for m in ("reaction", "interpretation", "exploration")
)
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
    "perplexity",
    "bleu",
    "similarity_reference",
    "distinct_1",
    "distinct_2",
    "length_words",
    "repeated_4",
)

Found = Mapping[str, Any]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--result", type=Path, default=ROOT / "docs/results/emprl.json")
    arguments.add_argument("--docs", type=Path, default=ROOT / "docs/systems")
    given = arguments.parse_args()
    results = json.loads(given.result.read_text(encoding="utf-8"))
    for name, svg in drawings(results).items():
        write(given.docs / CURVES / f"{name}.svg", svg)
    write(given.docs / "emprl-results.md", page(results, given.result.name))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def drawings(results: Found) -> dict[str, str]:
    """Draw the curve of every reinforced run, by the run's name."""
    return {
        name: drawing(run["curve"], f"Learning curves of {name}", run["measured"]["best_step"])
        for name, run in results["runs"].items()
        if run["curve"].get("evaluations") or run["curve"].get("steps")
    }


def page(results: Found, source: str) -> str:
    """The page as Markdown."""
    settings = results["manifest"]["settings"]
    decoding = results["decoding"]
    judges = ", ".join(f"`{name}`" for name in results["manifest"]["judges"])
    lines = [
        "# EmpRL, measured",
        "",
        f"Written by `python -m recipes.emprl.table` from docs/results/{source}; do not edit."
        f" {settings['contexts']} conversations of EmpatheticDialogues' validation part, one turn"
        " of each drawn by a fixed seed, answered by every row; the test part was not used."
        f" Replies are drawn as in the authors' code: top-k {decoding['top_k']}, temperature"
        f" {decoding['temperature']}, {decoding['max_tokens']} tokens at most, and"
        f" {decoding['min_tokens']} at least; samplings of each training: {settings['samplings']}."
        f" Empathy is judged by {judges} alone, which gave no reward, chose no weights and shares"
        " no training text with the judge that did. Intervals are of 95 %: over dialogues, and"
        " over trainings where there are several, else over samplings.",
        "",
        *(f"- {line}" for line in findings(results)),
        "",
        "## Empathy",
        "",
        "The levels of each reply against those of the person's reply, both by the scoring judge:"
        " weighted F1 as in the paper, which flatters a reply that is always of the commonest"
        " level, macro-F1 beside it, and accuracy; means over the three mechanisms.",
        "",
        *numbers(results, EMPATHY, floor=True),
        "",
        "By mechanism:",
        "",
        *numbers(results, BY_MECHANISM),
        "",
        "## Likelihood, content and variety",
        "",
        "Perplexity is that of people's replies under the system, by its own tokens: rows of one"
        " model compare, rows of two do not; bits per character do.",
        "",
        *numbers(results, TEXTS),
        "",
        "## Differences",
        "",
        "On the same dialogues, training by training; p by random swaps of dialogues, all"
        " trainings and samplings together.",
        "",
        *differences(results),
        "",
        "## Learning curves",
        "",
        "Reward and terms are those of the judge that gives the reward. Lines are means over"
        " steps, dots are held-out dialogues, the broken line is where the weights come from.",
        *curves(results),
        "",
        "## What games the reward",
        "",
        "Mean reward of invented dialogues by the judge that gives it, with the paper's reward"
        " alone and with the guards of the configs: what people might say first, then tricks.",
        "",
        *tricks(results),
    ]
    return "\n".join(lines) + "\n"


def numbers(results: Found, columns: Sequence[str], *, floor: bool = False) -> list[str]:
    """A table of rows and metrics."""
    head = ["", "trainings", *(COLUMNS[c][0] for c in columns)]
    made: list[list[str]] = []
    for name, row in results["rows"].items():
        told = [shown(row["numbers"].get(c), *COLUMNS[c][1:]) for c in columns]
        if any(told):
            count = str(len(row["trainings"])) if row["trainings"] != [0] else ""
            made.append([title(name, results["same_for_all"]), count, *told])
    if floor:
        first = next(r for r in results["rows"].values() if "emp_f1_floor" in r["numbers"])
        told = [shown(first["numbers"].get(f"{c}_floor"), *COLUMNS[c][1:]) for c in columns]
        made.append(["Always the commonest level", "", *told])
    return table(head, made)


def differences(results: Found) -> list[str]:
    """A table of pairs of rows and metrics."""
    head = ["", "trainings", *(COLUMNS[c][0] for c in DIFFERENCES)]
    made: list[list[str]] = []
    for name, found in results["differences"].items():
        first, second = name.split(" - ")
        cells: list[str] = []
        for column in DIFFERENCES:
            number = found["numbers"].get(column)
            said = shown(number, *COLUMNS[column][1:], "+")
            p = None if number is None else number.get("p")
            cells.append(f"{said}, p {p:.2g}" if said and p is not None else said)
        trainings = str(len(found["trainings"]) or "")
        made.append([f"{title(first)} less {title(second)}", trainings, *cells])
    return table(head, made) if made else ["Nothing to compare yet."]


def curves(results: Found) -> list[str]:
    """Where each run stopped and why, its evaluations, and its drawing."""
    lines: list[str] = []
    for name, run in results["runs"].items():
        evaluations = run["curve"].get("evaluations")
        if not evaluations:
            continue
        measured = run["measured"]
        why = STOPPED.get(measured["stopped"], measured["stopped"])
        head = ["step", "reward", "reaction", "interpretation", "exploration", "KL", "tokens"]
        head += ["Distinct-2", "nats a token", "refused for"]
        keys = ["dev_reward", "dev_term/reaction", "dev_term/interpretation"]
        keys += ["dev_term/exploration", "dev_kl", "dev_length", "dev_distinct_2", "dev_nll"]
        digits = (4, 3, 3, 3, 2, 1, 3, 3)
        rows = [
            [
                f"**{row['step']}**" if row["step"] == measured["best_step"] else str(row["step"]),
                *(f"{row[k]:.{d}f}" if k in row else "" for k, d in zip(keys, digits, strict=True)),
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
    kept = {round(i * (len(rows) - 1) / (most - 1)) for i in range(most)}
    kept |= {i for i, row in enumerate(rows) if row[0].startswith("*")}
    return [row for i, row in enumerate(rows) if i in kept]


def tricks(results: Found) -> list[str]:
    """A table of kinds of replies and what they earn."""
    keys = ("reaction", "interpretation", "exploration", "repetition", "length", "copied", "common")
    head = ["replies", "paper's reward", "with guards", *keys]
    rows = [
        [
            TRICKS.get(kind, kind),
            f"{found['off']:.3f}",
            f"{found['on']:+.3f}",
            *(f"{found['terms'][k]:.2f}" for k in keys),
        ]
        for kind, found in results["tricks"].items()
    ]
    return table(head, rows)


if __name__ == "__main__":
    main()
