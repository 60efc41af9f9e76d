"""Numbers as cells and tables, as the pages of the comparisons have them."""

from __future__ import annotations

from typing import Any

import pytest
from recipes.compare.table import escaped, number_table, shown, side

COLUMNS = {"a": ("A ↑", 2, 1.0), "b": ("B, %", 1, 100.0), "c": ("C", 0, 1.0)}


def number(value: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"value": value, "low": low, "high": high}


def test_a_number_stands_with_its_interval_if_it_has_one():
    assert shown(number(0.5, 0.25, 0.75), 2) == "0.50 [0.25, 0.75]"
    assert shown(number(0.5, -0.25, 0.75), 1, 100, "+") == "+50.0 [-25.0, +75.0]"
    assert shown(number(0.5), 3) == "0.500"
    assert shown(number(None), 3) == shown(None, 3) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(1, 2, 1), (-2, -1, -1), (-1, 1, 0), (0, 1, 0), (None, None, 0)]
)
def test_an_interval_lies_on_one_side_of_0_or_on_none(low: Any, high: Any, expected: int):
    assert side(number(1.0, low, high)) == expected


def test_rows_and_columns_without_a_number_are_left_out():
    rows = [
        (["x", ""], {"a": number(1.0) | {"p": 0.012}, "b": number(0.5)}),
        (["y", ""], {"c": number(None)}),
    ]
    assert number_table(["", "seeds"], rows, COLUMNS, ("a", "b", "c"), "+") == [
        "|  | A ↑ | B, % |",
        "| --- | --- | --- |",
        "| x | +1.00, p 0.012 | +50.0 |",
    ]
    assert number_table([""], rows[1:], COLUMNS, ("a", "c")) == []


def test_no_markdown_is_read_into_a_text():
    assert escaped("a *b* | c\n[d]") == "a \\*b\\* \\| c \\[d\\]"
