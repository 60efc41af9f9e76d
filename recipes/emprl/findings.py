"""What the numbers say, in sentences that are made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recipes.compare.table import shown, side
from recipes.emprl.names import FLOORS, title
from recipes.emprl.rows import CONSTANT, SHUFFLED

#: Ratios to the supervised model that a reinforced one should keep to: metric, name, low, high.
LIMITS: tuple[tuple[str, str, float, float], ...] = (
    ("perplexity", "perplexity", 0.0, 1.10),
    ("distinct_2", "Distinct-2", 0.97, float("inf")),
    ("length_words", "words", 0.85, 1.15),
)
#: What an interval of a difference says, by its side of 0.
VERDICTS = {-1: "a loss", 0: "not distinguishable from 0", 1: "a gain"}


def findings(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each comparison with a supervised model, and one for each floor."""
    for name, gap in results["differences"].items():
        first, second = name.split(" - ")
        if not second.endswith("-supervised") or first.endswith("-plain"):
            continue
        gain, macro = (gap["numbers"][key] for key in ("emp_f1", "emp_macro_f1"))
        yield (
            f"{title(first)} against {title(second)}: Emp-F1 {shown(gain, 3, 1, '+')}, which is"
            f" {VERDICTS[side(gain)]}; macro-F1 {shown(macro, 3, 1, '+')}, {VERDICTS[side(macro)]};"
            f" {'; '.join(_limits(gap['ratios']))}."
        )
    values = {
        name: row["numbers"].get("emp_f1", {}).get("value") for name, row in results["rows"].items()
    }
    for name in (n for n in values if n in (SHUFFLED, CONSTANT) and values[n] is not None):
        above = [
            title(row) for row, v in values.items() if row not in FLOORS and (v or 0) > values[name]
        ]
        floor = title(name, results["same_for_all"])
        yield f"{floor}: Emp-F1 {values[name]:.3f}; above it: {', '.join(above) or 'none'}."


def _limits(ratios: Mapping[str, Any]) -> Iterator[str]:
    for metric, name, low, high in LIMITS:
        value = ratios.get(metric, {}).get("value")
        if value is None:
            continue
        inside = "within" if low <= value <= high else "outside"
        limit = f"{low:g} to {high:g}"
        if low == 0:
            limit = f"at most {high:g}"
        elif high == float("inf"):
            limit = f"at least {low:g}"
        yield f"{name} x {value:.3f}, {inside} the limit ({limit})"
