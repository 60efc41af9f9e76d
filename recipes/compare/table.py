"""Numbers as cells and tables of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Number = Mapping[str, Any]
"""`Estimate.row()`: "value", "low" and "high", each None where it is not known; maybe "p"."""
Column = tuple[str, int, float]
"""Heading, digits and factor."""

#: Columns of more than one comparison.
COLUMNS: Mapping[str, Column] = {
    "perplexity": ("PPL ↓", 2, 1),
    "bleu": ("BLEU ↑", 2, 1),
    "similarity_reference": ("similarity to reference ↑", 3, 1),
    "distinct_1": ("Distinct-1 ↑", 4, 1),
    "distinct_2": ("Distinct-2 ↑", 4, 1),
    "length_words": ("words", 1, 1),
    "repeated_4": ("repeated 4-grams, % ↓", 2, 100),
    "commonest_share": ("commonest reply, % ↓", 2, 100),
}


def shown(number: Number | None, digits: int, times: float = 1, sign: str = "") -> str:
    """Write a value with its interval; "" for one that was not measured."""
    if number is None or number["value"] is None:
        return ""
    value, low, high = (
        "" if number[k] is None else f"{number[k] * times:{sign}.{digits}f}"
        for k in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]" if low else value


def side(number: Number) -> int:
    """Return on which side of 0 the interval lies; 0 where it holds 0 or is not known."""
    low, high = number["low"], number["high"]
    if low is None or low <= 0 <= high:
        return 0
    return 1 if low > 0 else -1


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a Markdown table; columns that are empty in every row are left out."""
    filled = [i for i in range(len(head)) if not i or any(row[i] for row in rows)]
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line[i] for i in filled)} |" for line in lines]


def number_table(
    head: Sequence[str],
    rows: Sequence[tuple[Sequence[str], Mapping[str, Number]]],
    columns: Mapping[str, Column],
    keys: Sequence[str],
    sign: str = "",
) -> list[str]:
    """Write a Markdown table of numbers; rows without any of them are left out.

    Args:
        head: Headings of the cells before the numbers.
        rows: Those cells, and the numbers by key.
        columns: How the numbers of each key are written.
        keys: The numbers that are shown.
        sign: "+" writes the sign of positive numbers.

    Returns:
        The lines; none where no row has a number.
    """
    lines: list[list[str]] = []
    for cells, numbers in rows:
        values: list[str] = []
        for key in keys:
            value = shown(numbers.get(key), *columns[key][1:], sign)
            p = numbers.get(key, {}).get("p")
            values.append(f"{value}, p {p:.2g}" if value and p is not None else value)
        if any(values):
            lines.append([*cells, *values])
    return table([*head, *(columns[key][0] for key in keys)], lines) if lines else []


def values(
    numbers: Mapping[str, Number], columns: Mapping[str, Column], keys: Sequence[str]
) -> list[list[str]]:
    """List headings and values of one row, those that were measured, for a model's card."""
    cells = [[columns[key][0], shown(numbers.get(key), *columns[key][1:])] for key in keys]
    return [[heading, value] for heading, value in cells if value]


def escaped(text: str) -> str:
    """Write text that no Markdown is read into, on one line."""
    for sign in "\\`*_[]<>#|~":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
