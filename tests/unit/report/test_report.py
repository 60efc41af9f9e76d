"""The report: what is in it, that nothing in a text becomes markup, and that it repeats itself."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.emotions import EmotionMix
from emotone.errors import DataError
from emotone.evaluation.compare import compare
from emotone.evaluation.manifest import manifest
from emotone.evaluation.records import reply_line
from emotone.evaluation.score import score_run
from emotone.evaluation.scores import (
    DosePoint,
    Histogram,
    Number,
    Scores,
    read_scores,
    write_scores,
)
from emotone.metrics import Display, Instruments
from emotone.report import svg
from emotone.report.examples import side_by_side
from emotone.report.gather import Run, gather
from emotone.report.names import names_of, shown
from emotone.report.page import POLICY
from emotone.report.published import TABLES
from emotone.report.tables import Table, latex, markdown
from emotone.report.write import write_report
from emotone.types import Dialogue, Example, Reply
from unit.evaluation.hearing import WordJudge, pair, run

NAMES = ("emotion_accuracy", "distinct_2", "length_words", "bleu")
NASTY = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' style='x",
    "</textarea></title></style><b>&amp;&lt;",
    "]]>--><!--",
    "\u2028 | a | `x` \\ \\end{table} % $x$ #_{}",
)


def folder(place: Path, rows, **more) -> Path:
    """Write a run as the commands do."""
    place.mkdir()
    path = place / "replies.jsonl"
    path.write_text("".join(reply_line(e, r) + "\n" for e, r in rows), encoding="utf-8")
    made = score_run(
        rows, NAMES, Instruments(emotion=WordJudge()), rounds=20, manifest=manifest([path])
    )
    write_scores(dataclasses.replace(made, **more), place / "scores.json")
    return place


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    others = run("two", 0.5)
    against = compare(run(), others, NAMES, Instruments(emotion=WordJudge()), rounds=20)
    return [
        folder(tmp_path / "one", run(), against=(against,)),
        folder(tmp_path / "other", others),
    ]


class Reader(HTMLParser):
    """What a browser makes of a page: tags, attributes, texts, and tags left open."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})
    CLOSED = frozenset({"rect", "line", "circle", "polyline", "polygon"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(places: list[Path], output: Path, **options) -> str:
    return write_report(places, output, **options)[0].read_text(encoding="utf-8")


# -- what is in it ----------------------------------------------------------------------------


def test_every_section_is_there_with_its_numbers(two, tmp_path: Path):
    said = page_of(two, tmp_path / "report", posts=True)
    read = Reader(said)
    heads = re.findall(r'<h2 id="(\w+)">', said)
    assert heads == [
        "overall", "emotions", "confusion", "dose", "spread",
        "differences", "published", "examples", "origin",
    ]  # fmt: skip
    for head in heads:
        assert f'href="#{head}"' in said
    text = " ".join(read.text)
    number = read_scores(two[0] / "scores.json").metrics["distinct_2"]
    assert shown(number.value, 4) in text
    assert number.signature in text
    assert "post number 0" in text
    assert "joy is what I feel about 0" in text
    assert "97.765" in text
    assert "Not directly comparable" in text
    assert "against two (tiny)" in text


def test_the_page_needs_nothing_and_may_load_nothing(two, tmp_path: Path):
    said = page_of(two, tmp_path / "report")
    read = Reader(said)
    assert POLICY.startswith("default-src 'none'")
    assert any(a.get("content") == POLICY for t, a in read.tags if t == "meta")
    assert {t for t, _ in read.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "form",
    } == set()
    assert not re.search(r"https?://|url\(|@import|javascript:", said)
    for _, attrs in read.tags:
        assert not [a for a in attrs if a.startswith("on")]
        assert (attrs.get("href") or "#").startswith("#")


def test_charts_and_tables_speak_to_those_who_do_not_see_them(two, tmp_path: Path):
    read = Reader(page_of(two, tmp_path / "report"))
    titles = {a["id"] for t, a in read.tags if t == "title" and a.get("id")}
    charts = [a for t, a in read.tags if t == "svg" and a.get("aria-hidden") != "true"]
    assert len(charts) == len(titles) > 5
    assert {a["aria-labelledby"] for a in charts} == titles
    assert all(a.get("role") == "img" for a in charts)
    assert all(a.get("scope") for t, a in read.tags if t == "th")
    ids = [a["id"] for _, a in read.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    assert ("html", {"lang": "en"}) in read.tags


def test_posts_are_hidden_unless_they_are_asked_for(two, tmp_path: Path):
    for posts in (False, True):
        written = write_report(two, tmp_path / f"report{posts}", posts=posts)
        said = "".join(path.read_text(encoding="utf-8") for path in written)
        assert ("post number" in said) is posts
        assert "a calm answer" not in said  # references stay out either way


def test_the_same_scores_give_the_same_bytes(two, tmp_path: Path):
    made = [write_report(two, tmp_path / name) for name in ("a", "b")]
    assert [p.name for p in made[0]] == ["index.html", "tables.md", "tables.tex"]
    for left, right in zip(*made, strict=True):
        assert left.read_bytes() == right.read_bytes()


# -- nothing becomes markup -------------------------------------------------------------------


@pytest.mark.parametrize("nasty", NASTY)
def test_no_text_name_or_emotion_becomes_markup(tmp_path: Path, nasty: str):
    rows = []
    for i, (example, reply) in enumerate(run()):
        rows.append(
            (
                Example(f"{nasty}{example.id}", Dialogue.of(nasty), None, nasty),
                dataclasses.replace(reply, text=f"{nasty} {i}", system=nasty, model=nasty),
            )
        )
    place = folder(tmp_path / "run", rows)
    row = json.loads((place / "scores.json").read_text())
    for key in ("metrics", "dose", "distributions"):
        row[key] = {**row[key], nasty: next(iter(row[key].values()))}
    row["metrics"][nasty] = {**row["metrics"]["bleu"], "signature": nasty}
    row["per_emotion"][nasty] = row["per_emotion"].pop("joy")
    row["confusion"] |= {"judge": nasty, "asked": [nasty, *row["confusion"]["asked"][1:]]}
    row["manifest"] |= {nasty: nasty}
    (place / "scores.json").write_text(json.dumps(row))
    plain = folder(tmp_path / "plain", run())
    reference = Reader(page_of([plain], tmp_path / "r0", posts=True))
    said = page_of([place], tmp_path / "r1", posts=True, title=nasty)
    read = Reader(said)
    assert {t for t, _ in read.tags} == {t for t, _ in reference.tags}
    known = {a for _, attrs in reference.tags for a in attrs}
    assert {a for _, attrs in read.tags for a in attrs} <= known
    whole = " ".join("".join(read.text).split())
    assert " ".join(nasty.split()) in whole
    for kind in ("<script", "</script", "<img", "<textarea", "<!--"):
        assert kind not in said.lower()


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=4))
def test_a_markdown_table_keeps_its_cells(rows: list[tuple[str, str]]):
    made = markdown(Table("t", "title", ("a", "b"), tuple(rows)))
    lines = [line for line in made.split("\n") if line.startswith("|")]
    assert len(lines) == 2 + len(rows)
    for line in lines:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=4))
def test_a_latex_table_keeps_its_cells_and_groups(rows: list[tuple[str, str]]):
    made = latex(Table("t", "title", ("a", "b"), tuple(rows)))
    bare = made.replace(r"\\", "")
    body = [line for line in made.split("\n") if line.endswith(r" \\")]
    assert len(body) == 1 + len(rows)
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == 1
    open_, close = (len(re.findall(rf"(?<!\\)\{c}", bare)) for c in "{}")
    assert open_ == close
    assert not re.search(r"(?<!\\)[#_%]", bare)


# -- charts -----------------------------------------------------------------------------------

numbers = st.one_of(
    st.just(Number(None)),
    st.floats(-5, 1e6).map(lambda v: Number(v, v - 1, v + 1)),
    st.floats(0, 1).map(Number),
)


@given(st.lists(st.lists(numbers, min_size=1, max_size=3), max_size=4), st.booleans())
def test_bars_stay_inside_their_drawing(groups, share: bool):
    rows = [(f"label {i}", list(enumerate(row))) for i, row in enumerate(groups)]
    made = svg.bars("b", "bars", rows, digits=2, share=share)
    Reader(made)
    for x in re.findall(r' (?:x|x1|x2)="(-?[\d.]+)"', made):
        assert -0.01 <= float(x) <= svg.WIDTH + 0.01
    assert "nan" not in made
    assert "inf" not in made


@given(st.lists(st.tuples(st.floats(-100, 100), numbers), min_size=1, max_size=6))
def test_curves_are_drawn_for_whatever_points(points):
    row = [DosePoint(x, n, n) for x, n in sorted(points, key=lambda p: p[0])]
    made = svg.curves("c", "curve", [(0, row), (7, row)])
    Reader(made)
    assert "nan" not in made


def test_a_histogram_draws_shares():
    made = svg.histogram("h", "h", Histogram("words", (0, 5, 10), (1, 3)), 0, top_share=1.0)
    heights = [float(h) for h in re.findall(r'<rect[^>]* height="([\d.]+)"', made)]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.05)
    Reader(svg.histogram("h", "h", Histogram("words", (0, 5), (0,)), 0, top_share=0.1))


# -- gathering --------------------------------------------------------------------------------


def test_scores_with_other_metrics_of_the_same_system_become_one_run(tmp_path: Path):
    place = folder(tmp_path / "run", run())
    made = read_scores(place / "scores.json")
    more = dataclasses.replace(
        made,
        metrics={"perplexity": Number(20.0)},
        per_emotion={"joy": {"perplexity": Number(21.0)}},
        confusion=None,
        dose={},
        distributions={},
        manifest={"kind": "references"},
    )
    write_scores(more, place / "perplexity.json")
    (only,) = gather([place])
    assert {"perplexity", "bleu"} <= set(only.scores.metrics)
    assert {"perplexity", "bleu"} <= set(only.scores.per_emotion["joy"])
    assert only.scores.confusion is not None
    assert only.scores.manifest["also"] == {"kind": "references"}
    assert len(only.replies) == 30


def test_two_runs_of_one_system_are_told_apart_by_their_folders(tmp_path: Path):
    places = [folder(tmp_path / name, run()) for name in ("low", "high")]
    assert [r.title for r in gather(places)] == ["one (tiny), low", "one (tiny), high"]
    assert [r.title for r in gather([tmp_path])] == ["one (tiny), high", "one (tiny), low"]


def test_replies_that_are_gone_or_changed_are_not_shown_and_said_to_be(tmp_path: Path):
    place = folder(tmp_path / "run", run())
    path = place / "replies.jsonl"
    path.write_text(path.read_text() + "\n")
    (changed,) = gather([place])
    assert changed.replies == ()
    assert "has changed since it was scored" in changed.notes[0]
    path.unlink()
    (gone,) = gather([place])
    assert "is not beside the scores" in gone.notes[0]
    assert "is not beside the scores" in page_of([place], tmp_path / "report")


@pytest.mark.parametrize("name", ["../secret.jsonl", "/etc/passwd", 3, None])
def test_a_scores_file_cannot_make_the_report_read_other_places(tmp_path: Path, name):
    place = folder(tmp_path / "run", run())
    (tmp_path / "secret.jsonl").write_text((place / "replies.jsonl").read_text())
    row = json.loads((place / "scores.json").read_text())
    row["manifest"]["inputs"][0]["name"] = name
    (place / "scores.json").write_text(json.dumps(row))
    assert gather([place])[0].replies == ()


def test_a_folder_without_scores_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no scores\.json; make one with `emotone score"):
        gather([tmp_path])
    with pytest.raises(DataError, match="cannot make the folder"):
        write_report([folder(tmp_path / "run", run())], tmp_path / "no" / "report")


def test_examples_are_spread_evenly_over_posts_that_all_answered(tmp_path: Path):
    few = [p for p in run("two") if p[0].id in ("x2", "x5", "x7")]
    runs = gather([folder(tmp_path / "a", run()), folder(tmp_path / "b", few)])
    assert [t.id for t in side_by_side(runs, 9)] == ["x2", "x5", "x7"]
    assert [t.id for t in side_by_side(runs, 1)] == ["x2"]
    first = side_by_side(runs, 1)[0]
    assert [(title, mood) for title, mood, _ in first.replies] == [
        ("one (tiny)", "none"),
        ("one (tiny)", "joy"),
        ("two (tiny)", "none"),
        ("two (tiny)", "joy"),
    ]
    assert side_by_side(runs, 0) == []


def test_a_run_without_judge_replies_or_emotions_still_has_a_report(tmp_path: Path):
    made = score_run([pair(0, "hi")], ["bleu"], Instruments(), rounds=5)
    write_scores(made, tmp_path / "scores.json")
    said = page_of([tmp_path / "scores.json"], tmp_path / "report")
    assert re.findall(r'<h2 id="(\w+)">', said) == ["overall", "spread", "published", "origin"]


def test_a_metric_without_a_value_is_no_row(tmp_path: Path):
    made = score_run([pair(0, "hi")], ["distinct_1", "distinct_1_char"], Instruments(), rounds=5)
    write_scores(made, tmp_path / "scores.json")
    said = page_of([tmp_path], tmp_path / "report")
    assert "Distinct-1 ↑" in said
    assert "Distinct-1, characters ↑" not in said


# -- names and published numbers --------------------------------------------------------------


def test_numbers_are_written_for_people():
    assert [shown(v, 3) for v in (None, float("nan"), 0.5, -0.0001, -0.5)] == [
        "-", "-", "0.500", "0.000", "-0.500"
    ]  # fmt: skip
    assert names_of([]).in_order(["mine", "bleu", "emp_f1_reaction", "emotion_accuracy"]) == [
        "emotion_accuracy", "emp_f1_reaction", "bleu", "mine"
    ]  # fmt: skip


def test_a_metric_is_called_as_it_or_the_manifest_declares():
    declared = {"name": "shout", "title": "Loud replies", "group": "Volume", "digits": 1}
    manifest = {"metrics": {"shout": declared, "worse": {"nme": "worse"}, "no": 3}}
    run = Run("one", Scores("one", "tiny", 1, {}, manifest=manifest))
    names = names_of([run])
    assert names["shout"] == Display(**declared)
    assert names["reply_perplexity"].title == "Perplexity of replies"
    assert (names["worse_one"].title, names["worse_one"].group) == ("worse one", "Other")
    assert names.in_order(["worse", "shout", "bleu"]) == ["bleu", "shout", "worse"]
    assert names_of([Run("one", Scores("one", "tiny", 1, {}, manifest={"metrics": []}))])


def test_published_tables_are_whole_and_name_metrics_that_exist():
    from emotone import metrics

    for table in TABLES:
        assert table.source
        assert table.caution
        for values in table.rows.values():
            assert len(values) == len(table.columns)
        assert {c.metric for c in table.columns} <= set(metrics.names())


def test_a_mix_and_a_graded_emotion_have_places_of_their_own(tmp_path: Path):
    mixed = EmotionMix.parse("joy:60 + fear:20")
    rows = [*run(), *(
        (e, Reply("both", mixed, "one", "tiny", 50, 1)) for e, r in run() if r.emotion is None
    )]  # fmt: skip
    said = page_of([folder(tmp_path / "run", rows)], tmp_path / "report")
    assert "fear:20 + joy:60" in said
    assert "sadness:50" in said


def test_published_numbers_of_one_intensity_have_ours_of_that_beside_them(tmp_path: Path):
    from emotone.report.tables import published

    rows = [p for p in run() if p[1].emotion is not None]
    rows = [
        (e, dataclasses.replace(r, text="nothing") if str(r.emotion).startswith("sad") else r)
        for e, r in rows
    ]  # joy is asked at 100 and heard, sadness at 50 and not
    plain = [p for p in run("two") if p[1].emotion is None]
    made = gather([folder(tmp_path / "one", rows), folder(tmp_path / "two", plain)])
    assert made[0].scores.metrics["emotion_accuracy"].value == 0.5
    (table,) = (t for t in published(made) if t.name == "published-ecm")
    ours = [row for row in table.rows if row[0] in {r.title for r in made}]
    assert [(row[0], row[2]) for row in ours] == [(made[0].title, "1.000")]
    assert any("one emotion at 100" in note for note in table.notes)
