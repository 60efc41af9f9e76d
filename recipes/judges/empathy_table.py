"""Write the page of figures of the empathy identifiers from what training left behind.

`python -m recipes.judges.empathy_table out/judges`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotone.files import replacing
from emotone.types import MECHANISMS

DOCS = Path(__file__).parents[2] / "docs"
SOURCES = {
    "cross-validation": "empathy-cv/cv.json",
    "empathy-score": "empathy-score/train.json",
    "empathy-reward": "empathy-reward/train.json",
}


def rows(title: str, result: dict[str, Any]) -> list[str]:
    """Lines of the table for one result."""
    lines: list[str] = []
    for mechanism in MECHANISMS:
        cells = [title, mechanism]
        for name in ("accuracy", "macro_f1"):
            f = result[mechanism][name]
            cells += [
                f"{f['value']:.3f} ({f['low']:.3f}-{f['high']:.3f})",
                f"{f['without_lean']:.3f}",
                f"{f['always_0']:.3f}",
            ]
        cells.append(f"{result[mechanism]['calibration_error']:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page as Markdown."""
    tested = [
        f"- {title}: {result['pairs']} pairs of {result['posts']} posts"
        + (f", judge {result['judge']}, posts of the other set" if "judge" in result else "")
        for title, result in results.items()
    ]
    head = [
        "# Empathy identifiers, measured",
        "",
        "Written by `python -m recipes.judges.empathy_table`; do not edit. Reddit part of EPITOME; "
        "[how they are made](empathy.md).",
        "",
        *tested,
        "",
        "Value with 95 % interval; plain: the likeliest level without the lean to rare ones; "
        "0: saying level 0 each time. ECE: calibration error.",
        "",
        "| | mechanism | accuracy | plain | 0 | macro-F1 | plain | 0 | ECE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    body = [line for title, result in results.items() for line in rows(title, result)]
    return "\n".join([*head, *body, ""])


def main() -> None:
    args = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    args.add_argument("folder", type=Path, help="holds empathy-cv, empathy-score, empathy-reward")
    args.add_argument("--docs", type=Path, default=DOCS)
    given = args.parse_args()
    results = {
        title: json.loads((given.folder / name).read_text(encoding="utf-8"))
        for title, name in SOURCES.items()
    }
    with replacing(given.docs / "results" / "empathy.json") as path:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    with replacing(given.docs / "judges" / "empathy-results.md") as path:
        path.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
