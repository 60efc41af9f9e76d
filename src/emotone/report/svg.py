"""Small charts as SVG text: bars with intervals, curves with intervals, histograms.

Written by hand and not by a plotting library: text stays text, colours follow the page's light
and dark, the same numbers give the same bytes, and the page needs nothing from elsewhere. Colours
and fonts are classes of `emotone.report.style`.

What is not finite has no place on an axis and is left out; its text stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TypeGuard

from emotone.evaluation.scores import DosePoint, Histogram, Number
from emotone.report.names import shown

#: Units of the drawing; the page scales it to its column.
WIDTH = 440
#: So many runs have a colour of their own; later ones begin anew.
COLOURS = 6

# Larger numbers are drawn as this one, and a span of less than 1 / this as none: so no difference
# and no quotient of two of them leaves the range of floats.
_LARGEST = 1e300

Bars = Sequence[tuple[str, Sequence[tuple[int, Number | None]]]]
"""Groups of bars: label, and (place of the run, its number) for each bar."""


def bars(name: str, title: str, groups: Bars, *, digits: int, share: bool) -> str:
    """Draw horizontal bars with 95 % intervals, one group a label.

    Args:
        name: Unique in the page, for the chart's title.
        title: What a reader who does not see the chart is told.
        groups: What to draw.
        digits: Digits of the printed values.
        share: Whether the axis ends at 1.
    """
    left, right, bar, gap, top = 96, 52, 11, 12, 6
    numbers = [n for _, row in groups for _, n in row if n is not None and _finite(n.value)]
    ends = [_bounded(v) for n in numbers for v in (n.value, n.low, n.high) if _finite(v)]
    low, high = min([0.0, *ends]), max([0.0, *ends]) if ends else 1.0
    ticks = _ticks(low, 1.0 if share and high <= 1 else high)
    span = (ticks[-1] - ticks[0]) or 1.0
    height = top + sum(len(row) * (bar + 2) + gap for _, row in groups) + 18

    def x(value: float) -> float:
        return left + (_bounded(value) - ticks[0]) / span * (WIDTH - left - right)

    out = [_open(name, title, height)]
    for tick in ticks:
        out.append(_line(x(tick), top, x(tick), height - 18, "rule"))
        out.append(_text(x(tick), height - 5, _tick(tick), "axis mid"))
    y = float(top + gap / 2)
    for label, row in groups:
        middle = y + len(row) * (bar + 2) / 2
        out.append(_text(left - 8, middle + 3.5, label, "label end"))
        for place, number in row:
            if number is not None and number.value is not None:
                if _finite(number.value):
                    start, end = sorted((x(0.0), x(number.value)))
                    out.append(
                        f'<rect class="f{place % COLOURS}" x="{_n(start)}" y="{_n(y)}"'
                        f' width="{_n(max(end - start, 0.8))}" height="{bar}" rx="2"/>'
                    )
                if _finite(number.value) and _finite(number.low) and _finite(number.high):
                    middle = y + bar / 2
                    out.append(_line(x(number.low), middle, x(number.high), middle, "whisker"))
                    for end in (number.low, number.high):
                        out.append(_line(x(end), middle - 3, x(end), middle + 3, "whisker"))
                value_text = shown(number.value, digits)
                out.append(_text(WIDTH - 4, y + bar - 2, value_text, "value end"))
            y += bar + 2
        y += gap
    return "".join([*out, "</svg>"])


def curves(name: str, title: str, series: Sequence[tuple[int, Sequence[DosePoint]]]) -> str:
    """Draw intensity against the share of replies judged as the emotion, with 95 % intervals.

    A point whose share does not lie in [0, 1] is left out.
    """
    left, right, top, bottom, height = 34, 10, 10, 34, 230
    intensities = [
        _bounded(p.intensity) for _, points in series for p in points if _finite(p.intensity)
    ]
    low, high = min([0.0, *intensities]), max([100.0, *intensities])
    narrow = high - low <= 500
    ticks = range(math.ceil(low / 25) * 25, int(high) + 1, 25) if narrow else _ticks(low, high)

    def x(value: float) -> float:
        return left + (_bounded(value) - low) / (high - low) * (WIDTH - left - right)

    def y(value: float) -> float:
        return top + (1 - min(max(value, 0.0), 1.0)) * (height - top - bottom)

    out = [_open(name, title, height)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        out.append(_line(left, y(tick), WIDTH - right, y(tick), "rule"))
        if tick in (0.0, 0.5, 1.0):
            out.append(_text(left - 6, y(tick) + 3.5, _tick(tick), "axis end"))
    for tick in ticks:
        if low <= tick <= high:
            out.append(_text(x(tick), height - bottom + 14, _tick(tick), "axis mid"))
    out.append(_text((left + WIDTH - right) / 2, height - 4, "intensity asked", "axis mid"))
    for place, points in series:
        colour = place % COLOURS
        known = [p for p in points if _finite(p.intensity) and _is_share(p.share.value)]
        band = [p for p in known if _finite(p.share.low) and _finite(p.share.high)]
        if len(band) > 1:
            there = [f"{_n(x(p.intensity))},{_n(y(p.share.high or 0))}" for p in band]
            back = [f"{_n(x(p.intensity))},{_n(y(p.share.low or 0))}" for p in reversed(band)]
            out.append(f'<polygon class="band f{colour}" points="{" ".join([*there, *back])}"/>')
        line = " ".join(f"{_n(x(p.intensity))},{_n(y(p.share.value or 0))}" for p in known)
        out.append(f'<polyline class="curve s{colour} d{colour}" points="{line}"/>')
        for p in known:
            out.append(_marker(colour, x(p.intensity), y(p.share.value or 0)))
    return "".join([*out, "</svg>"])


def histogram(name: str, title: str, made: Histogram, place: int, *, top_share: float) -> str:
    """Draw which share of the replies lies in each bin; bins are as wide as each other.

    Args:
        name: Unique in the page.
        title: What a reader who does not see the chart is told.
        made: The counts.
        place: Place of the run, for its colour.
        top_share: Upper end of the axis, the same for charts that are compared; 1 where it is
            not above 0.
    """
    left, right, top, bottom, height = 42, 8, 8, 20, 120
    total = sum(made.counts) or 1
    step = (WIDTH - left - right) / max(len(made.counts), 1)
    top_share = top_share if 1 / _LARGEST < top_share < math.inf else 1.0
    out = [_open(name, title, height)]

    def y(share: float) -> float:
        return top + (1 - min(share / top_share, 1.0)) * (height - top - bottom)

    for share in (0.0, top_share / 2, top_share):
        out.append(_line(left, y(share), WIDTH - right, y(share), "rule"))
        out.append(_text(left - 6, y(share) + 3.5, f"{share * 100:.0f} %", "axis end"))
    for i, count in enumerate(made.counts):
        start = left + i * step
        out.append(
            f'<rect class="f{place % COLOURS}" x="{_n(start + 1)}" y="{_n(y(count / total))}"'
            f' width="{_n(step - 2)}" height="{_n(y(0) - y(count / total))}"/>'
        )
        low = made.edges[i]
        # The first share above none is a bin of its own, whose end says nothing.
        label = ">0" if 0 < low <= 0.001 else _tick(low)
        out.append(_text(start + 1, height - 6, label, "axis"))
    return "".join([*out, "</svg>"])


def marker(place: int) -> str:
    """Draw what marks a run in a legend."""
    colour = place % COLOURS
    dash = f'<polyline class="curve s{colour} d{colour}" points="1,7 27,7"/>'
    head = '<svg class="key" viewBox="0 0 28 14" aria-hidden="true">'
    return f"{head}{dash}{_marker(colour, 14, 7)}</svg>"


def _marker(colour: int, x: float, y: float) -> str:
    kind = f'class="mark f{colour}"'
    if colour % 3 == 0:
        return f'<circle {kind} cx="{_n(x)}" cy="{_n(y)}" r="3.6"/>'
    if colour % 3 == 1:
        return f'<rect {kind} x="{_n(x - 3.2)}" y="{_n(y - 3.2)}" width="6.4" height="6.4"/>'
    corners = f"{_n(x)},{_n(y - 4.2)} {_n(x + 4)},{_n(y + 3.2)} {_n(x - 4)},{_n(y + 3.2)}"
    return f'<polygon {kind} points="{corners}"/>'


def _open(name: str, title: str, height: float) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {_n(height)}" role="img"'
        f' aria-labelledby="{escape(name)}"><title id="{escape(name)}">{escape(title)}</title>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    short = text if len(text) <= 16 else f"{text[:15]}…"
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}">{escape(short)}</text>'


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _is_share(value: float | None) -> TypeGuard[float]:
    return value is not None and 0 <= value <= 1


def _bounded(value: float) -> float:
    return min(max(value, -_LARGEST), _LARGEST)


def _tick(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _ticks(low: float, high: float) -> list[float]:
    """Round values from at most `low` to at least `high`, about five of them.

    Both ends are finite and bounded.
    """
    span = high - low
    raw = (span if span > 1 / _LARGEST else 1.0) / 4
    exponent = math.floor(math.log10(raw))
    power = 10.0**exponent
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(10, 2 - exponent)
    return sorted({round(i * step, digits) for i in range(first, last + 1)})
