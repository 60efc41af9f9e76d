"""The page on metrics names every metric, and the how-to makes one that keeps the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from emotone import metrics
from emotone.types import MECHANISMS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
ROWS = {
    name
    for row in re.findall(r"^\| (`[^|]+`) \|", PAGE, re.M)
    for name in re.findall(r"`(\w+)`", row)
}


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_has_a_row(name: str):
    plain = re.sub(rf"_({'|'.join(MECHANISMS)})$", "", name)
    assert plain in ROWS


def test_every_row_is_a_metric():
    assert set(metrics.names()) >= ROWS


def test_the_metric_of_the_how_to_works():
    text = (DOCS / "how-to" / "add-a-metric.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        exec(block, names)
    assert names["METRICS"]["politeness"](metrics.Tools()).signature.startswith("name:politeness|")
