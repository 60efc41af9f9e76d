"""Ratings go out of a study and into one unchanged, and come from blind sheets."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from emotone.errors import DataError, UsageError
from emotone.evaluation import blind
from emotone.human import plan, store
from emotone.human.design import design_text, read_design
from emotone.human.draw import mixes_of, units
from emotone.human.exchange import export, take, take_sheets
from emotone.human.ratings import Act, answers, save, tell
from emotone.human.store import open_store, rater_of_name, units_of
from unit.human import simulated

GOOD = {"emotion": 1, "content": 2, "blame": 0}
NASTY = '=HYPERLINK("http://x") \'quoted\'\n"and", 你好 \u2028'


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    path, _, _ = simulated.study(tmp_path, posts=2, raters=3, hand=0)
    with open_store(path) as opened:
        for name in ("r01", "r02"):
            rater = rater_of_name(opened, name)
            tell(opened, rater, "consent")
            save(opened, rater, Act("rate", "=1+1", 1, GOOD, seconds=2.5))
            save(opened, rater, Act("rate", "b", 2, GOOD | {"content": 0}))
            save(opened, rater, Act("undo", "c"))
            save(opened, rater, Act("skip", "'d", 2, reason="other", note=NASTY))
    return path


def twin(rated: Path) -> Path:
    """The same study without ratings."""
    folder = rated.with_name("twin")
    folder.mkdir()
    return simulated.study(folder, posts=2, raters=3, hand=0)[0]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_ratings_come_back_as_they_were(rated: Path, name: str):
    out = rated.with_name(name)
    with open_store(rated, write=False) as opened:
        assert export(opened, out) == 8
        before = answers(opened)
    with open_store(twin(rated)) as other:
        assert take(other, out) == (8, 0)
        assert answers(other) == before
        with other.read() as db:
            rows = db.execute("SELECT key, note, seconds FROM ratings").fetchall()
        assert {row[0] for row in rows} == {"=1+1", "b", "c", "'d"}
        assert NASTY in {row[1] for row in rows}
        assert take(other, out) == (0, 8), "the same file again adds nothing"


def test_a_spreadsheet_gets_no_formula_and_posts_only_on_demand(rated: Path):
    with open_store(rated, write=False) as opened:
        export(opened, rated.with_name("a.csv"), texts=True)
        export(opened, rated.with_name("b.csv"))
        with pytest.raises(UsageError, match=r"out.txt; give a name that ends in .csv or .jsonl"):
            export(opened, rated.with_name("out.txt"))
    rows = list(csv.reader(io.StringIO(rated.with_name("a.csv").read_text("utf-8-sig"))))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]
    assert "Post number" in rated.with_name("a.csv").read_text("utf-8-sig")
    assert "Post number" not in rated.with_name("b.csv").read_text("utf-8-sig")
    assert "Answer" not in rated.with_name("b.csv").read_text("utf-8-sig")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"item": 999}, "no rating of this study"),
        ({"item": "x"}, "no rating of this study"),
        ({"kind": "guess"}, "no rating of this study"),
        ({"content": 3}, "use one of 0, 1, 2"),
        ({"content": None}, "not an answer to every criterion"),
        ({"system": "other"}, "system of item"),
        ({"flipped": 1}, "in the other order"),
        ({"key": "b"}, "gave something else under 'b'"),
    ],
)
def test_a_line_that_does_not_fit_takes_nothing(rated: Path, change: dict, told: str):
    out = rated.with_name("out.jsonl")
    with open_store(rated, write=False) as opened:
        export(opened, out)
    rows = [json.loads(line) for line in out.read_text("utf-8").strip().split("\n")]
    bad = rows[0] | {"key": "new"} | change
    out.write_text("\n".join(map(json.dumps, [*rows, bad])), encoding="utf-8")
    with open_store(twin(rated)) as other:
        with pytest.raises(DataError, match=told) as error:
            take(other, out)
        assert "line 9" in str(error.value)
        assert answers(other) == []


def test_blind_sheets_become_ratings(tmp_path: Path):
    systems = blind.systems_of(simulated.replies(tmp_path, 2))
    drawn = blind.items(systems, blind.by_hand(systems, 3), seed=4)
    sheet, key = tmp_path / "sheet.jsonl", tmp_path / "key.json"
    blind.write_sheet(drawn, sheet, key)
    rows = [json.loads(line) for line in sheet.read_text("utf-8").splitlines()]
    for reader, content in (("anna", 2), ("ben", 1)):
        filled = [row | {"emotion": 1, "content": content, "blame": 0} for row in rows[:7]]
        (tmp_path / f"{reader}.jsonl").write_text("\n".join(map(json.dumps, filled)), "utf-8")
    design = design_text("emo-seq")
    lines = blind.read_key(key)
    shown = units(lines, read_design(design), mixes_of(lines))
    assert {u.taxonomy for u in shown} == {"ekman"}
    assert {u.emotion for u in shown} == set(simulated.EMOTIONS)
    made = plan.plan(read_design(design), shown, ["r01"], 1, lang="en", seed=0)
    path = tmp_path / "s.db"
    store.create(path, design, made, lang="en", seed=0, contact="us", seconds=12.0)
    sheets = [tmp_path / "anna.jsonl", tmp_path / "ben.jsonl"]
    with open_store(path) as opened:
        assert take_sheets(opened, key, sheets) == (14, 0)
        assert take_sheets(opened, key, sheets) == (0, 14)
        by_id = {i.id: i for i in drawn}
        of = units_of(opened)
        for answer, row in zip(answers(opened), [*rows[:7], *rows[:7]], strict=True):
            item = by_id[row["id"]]
            assert (of[answer.item].system, of[answer.item].reply) == (item.system, item.reply)
            assert answer.values["content"] == {"anna": 2, "ben": 1}[answer.rater]
    (tmp_path / "other").mkdir()
    other, _, _ = simulated.study(tmp_path / "other", posts=1, raters=3, hand=0)
    with open_store(other) as opened, pytest.raises(DataError, match="is no item of"):
        take_sheets(opened, key, sheets)
