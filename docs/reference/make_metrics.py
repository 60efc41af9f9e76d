"""Write the tables of docs/metrics.md from what the metrics declare.

`python docs/reference/make_metrics.py`
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from emotone import metrics
from emotone.metrics import Spec

PAGE = Path(__file__).parents[1] / "metrics.md"
_BEGIN = "<!-- Written by `python docs/reference/make_metrics.py`; do not edit by hand. -->\n"
_END = "<!-- End of what is written. -->\n"


def render(page: str) -> str:
    """Return the page with its tables written anew."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    by_group = groupby(metrics.specs().values(), key=lambda spec: spec.group)
    tables = "\n".join(_table(group, list(specs)) for group, specs in by_group)
    return f"{before}{_BEGIN}\n{tables}\n{_END}{after}"


def _table(group: str, specs: list[Spec]) -> str:
    rows: dict[str, list[Spec]] = {}
    for spec in specs:
        rows.setdefault(spec.measures or spec.title, []).append(spec)
    lines = [
        f"### {group}",
        "",
        "| metric | measures | range | source | misleads |",
        "|---|---|---|---|---|",
    ]
    for measures, same in rows.items():
        first = same[0]
        cells = (
            ", ".join(f"`{spec.name}`" for spec in same),
            measures,
            first.range or "0 to 1",
            first.source,
            first.misleads or "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)
