"""Which rows are put beside which, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emotone.metrics.pooling import Sampled, difference, ratio
from recipes.recurrent.folders import MAIN, Run

#: What ratios are made of; a ratio of shares near 0 or of differences says little.
RATIOS = ("perplexity", "ecm_perplexity", "distinct_1", "distinct_2")


def contrasts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Rows to compare: the main systems with each other, every variant with its main system.

    Only rows of one size, trained on as many pairs, are compared.
    """
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.row, run)
    main: dict[tuple[str, str], str] = {}
    for run in first.values():
        if run.plain == MAIN.get(run.system):
            main.setdefault((run.system, run.size), run.row)
    wanted: list[tuple[str, str]] = []
    for size in sorted({r.size for r in first.values()}):
        base, ecm, emo = (main.get((s, size)) for s in ("a_seq2seq", "ecm", "emo_seq"))
        tag = next((r.row for r in first.values() if (r.plain, r.size) == ("tag", size)), None)
        both = ((ecm, base), (emo, base), (emo, ecm), (tag, base))
        wanted += [(a, b) for a, b in both if a is not None and b is not None]
    for run in first.values():
        base = main.get((run.system, run.size))
        if base is not None and base != run.row:
            wanted.append((run.row, base))
    return wanted


def compared(
    runs: Sequence[Run], samples: Mapping[str, Mapping[str, Sampled]]
) -> dict[str, dict[str, Any]]:
    """Differences and ratios of the rows that are there, as JSON."""
    differences: dict[str, Any] = {}
    ratios: dict[str, Any] = {}
    for first, second in contrasts(runs):
        if first in samples and second in samples:
            a, b = samples[first], samples[second]
            both = [k for k in a if k in b]
            differences[f"{first} - {second}"] = {k: difference(a[k], b[k]).row() for k in both}
            ratios[f"{first} / {second}"] = {
                k: ratio(a[k], b[k]).row() for k in both if k in RATIOS
            }
    return {"differences": differences, "ratios": ratios}
