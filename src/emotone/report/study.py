"""The human evaluation as a page, a section of a report, and tables in Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from emotone.errors import DataError
from emotone.evaluation.blind import HAND
from emotone.evaluation.scores import Number, write_text
from emotone.human.findings import Cell, Findings, Question, write_findings
from emotone.report import svg
from emotone.report.names import shown
from emotone.report.page import POLICY, table
from emotone.report.style import CSS
from emotone.report.tables import Table, latex, markdown, mood, with_interval


@dataclass(frozen=True, slots=True)
class Printed:
    """Published ratings by people.

    Args:
        source: Paper and table.
        questions: Criteria of a study that are the same.
        systems: Columns.
        rows: Emotion as the paper names it, "" for all -> criterion -> values of the systems.
        caution: Why ours do not compare with these.
    """

    source: str
    questions: tuple[str, ...]
    systems: tuple[str, ...]
    rows: Mapping[str, Mapping[str, tuple[float, ...]]]
    caution: str


EMO_SEQ = Printed(
    "Wei et al. 2019 (Emo-Seq), table 5",
    ("emotion", "content"),
    ("A-Seq2Seq", "ECM", "Emo-Seq"),
    {
        "happy": {"emotion": (0.49, 0.59, 0.64), "content": (1.03, 1.27, 1.30)},
        "anger": {"emotion": (0.35, 0.47, 0.61), "content": (1.02, 1.25, 1.27)},
        "disgusted": {"emotion": (0.43, 0.46, 0.60), "content": (0.94, 1.17, 1.28)},
        "sad": {"emotion": (0.46, 0.61, 0.63), "content": (0.87, 1.28, 1.34)},
        "like": {"emotion": (0.51, 0.53, 0.62), "content": (1.06, 1.23, 1.35)},
        "": {"emotion": (0.45, 0.53, 0.62), "content": (0.98, 1.24, 1.31)},
    },
    "Their posts are of NLPCC 2017, their raters others; the paper gives neither their number nor"
    " their agreement.",
)
LEMPEX = Printed(
    "LEMPEx (arXiv 2106.11791), results table, read by eye from an image; EmpRL's own ratings could"
    " not be checked and are not given",
    ("empathy", "relevance", "fluency"),
    ("Gold", "MIME", "EmpDG", "T5-PT", "LEMPEx"),
    {
        "": {
            "empathy": (4.48, 3.00, 2.95, 3.31, 3.76),
            "relevance": (4.98, 3.15, 3.10, 3.75, 3.78),
            "fluency": (4.98, 4.39, 4.32, 4.78, 4.61),
        }
    },
    "Their posts are of EmpatheticDialogues, their raters and questions others.",
)
#: Emotions of our label sets -> as Emo-Seq's table names them.
_AS_PRINTED = {
    "joy": "happy",
    "happiness": "happy",
    "happy": "happy",
    "anger": "anger",
    "angry": "anger",
    "disgust": "disgusted",
    "sadness": "sad",
    "sad": "sad",
    "like": "like",
    "love": "like",
}
_MEASURES = {
    "fleiss": "Fleiss' kappa",
    "cohen": "Cohen's kappa, mean over pairs",
    "alpha": "Krippendorff's alpha",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "kappa": "Cohen's kappa",
}


def write_study(found: Findings, output: Path) -> list[Path]:
    """Write `index.html`, `tables.md`, `tables.tex` and `study.json` in one folder.

    Args:
        found: What the study found.
        output: The folder; it is made if its parent exists.

    Returns:
        The files written.

    Raises:
        DataError: If the folder or a file cannot be written.
    """
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the folder {output} ({error.strerror}); name one whose parent exists"
        ) from error
    tables = study_tables(found)
    texts = {
        "index.html": study_page(found),
        "tables.md": f"# {found.title}\n\n" + "\n".join(map(markdown, tables)),
        "tables.tex": "% needs \\usepackage{booktabs}\n" + "\n".join(map(latex, tables)),
    }
    for name, text in texts.items():
        write_text(output / name, text)
    write_findings(found, output / "study.json")
    return [*(output / name for name in texts), output / "study.json"]


def study_tables(found: Findings) -> list[Table]:
    """Every table of a study."""
    tables = [_means(found)]
    if found.kind == "rating":
        tables.append(_by_emotion(found))
    return [
        t
        for t in (*tables, _tests(found), _agreement(found), _judges(found), _raters(found))
        if t.rows
    ]


def study_section(found: Findings) -> str:
    """The study as HTML, for a page that has a heading of its own above it."""
    notes = [
        f"{found.ratings:,} ratings of {found.items:,} items by {len(found.raters)} raters, who did"
        " not know the systems. Intervals of 95 % are over posts and raters.",
        *found.notes,
    ]
    said = "".join(f'<p class="soft">{escape(note)}</p>' for note in notes)
    return f"{said}{_figures(found)}{''.join(map(table, study_tables(found)))}"


def study_page(found: Findings) -> str:
    """The study as a page of its own: no script, nothing from elsewhere, every text escaped."""
    origin = (
        f"Study of {found.created[:10]}, seed {found.seed}, items {found.items_sha256[:12]},"
        f" language {found.lang}."
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="emotone">\n'
        f"<title>{escape(found.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f"<header><h1>{escape(found.title)}</h1></header>\n{study_section(found)}"
        f'<p class="soft">{escape(origin)}</p>\n</main>\n</body>\n</html>\n'
    )


def _names(found: Findings) -> list[tuple[str, str]]:
    """(system, other) of the columns, lines by hand last."""
    return list(dict.fromkeys((c.system, c.other) for c in found.cells))


def _title(system: str, other: str = "") -> str:
    return f"{system} against {other}" if other else system


def _cells(found: Findings) -> dict[tuple[str, str, str, str], Cell]:
    return {(c.question, c.system, c.other, c.emotion): c for c in found.cells}


def _means(found: Findings) -> Table:
    cells = _cells(found)
    rows = [
        (
            _title(system, other),
            *(_shown(cells.get((q.name, system, other, ""))) for q in found.questions),
        )
        for system, other in _names(found)
    ]
    if found.kind == "pair":
        notes = ("Share that prefers the first of the two; where neither is better, half each.",)
    else:
        notes = (_scales(found.questions),)
    groups: tuple[tuple[str, int], ...] = ()
    printed = _printed(found)
    if printed is not None and set(printed.rows) == {""}:
        groups = (("Ours", len(rows)), (f"Published: {printed.source}", len(printed.systems)))
        for i, system in enumerate(printed.systems):
            values = (printed.rows[""].get(q.name) for q in found.questions)
            rows.append((system, *("-" if v is None else shown(v[i], 2) for v in values)))
        notes = (*notes, printed.caution)
    head = ("System", *(q.title for q in found.questions))
    return Table("study", "Ratings by people", head, tuple(rows), notes, groups)


def _by_emotion(found: Findings) -> Table:
    """The shape of Emo-Seq's table 5: emotions down, systems across, published ones beside."""
    cells = _cells(found)
    systems = [name for name in _names(found) if name[0] != HAND]
    printed = _printed(found)
    if printed is not None and set(printed.rows) == {""}:
        printed = None
    questions = [q for q in found.questions if printed is None or q.name in printed.questions]
    rows: list[tuple[str, ...]] = []
    groups: list[tuple[str, int]] = []
    for emotion in (*(e for e in found.emotions if e != "none"), ""):
        groups.append((mood(emotion) or "average", len(questions)))
        for question in questions:
            row = [question.title]
            row += [_shown(cells.get((question.name, *name, emotion))) for name in systems]
            if printed is not None:
                theirs = printed.rows.get(_AS_PRINTED.get(emotion, emotion), {}).get(question.name)
                row += [shown(v, 2) for v in theirs or [None] * len(printed.systems)]
            rows.append(tuple(row))
    if len(groups) < 2:
        rows, groups = [], []
    head = ["Criterion", *(_title(*name) for name in systems)]
    notes: tuple[str, ...] = ()
    if printed is not None:
        head += [f"{name} (published)" for name in printed.systems]
        notes = (f"Published: {printed.source}. Not directly comparable. {printed.caution}",)
    title = "Ratings by emotion asked"
    return Table("study-emotions", title, tuple(head), tuple(rows), notes, tuple(groups))


def _printed(found: Findings) -> Printed | None:
    """The published table with the same questions, whatever else the study asks."""
    names = {q.name for q in found.questions}
    fits = (p for p in (EMO_SEQ, LEMPEX) if set(p.questions) <= names)
    return next(fits, None)


def _tests(found: Findings) -> Table:
    titles = {q.name: q.title for q in found.questions}
    rows = [
        (
            f"{titles[t.question]}: {t.system} − {t.other}",
            with_interval(t.difference, 2),
            _p(t.p),
            _p(t.holm),
            str(t.difference.n),
        )
        for t in found.tests
    ]
    what = (
        "ratings" if found.kind == "pair" else "pairs of post and emotion that both were rated on"
    )
    note = (
        "The interval is over posts and raters. p is by random swaps of posts, corrected for all"
        f" {len(rows)} tests after Holm (1979); n counts {what}."
    )
    head = ("Difference", "Mean", "p", "p corrected", "n")
    return Table("study-tests", "Differences between systems", head, tuple(rows), (note,))


def _agreement(found: Findings) -> Table:
    measures = list(dict.fromkeys(a.measure for a in found.agreement))
    values = {(a.question, a.measure): a.number for a in found.agreement}
    rows = [
        (
            q.title,
            *(with_interval(values[q.name, m], 2) for m in measures),
            str(values[q.name, measures[0]].n),
        )
        for q in found.questions
        if measures
    ]
    head = ("Criterion", *(_MEASURES[m] for m in measures), "Items")
    note = (
        "1 is full agreement, 0 chance. Intervals are over posts; items are those that two or more"
        " rated. Cohen's kappa has quadratic weights, alpha the ordinal distance."
    )
    return Table("study-agreement", "Agreement of raters", head, tuple(rows), (note,))


def _judges(found: Findings) -> Table:
    titles = {q.name: q.title for q in found.questions}
    measures = list(dict.fromkeys(c.measure for c in found.judges))
    values = {(c.question, c.judge, c.measure): c.number for c in found.judges}
    pairs = list(dict.fromkeys((c.question, c.judge) for c in found.judges))
    rows = [
        (
            f"{titles[question]}, {judge}",
            *(with_interval(values.get((question, judge, m)), 2) for m in measures),
            str(values[question, judge, measures[0]].n),
        )
        for question, judge in pairs
    ]
    head = ("Criterion and judge", *(_MEASURES[m] for m in measures), "Replies")
    note = "Means of raters beside what the judge said of the same replies; intervals over posts."
    return Table("study-judges", "Automatic judges beside raters", head, tuple(rows), (note,))


def _raters(found: Findings) -> Table:
    names = [b.question for b in found.raters[0].bias] if found.raters else []
    titles = {q.name: q.title for q in found.questions}
    rows = [
        (
            r.name,
            str(r.rated),
            str(r.skipped),
            shown(r.seconds, 1),
            f"{r.failed} of {r.checks}",
            *(_signed(b.value) for b in r.bias),
            "; ".join((*r.flags, *(("left out",) if r.excluded else ()))) or "-",
        )
        for r in found.raters
    ]
    head = ("Rater", "Rated", "Skipped", "Seconds", "Checks failed",
            *(f"Bias, {titles[n].lower()}" for n in names), "Flags")  # fmt: skip
    bias = (
        "how much oftener than in half of the pairs the reply that stood first was preferred"
        if found.kind == "pair"
        else "the mean difference to the others' mean on the same items"
    )
    note = f"Bias is {bias}; seconds are the median of an item."
    return Table("study-raters", "Raters", head, tuple(rows), (note,))


def _figures(found: Findings) -> str:
    systems = _names(found)
    cells = _cells(found)
    legend = "".join(
        f"<li>{svg.marker(i)}{escape(_title(*name))}</li>" for i, name in enumerate(systems)
    )
    drawn: list[str] = []
    emotions = [e for e in found.emotions if e != "none"]
    for question in found.questions:
        groups: list[tuple[str, list[tuple[int, Number | None]]]] = []
        for emotion in ("", *(emotions if len(emotions) > 1 else ())):
            row: list[tuple[int, Number | None]] = [
                (i, cells[question.name, *name, emotion].number)
                for i, name in enumerate(systems)
                if (question.name, *name, emotion) in cells
            ]
            groups.append((mood(emotion) or "all", row))
        title = f"{question.title}, with 95 % intervals; the table has the values"
        share = question.share or found.kind == "pair"
        chart = svg.bars(f"study-{question.name}", title, groups, digits=2, share=share)
        drawn.append(f"<figure><figcaption>{escape(question.title)}</figcaption>{chart}</figure>")
    return f'<ul class="legend">{legend}</ul><div class="grid">{"".join(drawn)}</div>\n'


def _scales(questions: Sequence[Question]) -> str:
    scales = (f"{q.title.lower()} {q.low:g} to {q.high:g}" for q in questions)
    return f"Means with 95 % intervals over posts and raters: {', '.join(scales)}."


def _shown(cell: Cell | None) -> str:
    return "-" if cell is None else with_interval(cell.number, 2)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}".replace("-", "−")


def _p(value: float | None) -> str:
    return "< 0.001" if value is not None and value < 0.001 else shown(value, 3)
