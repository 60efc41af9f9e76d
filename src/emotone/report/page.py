"""The report as one HTML page: no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from emotone.evaluation.groups import in_order
from emotone.evaluation.scores import Confusion, Histogram, Number
from emotone.report import svg
from emotone.report.examples import Talk
from emotone.report.gather import Run
from emotone.report.names import names_of
from emotone.report.style import CSS
from emotone.report.tables import (
    Table,
    by_group,
    differences,
    heads_of,
    mood,
    overall,
    published,
)

#: Metrics that are drawn and listed for each emotion and part.
PER_EMOTION = (
    "emotion_accuracy",
    "asked_probability",
    "emotional_share",
    "emp_f1",
    "reply_perplexity",
    "perplexity",
    "repeated_4",
    "distinct_2",
    "similarity_post",
    "length_words",
)
_DRAWN = ("emotion_accuracy", "asked_probability", "repeated_4", "distinct_2", "length_words")

#: The page may show itself and nothing else.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(
    runs: Sequence[Run], talks: Sequence[Talk], *, title: str, hidden: bool, people: str = ""
) -> str:
    """Write the page.

    Args:
        runs: What `gather` found.
        talks: Example replies side by side.
        title: Its heading.
        hidden: Whether posts are left out of the examples.
        people: The section of a human evaluation, as HTML; "" for none.
    """
    sections = [
        ("overall", "Overall", _overall(runs)),
        ("people", "Rated by people", people),
        ("emotions", "Emotion by emotion", _emotions(runs)),
        ("confusion", "Requested and judged", _confusions(runs)),
        ("dose", "Intensity and effect", _doses(runs)),
        ("parts", "Parts of the examples", _parts(runs)),
        ("spread", "Length and repetition", _spread(runs)),
        ("differences", "Paired differences", "".join(map(table, differences(runs)))),
        ("published", "Beside published numbers", _published(runs)),
        ("examples", "Replies side by side", _talks(talks, hidden)),
        ("origin", "Where the numbers come from", _origin(runs)),
    ]
    filled = [(name, head, body) for name, head, body in sections if body]
    links = "".join(f'<a href="#{name}">{escape(head)}</a>' for name, head, _ in filled)
    count = sum(run.scores.n for run in runs)
    counted = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {count:,} replies."
    body = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(head)}</h2>{body}</section>\n'
        for name, head, body in filled
    )
    notes = [f"{run.title}: {note}" for run in runs for note in run.notes]
    warned = "".join(f'<p class="warn soft">{escape(note)}</p>' for note in notes)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="emotone">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(title)}</h1><p class="soft">{counted} Values with 95 % intervals,'
        f" which resample posts.</p>{warned}"
        f'<nav aria-label="Sections">{links}</nav></header>\n{body}</main>\n</body>\n</html>\n'
    )


def table(given: Table) -> str:
    """Write a table as HTML, in a frame that scrolls sideways on narrow screens."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in given.head)
    rows: list[str] = []
    heads = heads_of(given)
    for i, row in enumerate(given.rows):
        if i in heads:
            rows.append(
                f'<tr class="group"><th colspan="{len(given.head)}" scope="rowgroup">'
                f"{escape(heads[i])}</th></tr>"
            )
        cells = "".join(f"<td>{_value(cell)}</td>" for cell in row[1:])
        rows.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    notes = "".join(f'<p class="notes">{escape(note)}</p>' for note in given.notes)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(given.title)}"><table>'
        f"<caption>{escape(given.title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{notes}\n"
    )


def _value(cell: str) -> str:
    value, bracket, rest = cell.partition(" [")
    if not bracket:
        return escape(cell)
    return f'<span class="num">{escape(value)}</span> <span class="ci">[{escape(rest)}</span>'


def _legend(runs: Sequence[Run]) -> str:
    if len(runs) < 2:
        return ""
    items = "".join(f"<li>{svg.marker(i)}{escape(run.title)}</li>" for i, run in enumerate(runs))
    return f'<ul class="legend">{items}</ul>'


def _figure(caption: str, drawing: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawing}</figure>\n"


def _overall(runs: Sequence[Run]) -> str:
    return table(overall(runs))


def _emotions(runs: Sequence[Run]) -> str:
    if not any(set(run.scores.per_emotion) - {"none"} for run in runs):
        return ""
    labels = in_order(list({label for run in runs for label in run.scores.per_emotion}))
    # Lower intensities have curves of their own.
    full = [label for label in labels if ":" not in label]
    labels = full if set(full) - {"none"} else labels
    names = names_of(runs)
    figures: list[str] = []
    for metric in _DRAWN:
        groups: list[tuple[str, list[tuple[int, Number | None]]]] = []
        for label in labels:
            row: list[tuple[int, Number | None]] = [
                (i, run.scores.per_emotion[label][metric])
                for i, run in enumerate(runs)
                if metric in run.scores.per_emotion.get(label, {})
                and run.scores.per_emotion[label][metric].value is not None
            ]
            if row:
                groups.append((mood(label), row))
        if groups:
            named = names[metric]
            title = f"{named.title} by emotion asked, with 95 % intervals; the table has the values"
            drawn = svg.bars(
                f"bars-{metric}", title, groups, digits=min(named.digits, 3), share=named.share
            )
            figures.append(_figure(named.title, drawn))
    listed = by_group(runs, "per_emotion", PER_EMOTION, "By emotion asked")
    return (
        f'{_legend(runs)}<div class="grid">{"".join(figures)}</div>'
        f"<details><summary>The same as a table</summary>{table(listed)}</details>"
    )


def _confusions(runs: Sequence[Run]) -> str:
    tables: list[str] = []
    for run in runs:
        confusion = run.scores.confusion
        if confusion is not None and any(map(sum, confusion.counts)):
            tables.append(_heat(run.title, confusion))
    if not tables:
        return ""
    about = (
        "Rows are the requested emotions, columns the judged ones: share of the row, and number of"
        " replies. Framed cells are those where the two are the same."
    )
    return f'<p class="soft">{about}</p><div class="grid broad">{"".join(tables)}</div>'


def _heat(title: str, confusion: Confusion) -> str:
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in confusion.judged)
    rows: list[str] = []
    for asked, counts in zip(confusion.asked, confusion.counts, strict=True):
        total = sum(counts)
        cells: list[str] = []
        for judged, count in zip(confusion.judged, counts, strict=True):
            share = count / total if total else 0.0
            kind = "hit" if asked == judged else "" if count else "nil"
            hit = f' class="{kind}"' if kind else ""
            cells.append(f'<td{hit} style="--a:{share:.3f}">{share:.2f}<small>{count}</small></td>')
        rows.append(f'<tr><th scope="row">{escape(mood(asked))}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="heat"><caption>{escape(title)}, judged by '
        f"<code>{escape(confusion.judge)}</code></caption>"
        f'<thead><tr><th scope="col">requested \\ judged</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _doses(runs: Sequence[Run]) -> str:
    labels = [
        label
        for label in dict.fromkeys(label for run in runs for label in run.scores.dose)
        if any(len(run.scores.dose.get(label, ())) > 1 for run in runs)
    ]
    if not labels:
        return ""
    figures = [
        _figure(
            label,
            svg.curves(
                f"dose-{i}",
                f"Share of replies judged as {label} by intensity asked, with 95 % intervals",
                [
                    (k, run.scores.dose[label])
                    for k, run in enumerate(runs)
                    if run.scores.dose.get(label)
                ],
            ),
        )
        for i, label in enumerate(labels)
    ]
    about = "Share of replies judged as the emotion; 0 is a reply without an emotion."
    return f'<p class="soft">{about}</p>{_legend(runs)}<div class="grid">{"".join(figures)}</div>'


def _parts(runs: Sequence[Run]) -> str:
    if not any(run.scores.per_part for run in runs):
        return ""
    return table(by_group(runs, "per_part", PER_EMOTION, "By part of the examples"))


def _spread(runs: Sequence[Run]) -> str:
    grids: list[str] = []
    for kind, unit in (("length", "words a reply"), ("repetition", "share of repeated 4-grams")):
        have = [(i, run, run.scores.distributions.get(kind)) for i, run in enumerate(runs)]
        tops = [
            max(h.counts, default=0) / max(sum(h.counts), 1) for _, _, h in have if h is not None
        ]
        if not tops:
            continue
        top = max(0.1, -(-max(tops) // 0.1) * 0.1)
        figures = [
            _figure(f"{run.title}: {unit}", _histogram(f"{kind}-{i}", run, i, h, unit, top))
            for i, run, h in have
            if h is not None
        ]
        grids.append(f'<div class="grid">{"".join(figures)}</div>')
    if not grids:
        return ""
    return '<p class="soft">Numbers below are the lower ends of the bins.</p>' + "".join(grids)


def _histogram(name: str, run: Run, place: int, bins: Histogram, unit: str, top: float) -> str:
    title = f"{run.title}: share of replies by {unit}"
    return svg.histogram(name, title, bins, place, top_share=top)


def _published(runs: Sequence[Run]) -> str:
    tables: list[str] = []
    for each in published(runs):
        source, caution = each.notes
        plain = Table(each.name, each.title, each.head, each.rows, (), each.groups)
        tables.append(
            f'{table(plain)}<p class="notes">{escape(source)}</p>'
            f'<p class="warn soft">{escape(caution)}</p>'
        )
    return "".join(tables)


def _talks(talks: Sequence[Talk], hidden: bool) -> str:
    if not talks:
        return ""
    rows: list[str] = []
    for talk in talks:
        post = "post not shown" if hidden else talk.post
        rows.append(
            f'<tr class="post"><th colspan="3" scope="rowgroup"><b>{escape(talk.id)}</b>'
            f"{escape(post)}</th></tr>"
        )
        for title, emotion, text in talk.replies:
            rows.append(
                f'<tr><th scope="row">{escape(title)}</th><td>{escape(mood(emotion))}</td>'
                f'<td class="text">{escape(text)}</td></tr>'
            )
    note = (
        '<p class="soft">Posts are left out, so that no line of a corpus is passed on; '
        "<code>--posts show</code> puts them in.</p>"
        if hidden
        else ""
    )
    return (
        f'{note}<div class="wide" tabindex="0" role="region" aria-label="Replies">'
        '<table class="talk"><thead><tr><th scope="col">System</th><th scope="col">Emotion</th>'
        f'<th scope="col">Reply</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _origin(runs: Sequence[Run]) -> str:
    names = names_of(runs)
    parts: list[str] = []
    for run in runs:
        rows = "".join(
            f'<tr><th scope="row">{escape(names[name].title)}</th>'
            f"<td><code>{escape(number.signature)}</code></td></tr>"
            for name, number in run.scores.metrics.items()
        )
        facts = json.dumps(run.scores.manifest, ensure_ascii=False, indent=1, sort_keys=True)
        parts.append(
            f"<h3>{escape(run.title)}</h3>"
            "<details><summary>Signatures</summary>"
            '<div class="wide"><table class="signatures"><thead><tr><th scope="col">Metric</th>'
            f'<th scope="col">Signature</th></tr></thead><tbody>{rows}</tbody></table></div>'
            "</details>"
            f"<details><summary>Manifest</summary><pre>{escape(facts)}</pre></details>\n"
        )
    return "".join(parts)
