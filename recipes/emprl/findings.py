"""What the numbers say, in sentences that are made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recipes.emprl.names import title
from recipes.recurrent.names import shown

#: Ratios to the supervised model that a reinforced one should keep to: metric, name, low, high.
LIMITS: tuple[tuple[str, str, float, float], ...] = (
    ("perplexity", "perplexity", 0.0, 1.10),
    ("distinct_2", "Distinct-2", 0.97, float("inf")),
    ("length_words", "words", 0.85, 1.15),
)


def findings(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each comparison with a supervised model."""
    for name, found in results["differences"].items():
        first, second = name.split(" - ")
        if not second.endswith("-supervised") or first.endswith("-plain"):
            continue
        gain = found["numbers"]["emp_f1"]
        macro = found["numbers"]["emp_macro_f1"]
        yield (
            f"{title(first)} against {title(second)}: Emp-F1 {shown(gain, 3, 1, '+')}, which is"
            f" {_told_apart(gain)}; macro-F1 {shown(macro, 3, 1, '+')}, {_told_apart(macro)};"
            f" {'; '.join(_limits(found['ratios']))}."
        )
    rows = results["rows"]
    for name, row in rows.items():
        value = row["numbers"].get("emp_f1", {}).get("value")
        if value is None or name not in ("people-shuffled", "constant"):
            continue
        above = [
            title(other)
            for other, numbers in rows.items()
            if other not in ("people", "people-shuffled", "constant")
            and (numbers["numbers"].get("emp_f1", {}).get("value") or 0) > value
        ]
        said = title(name, results["same_for_all"])
        yield f"{said}: Emp-F1 {value:.3f}; above it: {', '.join(above) or 'none'}."


def _told_apart(number: Mapping[str, Any]) -> str:
    low, high = number["low"], number["high"]
    if low is None or low <= 0 <= high:
        return "not told apart from 0"
    return "a gain" if low > 0 else "a loss"


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
