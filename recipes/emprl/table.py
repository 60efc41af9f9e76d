"""Write the page of results from docs/results/emprl.json, and the drawings of its curves.

`python -m recipes.emprl.table` writes docs/systems/emprl-results.md and
docs/systems/emprl-curves/*.svg. No number is typed by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.types import MECHANISMS
from recipes.compare.files import PAGES, RESULTS, filled, read_results, write_page
from recipes.compare.table import number_table, table
from recipes.emprl.curves import drawing
from recipes.emprl.findings import findings
from recipes.emprl.names import COLUMNS, STOPPED, TRICKS, title

HERE = Path(__file__).parent
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
    return filled(
        HERE / "pages/results.md",
        source=source,
        settings=results["manifest"]["settings"],
        decoding=results["decoding"],
        judges=", ".join(f"`{name}`" for name in results["manifest"]["judges"]),
        findings=[f"- {line}" for line in findings(results)],
        empathy=numbers(results, EMPATHY, floor=True),
        by_mechanism=numbers(results, BY_MECHANISM),
        texts=numbers(results, TEXTS),
        differences=differences(results),
        curves="\n\n".join(curves(results)) or "There are none yet.",
        tricks=tricks(results),
    )


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


def curves(results: Results) -> Iterator[str]:
    """Yield where each run stopped and why, its evaluations, and its drawing."""
    for name, run in results["runs"].items():
        evaluations = run["curve"].get("evaluations")
        if not evaluations:
            continue
        measured = run["measured"]
        best = measured["best_step"]
        rows = [
            [
                f"**{row['step']}**" if row["step"] == best else str(row["step"]),
                *(f"{row[key]:.{d}f}" if key in row else "" for key, _, d in EVALUATED),
                row["refused"],
            ]
            for row in evaluations
        ]
        head = ["step", *(heading for _, heading, _ in EVALUATED), "refused for"]
        why = STOPPED.get(measured["stopped"], measured["stopped"])
        yield f"### {name}"
        yield (
            f"{measured['steps']} steps, {measured['seconds'] / 60:.0f} minutes; {why}. The weights"
            f" are those of step {best}."
        )
        yield f"![Learning curves of {name}]({CURVES}/{name}.svg)"
        yield "\n".join(table(head, thinned(rows)))


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
