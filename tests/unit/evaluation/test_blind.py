"""The blind sheet: what it shows, what it hides, and what comes of the ratings."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from emotone.data import everyday
from emotone.emotions import NLPCC, EmotionMix
from emotone.errors import DataError, UsageError
from emotone.evaluation import blind
from emotone.evaluation.blind import HAND, Item, Reading
from emotone.types import Dialogue, Example, Reply

POSTS = [f"Post number {n}." for n in range(8)]


def pairs(system: str, posts: list[str] = POSTS) -> list[tuple[Example, Reply]]:
    mix = EmotionMix.parse("joy:60")
    return [
        (Example(f"e{n}", Dialogue.of(post)), Reply(f"{post} {system}?", mix, system, "m", 0, 1))
        for n, post in enumerate(posts)
    ]


def drawn(**kwargs: int) -> list[Item]:
    return blind.items({"one": pairs("A"), "two": pairs("B")}, **kwargs)


def rate(items: list[Item], reader: str, **values: int) -> list[Reading]:
    return [
        Reading(i.id, reader, **{"emotion": 1, "content": 2, "blame": 0} | values) for i in items
    ]


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.jsonl"])
def test_a_sheet_hides_who_wrote_what_and_comes_back(name: str, tmp_path: Path):
    items = drawn(seed=1)
    sheet, key = tmp_path / name, tmp_path / "key.json"
    blind.write_sheet(items, sheet, key)
    text = sheet.read_text(encoding="utf-8-sig")
    assert "one" not in text
    assert "two" not in text
    assert "e3" not in text
    assert blind.read_key(key) == items
    assert blind.read_ratings(sheet, items) == [], "nothing is rated yet"
    assert [i.system for i in items] != sorted(i.system for i in items), "the order is drawn"


def test_a_sheet_that_was_filled_in_is_read(tmp_path: Path):
    items = drawn()
    sheet = tmp_path / "anna.csv"
    blind.write_sheet(items, sheet, tmp_path / "key.json")
    rows = list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig"))))
    rows[0] |= {"id": rows[0]["id"].lstrip("0"), "emotion": "1", "content": " 2", "blame": "0"}
    with sheet.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert blind.read_ratings(sheet, items) == [Reading(items[0].id, "anna", 1, 2, 0)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "9999"}, "no line '9999' is in the sheet"),
        ({"id": "0001", "emotion": 1, "content": 3, "blame": 0}, "content is 3; use 0 or 1 or 2"),
        ({"id": "0001", "emotion": 1}, "0001 has no content and no blame"),
        ({"id": "0001", "reply": "another"}, "the reply is not that of the sheet"),
        ({"id": "0002", "emotion": True, "content": 1, "blame": 0}, "emotion is True"),
    ],
)
def test_bad_ratings_are_refused(row: dict[str, object], message: str, tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1") as error:
        blind.read_ratings(path, drawn())
    assert message in str(error.value)


def test_a_line_is_rated_once(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    row = json.dumps({"id": "0001", "emotion": 1, "content": 1, "blame": 0})
    path.write_text(f"{row}\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match="0001 is rated twice"):
        blind.read_ratings(path, drawn())


def test_a_key_that_was_changed_is_refused(tmp_path: Path):
    key = tmp_path / "key.json"
    blind.write_sheet(drawn(), tmp_path / "s.csv", key)
    key.write_text(key.read_text().replace('"one"', '"two"', 1))
    with pytest.raises(DataError, match="was changed"):
        blind.read_key(key)
    key.write_text("[]")
    with pytest.raises(DataError, match="no key of a sheet"):
        blind.read_key(key)


def test_all_systems_answer_the_same_posts():
    items = drawn(posts=3)
    by_system = {s: {i.post for i in items if i.system == s} for s in ("one", "two")}
    assert len(by_system["one"]) == 3
    assert by_system["one"] == by_system["two"]
    assert Counter(i.system for i in drawn(lines=2)) == {"one": 2, "two": 2}
    with pytest.raises(UsageError, match="no post is answered by all"):
        blind.items(
            {"one": pairs("A"), "two": [(Example("x", Dialogue.of("x")), pairs("B")[0][1])]}
        )


def test_figures_are_means_over_lines_and_readers():
    items = drawn()
    mine = {s: [i for i in items if i.system == s] for s in ("one", "two")}
    readings = rate(mine["one"], "a") + rate(mine["two"], "a", emotion=0, blame=1)
    readings += rate(mine["two"][:4], "b", content=0)
    one, two = blind.figures(items, readings)
    assert (one.both.value, one.content.value, one.blame.value) == (1, 2, 0)
    assert two.emotion.value == pytest.approx(4 * 0.5 / 8)
    assert two.content.value == pytest.approx((4 * 1 + 4 * 2) / 8)
    assert two.both.value == 0, "no single reader found both right"
    assert two.blame.value == pytest.approx((4 * 0.5 + 4) / 8)
    assert one.emotion.low < 1, "even a full share has an interval"
    assert "| one | 8 | 1.00 [" in blind.markdown([one, two])


def test_intervals_count_posts_and_not_lines():
    items = [Item(f"{n:04d}", f"p{n % 4}", "joy", "r", "s", f"e{n}") for n in range(40)]
    readings = [Reading(i.id, "a", int(i.post in ("p0", "p1")), 2, 0) for i in items]
    wide = blind.figures(items, readings)[0].emotion
    apart = [Item(i.id, i.id, "joy", "r", "s", i.source) for i in items]
    narrow = blind.figures(apart, readings)[0].emotion
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@given(st.lists(st.tuples(st.sampled_from((0, 1, 2)), st.sampled_from((0, 1, 2))), min_size=2))
def test_kappa_is_that_of_scikit_learn(values: list[tuple[int, int]]):
    first, second = zip(*values, strict=True)
    own = blind.cohen_kappa(first, second, (0, 1, 2))
    if len(set(first) | set(second)) == 1:
        assert own != own
    else:
        theirs = cohen_kappa_score(first, second, labels=[0, 1, 2], weights="quadratic")
        assert own == pytest.approx(theirs)


def test_agreement_is_over_common_lines():
    items = drawn()
    draw = random.Random(0)
    a = [Reading(i.id, "a", draw.randint(0, 1), draw.randint(0, 2), 0) for i in items]
    b = [Reading(r.id, "b", r.emotion, r.content, 0) for r in a[:6]]
    (pair,) = blind.agreement(a + b)
    assert pair["lines"] == 6
    assert pair["content"] == {"kappa": 1.0, "equal": 1.0}
    assert pair["blame"]["kappa"] is None
    c = [Reading(r.id, "c", 1 - r.emotion, r.content, 0) for r in a[:3]]
    *_, whole = blind.agreement(a + b + c)
    assert whole["readers"] == ["all"]
    assert whole["lines"] == 6 + 3 + 3
    assert whole["emotion"]["equal"] == pytest.approx(0.5)


def test_lines_by_hand_are_held_out_and_in_the_asked_label_set():
    systems = {"one": pairs("A")}
    hand = blind.by_hand(systems, 5)
    assert {e.lang for e in hand} == {"en"}
    assert {part.label for e in hand for part, _ in (e.emotion or EmotionMix(())).parts} == {"joy"}
    held_out = {line.id for line in everyday.lines("en", splits=["test"])}
    assert {e.id.rpartition("-")[0] for e in hand} <= held_out
    mix = EmotionMix.of({"like": 100}, NLPCC)
    chinese = [(Example("e", Dialogue.of("你好"), lang="zh"), Reply("好", mix, "s", "m", 0, 1))]
    hand = blind.by_hand({"s": chinese}, 3)
    assert {str(e.emotion) for e in hand} == {"like:100"}
    items = blind.items({"s": chinese}, hand)
    assert Counter(i.system for i in items) == {HAND: 3, "s": 1}
