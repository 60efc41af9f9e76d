"""The page on metrics says what they declare, and the how-to makes one that keeps the contract."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from emotone import metrics

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_says_what_the_metrics_declare():
    place = DOCS / "reference" / "make_metrics.py"
    spec = importlib.util.spec_from_file_location("make_metrics", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert page == module.render(page), (
        "docs/metrics.md is older than the metrics; run python docs/reference/make_metrics.py"
    )
    for name in metrics.names():
        assert f"`{name}`" in page


def test_the_metric_of_the_how_to_works():
    text = (DOCS / "how-to" / "add-a-metric.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        exec(block, names)
    (spec,) = names["METRICS"]
    made = spec.make(metrics.Instruments(), metrics.RunFacts())
    assert made.signature.startswith("name:politeness|")
