"""Tables of numbers, written as Markdown and LaTeX; HTML is made from the same values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from emotone.evaluation.scores import Number
from emotone.metrics.spec import Display
from emotone.report.gather import Run
from emotone.report.names import names_of, shown
from emotone.report.published import TABLES, Published


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text; every way of writing escapes for itself.

    Args:
        name: Short name, for anchors and labels.
        title: Its caption.
        head: Column heads, the first over the rows' names.
        rows: Cells; the first of each is the row's name.
        notes: Sentences below.
        groups: Heading -> number of rows under it, in order; empty without headings.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()


def overall(runs: Sequence[Run]) -> Table:
    """Every metric of every run, with intervals."""
    names = names_of(runs)
    # What no run has a value of, such as BLEU without references, would be a row of dashes.
    metrics = names.in_order(
        n for run in runs for n, number in run.scores.metrics.items() if number.value is not None
    )
    rows: list[tuple[str, ...]] = []
    groups: list[tuple[str, int]] = []
    for group in dict.fromkeys(names[m].group for m in metrics):
        inside = [m for m in metrics if names[m].group == group]
        groups.append((group, len(inside)))
        for metric in inside:
            numbers = (run.scores.metrics.get(metric) for run in runs)
            cells = (with_interval(number, names[metric].digits) for number in numbers)
            rows.append((titled(names[metric]), *cells))
    count = tuple(f"{run.title}, n\u00a0=\u00a0{run.scores.n}" for run in runs)
    note = "Brackets hold 95 % intervals over posts. ↑ higher is better, ↓ lower is better."
    return Table("overall", "All metrics", ("Metric", *count), tuple(rows), (note,), tuple(groups))


def by_group(runs: Sequence[Run], kind: str, metrics: Sequence[str], title: str) -> Table:
    """Some metrics over parts of each run.

    Args:
        runs: The runs.
        kind: "per_emotion" or "per_part".
        metrics: Names of metrics; those that no run has are left out.
        title: The caption.
    """
    names = names_of(runs)
    have = [
        m
        for m in metrics
        if any(
            m in part and part[m].value is not None
            for run in runs
            for part in getattr(run.scores, kind).values()
        )
    ]
    rows: list[tuple[str, ...]] = []
    groups: list[tuple[str, int]] = []
    for run in runs:
        parts = getattr(run.scores, kind)
        if parts:
            groups.append((run.title, len(parts)))
        for label, numbers in parts.items():
            cells = (with_interval(numbers.get(m), names[m].digits) for m in have)
            rows.append((mood(label), *cells))
    head = ("Emotion asked" if kind == "per_emotion" else "Part", *(titled(names[m]) for m in have))
    return Table(kind.replace("_", "-"), title, head, tuple(rows), (), tuple(groups))


def differences(runs: Sequence[Run]) -> list[Table]:
    """Paired differences of each run that was compared with another."""
    names = names_of(runs)
    tables: list[Table] = []
    for run in runs:
        for i, against in enumerate(run.scores.against):
            other = f"{against.system} ({against.model})"
            rows = []
            for name in names.in_order(against.differences):
                d, digits = against.differences[name], names[name].digits
                ends = f"[{shown(d.low, digits)}, {shown(d.high, digits)}]"
                between = f"{shown(d.difference, digits)} {ends}"
                p = "< 0.001" if d.p is not None and d.p < 0.001 else shown(d.p, 3)
                rows.append(
                    (
                        titled(names[name]),
                        shown(d.value, digits),
                        shown(d.other, digits),
                        between,
                        p,
                        str(d.n),
                    )
                )
            tables.append(
                Table(
                    f"against-{len(tables)}-{i}",
                    f"{run.title} against {other}, same posts and emotions",
                    ("Metric", run.title, other, "Difference", "p", "n"),
                    tuple(rows),
                    ("p by approximate randomisation over posts, not corrected for many metrics.",),
                )
            )
    return tables


def published(runs: Sequence[Run]) -> list[Table]:
    """Published tables with ours beside them, where a run has one of the metrics."""
    return [_beside(t, runs) for t in TABLES if any(_ours(t, run) for run in runs)]


def _ours(table: Published, run: Run) -> bool:
    numbers = (_number(table, run, c.metric) for c in table.columns)
    return any(n is not None and n.value is not None for n in numbers)


def _number(table: Published, run: Run, metric: str) -> Number | None:
    """Return the number that stands beside a table, None where there is none of its kind."""
    scores = run.scores
    moods = {label for label, part in scores.per_emotion.items() if metric in part}
    if table.at_full and moods - {"none"}:
        return scores.at_full.get(metric)
    return scores.metrics.get(metric)


def _beside(table: Published, runs: Sequence[Run]) -> Table:
    rows = [
        (name, *(shown(v, c.digits) for v, c in zip(values, table.columns, strict=True)))
        for name, values in table.rows.items()
    ]
    ours: list[tuple[str, ...]] = []
    for run in runs:
        if not _ours(table, run):
            continue
        numbers = [_number(table, run, c.metric) for c in table.columns]
        ours.append(
            (
                run.title,
                *(
                    "-" if n is None or n.value is None else shown(n.value * c.times, c.digits)
                    for n, c in zip(numbers, table.columns, strict=True)
                ),
            )
        )
    which = (
        "Ours are over replies asked for one emotion at 100; over all of a system that was asked"
        " for none."
        if table.at_full
        else "Ours are over all replies of the run."
    )
    notes = (f"Source: {table.source}.", f"Not directly comparable. {which} {table.caution}")
    return Table(
        f"published-{table.name}",
        table.title,
        ("System", *(c.title for c in table.columns)),
        tuple([*rows, *ours]),
        notes,
        (("Published", len(rows)), ("Ours", len(ours))),
    )


def titled(metric: Display) -> str:
    """Name a metric, with an arrow where one way is better."""
    return f"{metric.title}{ {'up': ' ↑', 'down': ' ↓', '': ''}[metric.better] }"


def mood(label: str) -> str:
    """Name a part of the replies for people."""
    return "no emotion" if label == "none" else label


def with_interval(number: Number | None, digits: int) -> str:
    """Write a value and its interval."""
    if number is None or number.value is None:
        return "-"
    if number.low is None or number.high is None:
        return shown(number.value, digits)
    ends = f"[{shown(number.low, digits)}, {shown(number.high, digits)}]"
    return f"{shown(number.value, digits)} {ends}"


def markdown(table: Table) -> str:
    """Write a table as Markdown."""
    lines = [f"### {_md(table.title)}", ""]
    lines.append("| " + " | ".join(map(_md, table.head)) + " |")
    lines.append("|" + "---|" + "---:|" * (len(table.head) - 1))
    heads = heads_of(table)
    for i, row in enumerate(table.rows):
        if i in heads:
            lines.append("| **" + _md(heads[i]) + "** |" + " |" * (len(table.head) - 1))
        lines.append("| " + " | ".join(map(_md, row)) + " |")
    lines += ["", *(f"{_md(note)}\n" for note in table.notes)]
    return "\n".join(lines)


def latex(given: Table) -> str:
    """Write a table as LaTeX; needs the package booktabs."""
    width = len(given.head)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{_tex(given.title)}}}",
        rf"\label{{tab:{given.name}}}",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, given.head)) + r" \\",
    ]
    heads = heads_of(given)
    if not heads:
        lines.append(r"\midrule")
    for i, row in enumerate(given.rows):
        if i in heads:
            lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_tex(heads[i])}}}}} \\"]
        lines.append(" & ".join(map(_tex, row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {_tex(note)}" for note in given.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def heads_of(table: Table) -> dict[int, str]:
    """Find the headings: row number -> heading that stands above it."""
    heads: dict[int, str] = {}
    at = 0
    for title, count in table.groups:
        if count:
            heads[at] = title
        at += count
    return heads


def _md(text: str) -> str:
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", plain).replace("&", "&amp;")


_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def _tex(text: str) -> str:
    plain = " ".join(text.split())
    escaped = "".join(_TEX.get(c, rf"\{c}" if c in "&%$#_" else c) for c in plain)
    # A bracket at the start of a row would be read as an option of the line break before it.
    return "{" + escaped + "}" if escaped.startswith("[") else escaped
