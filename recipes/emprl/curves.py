"""Learning curves of reinforcement: the log of a run made small, and drawn.

A drawing is a file of its own, so that a page shows it as an image. It follows light and dark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

#: What is kept of the steps, each a mean over neighbouring steps, and of the evaluations.
STEPS = (
    "reward",
    "term/reaction",
    "term/interpretation",
    "term/exploration",
    "term/empathy",
    "term/guards",
    "kl",
    "kl_coefficient",
    "length",
    "distinct_2",
    "value_loss",
    "value_explained",
    "policy_loss",
    "entropy",
    "clipped",
)
EVALUATIONS = (
    "dev_reward",
    "dev_term/reaction",
    "dev_term/interpretation",
    "dev_term/exploration",
    "dev_term/empathy",
    "dev_kl",
    "dev_length",
    "dev_distinct_2",
    "dev_nll",
)
#: Points of a curve at most.
POINTS = 40

#: Panels of a drawing: title, keys of steps, keys of evaluations.
PANELS: Sequence[tuple[str, Sequence[str], Sequence[str]]] = (
    ("reward", ("reward",), ("dev_reward",)),
    (
        "probability of the target level",
        ("term/reaction", "term/interpretation", "term/exploration"),
        ("dev_term/reaction", "dev_term/interpretation", "dev_term/exploration"),
    ),
    ("KL to the reference, nats a reply", ("kl",), ("dev_kl",)),
    ("length, tokens", ("length",), ("dev_length",)),
    ("Distinct-2 of a batch; of the held-out", ("distinct_2",), ("dev_distinct_2",)),
    ("loss of the value head", ("value_loss",), ()),
)

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 300, 150, 44, 22, 16
_STYLE = (
    "<style>text{font:10px system-ui,sans-serif;fill:#5b636c}.t{font-size:11px;fill:#1c2024}"
    ".g{stroke:#dfe3e8}polyline{fill:none;stroke-width:1.6}"
    ".c0{stroke:#2563c4;fill:#2563c4}.c1{stroke:#b8500a;fill:#b8500a}"
    ".c2{stroke:#0b7a6b;fill:#0b7a6b}polyline.c0,polyline.c1,polyline.c2{fill:none}"
    ".best{stroke:#7a4bc9;stroke-dasharray:3 3}"
    "@media(prefers-color-scheme:dark){text{fill:#a3abb5}.t{fill:#e8eaed}.g{stroke:#333a42}"
    ".c0{stroke:#78aefc;fill:#78aefc}.c1{stroke:#f0944d;fill:#f0944d}"
    ".c2{stroke:#46c2ad;fill:#46c2ad}}</style>"
)


def curve(log: Path) -> dict[str, Any]:
    """Read a log and keep what is shown.

    Returns:
        "steps": key -> [step, mean] pairs, at most `POINTS` of each; "evaluations": a row each,
        with "refused" where a guard refused it.
    """
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
    steps = [row for row in rows if "dev_reward" not in row and "reward" in row]
    curves: dict[str, list[list[float]]] = {}
    size = math.ceil(len(steps) / POINTS) or 1
    for key in STEPS:
        points: list[list[float]] = []
        for start in range(0, len(steps), size):
            part = [row for row in steps[start : start + size] if key in row]
            if part:
                mean = sum(row[key] for row in part) / len(part)
                points.append([part[-1]["step"], float(f"{mean:.5g}")])
        if points:
            curves[key] = points
    evaluations = [
        {
            "step": row["step"],
            **{k: float(f"{row[k]:.5g}") for k in EVALUATIONS if k in row},
            "refused": " ".join(row.get("dev_refused", ())),
        }
        for row in rows
        if "dev_reward" in row
    ]
    return {"steps": curves, "evaluations": evaluations} if curves or evaluations else {}


def drawing(curves: Mapping[str, Any], title: str, best: int | None = None) -> str:
    """Draw a curve as SVG: a panel a quantity, lines for steps and dots for evaluations.

    Args:
        curves: What `curve` returned.
        title: What a reader who does not see it is told.
        best: The step whose weights were kept; marked where it is given.
    """
    columns = 2
    lines = math.ceil(len(PANELS) / columns)
    width = columns * (_WIDTH + _GAP)
    height = lines * (_HEIGHT + _GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(title)}</title>{_STYLE}"
    ]
    for i, (name, steps, evaluations) in enumerate(PANELS):
        x, y = (i % columns) * (_WIDTH + _GAP), (i // columns) * (_HEIGHT + _GAP)
        of_steps = [curves["steps"].get(key, []) for key in steps]
        of_evaluations = [
            [[row["step"], row[key]] for row in curves["evaluations"] if key in row]
            for key in evaluations
        ]
        out.append(f'<g transform="translate({x} {y})">')
        out += _panel(name, steps, of_steps, of_evaluations, best)
        out.append("</g>")
    return "".join([*out, "</svg>\n"])


Points = Sequence[Sequence[float]]


def _drawable(curves: Sequence[Points]) -> list[Points]:
    """Leave out what is not finite, and bound the rest so that no difference overflows."""
    return [
        [(step, min(max(value, -1e300), 1e300)) for step, value in points if math.isfinite(value)]
        for points in curves
    ]


def _panel(
    name: str,
    keys: Sequence[str],
    steps: Sequence[Points],
    dots: Sequence[Points],
    best: int | None,
) -> Iterable[str]:
    steps, dots = _drawable(steps), _drawable(dots)
    every = [p for points in (*steps, *dots) for p in points]
    if not every:
        return []
    last = max(p[0] for p in every) or 1
    low, high = min(p[1] for p in every), max(p[1] for p in every)
    # A constant is drawn in the middle; 0.5 beside a number of 20 digits would be nothing.
    pad = 0.06 * (high - low) or max(0.5, abs(high) * 1e-9)
    low, high = low - pad, high + pad
    bottom, right = _HEIGHT - 18, _WIDTH - 6

    def x(step: float) -> str:
        return f"{_LEFT + step / last * (right - _LEFT):.1f}"

    def y(value: float) -> str:
        return f"{bottom - (value - low) / (high - low) * (bottom - _TOP):.1f}"

    out = [f'<text class="t" x="{_LEFT}" y="12">{escape(name)}</text>']
    for value in (low + pad, (low + high) / 2, high - pad):
        out.append(f'<line class="g" x1="{_LEFT}" x2="{right}" y1="{y(value)}" y2="{y(value)}"/>')
        out.append(f'<text x="{_LEFT - 4}" y="{y(value)}" text-anchor="end">{value:.3g}</text>')
    out.append(f'<text x="{_LEFT}" y="{_HEIGHT - 5}">0</text>')
    out.append(f'<text x="{right}" y="{_HEIGHT - 5}" text-anchor="end">step {last:g}</text>')
    if best is not None and best <= last:
        out.append(f'<line class="best" x1="{x(best)}" x2="{x(best)}" y1="{_TOP}" y2="{bottom}"/>')
    for colour, points in enumerate(steps):
        line = " ".join(f"{x(s)},{y(v)}" for s, v in points)
        out.append(f'<polyline class="c{colour}" points="{line}"/>')
    for colour, points in enumerate(dots):
        out += [f'<circle class="c{colour}" cx="{x(s)}" cy="{y(v)}" r="2.6"/>' for s, v in points]
    if len(keys) > 1:
        for colour, key in enumerate(keys):
            term = key.rpartition("/")[2]
            at = _LEFT + 4 + colour * 82
            out.append(f'<rect class="c{colour}" x="{at}" y="{_TOP - 3}" width="8" height="3"/>')
            out.append(f'<text x="{at + 11}" y="{_TOP + 1}">{term}</text>')
    return out
