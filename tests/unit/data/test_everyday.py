"""The corpus everyday: its gate, its splits, its ratings, its size."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter

import pytest
from recipes.everyday import check

from emotone.data import everyday
from emotone.data.everyday import Line
from emotone.types import Post, Speaker


@pytest.mark.slow
def test_the_gate_is_open():
    assert check.problems(everyday.lines()) == []


def test_there_is_enough_of_each_kind():
    counts = Counter((line.lang, line.kind) for line in everyday.lines())
    assert counts["en", "plain"] >= 1500
    assert counts["zh", "plain"] >= 600
    assert counts["en", "rich"] >= 720
    assert counts["zh", "rich"] >= 770
    assert counts["en", "moods"] >= 340
    assert counts["zh", "moods"] >= 100


def test_every_file_has_one_split_and_held_out_posts_are_new():
    table = json.loads((everyday.HOME / "splits.json").read_text(encoding="utf-8"))
    named = [name for split in everyday.SPLITS for name in table[split]]
    assert len(named) == len(set(named))
    assert {path.stem for path in everyday.files()} <= set(named)
    near = [name for lang in ("en", "zh") for name in check.near_held_out(everyday.lines(lang))]
    assert table["near"] == near, "write it anew with python -m recipes.everyday.check --split"


def test_a_line_is_of_one_hand_and_one_split():
    lines = everyday.lines("en", kinds=["plain"], splits=["test"])
    assert {line.writer for line in lines} == {"en-p3"}
    assert all(line.split == "test" and line.register == "plain" for line in lines)
    assert everyday.kind_of("zh-hp1") == ("history", "plain")
    assert everyday.kind_of("en-h2") == ("history", "rich")
    assert everyday.split_of("en-unknown", 1) is None


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_ratings_are_of_posts_of_their_split(lang: str):
    rated = everyday.ratings(lang)  # pyright: ignore[reportArgumentType]
    assert len(rated) >= 2000
    assert len({r.id for r in rated}) == len(rated)
    for rating in rated:
        assert rating.heard in (0, 1)
        assert rating.content in (0, 1, 2)
        assert rating.blame in (0, 1)
        *_, name, number = rating.id.partition("/")[0].split(":")
        assert everyday.split_of(name, int(number)) in (rating.split, None)
    assert sum(r.again is not None for r in rated) >= 0.075 * len(rated)
    assert len([r for r in rated if r.split == "test"]) >= 400


def test_it_is_small_in_the_wheel():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in sorted(everyday.HOME.iterdir()):
            if path.is_file():
                wheel.write(path, path.name)
    assert len(packed.getvalue()) < 7_500_000


GOOD = {
    "anger": "That lift again! Who looks after it?",
    "disgust": "And the smell of old smoke in there.",
    "fear": "Are you inside? Call for help now.",
    "joy": "Stairs it is, good for our legs!",
    "sadness": "Ten floors on foot, I feel for you.",
    "surprise": "It worked an hour ago!",
    "love": "I would carry your bags up for you.",
    "neutral": "Take the stairs at the back.",
}


def line(number: int, post: str, replies: dict[str, str], **other: object) -> Line:
    fields = {"lang": "en", "kind": "plain", "register": "plain", "split": "train-a"} | other
    return Line(f"en-p9:{number}", post=post, replies=replies, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (line(1, "The lift is stuck.", dict(reversed(GOOD.items()))), "the keys after the post"),
        (line(1, "The lift is stuck.", GOOD | {"joy": "word " * 41}), "the joy has 41 words"),
        (line(1, "The lift is stuck.", GOOD | {"joy": GOOD["love"]}), "two replies of the line"),
        (line(1, "The  lift is stuck.", GOOD), "blanks or signs that nobody meant"),
        (line(1, "It is stuck.", GOOD, history=(Post("Hello"),)), "no other has"),
        (
            line(1, "It is stuck.", GOOD, kind="history", history=(Post("Hello"), Post("Hi"))),
            "the user's and the assistant's in turn",
        ),
    ],
)
def test_the_gate_shuts_on_a_bad_line(changed: Line, message: str):
    assert any(message in fault for fault in check.faults(changed))


def test_a_good_line_passes():
    assert list(check.faults(line(1, "The lift is stuck.", GOOD))) == []
    turns = (Post("Hello"), Post("Hi", Speaker.ASSISTANT))
    assert (
        list(check.faults(line(1, "The lift is stuck.", GOOD, kind="history", history=turns))) == []
    )


def test_the_gate_shuts_on_copies_and_habits():
    twice = [line(1, "The lift is stuck again.", GOOD), line(2, "the lift is stuck again", GOOD)]
    faults = list(check.copies(twice))
    assert any("en-p9:1: the post is near that of en-p9:2" in fault for fault in faults)
    assert any("the reply in anger is that of en-p9:1" in fault for fault in faults)
    in_a_mood = line(2, "the lift is stuck again", dict.fromkeys(everyday.MOODS, "."), kind="moods")
    assert not list(check.copies([twice[0], in_a_mood]))
    posts = [f"Post about {word}." for word in ["a lamp", "a cup", "a pen", "a door", "a shoe"]]
    same = [line(n, post, GOOD | {"fear": "I'm so scared!"}) for n, post in enumerate(posts * 2)]
    habits = list(check.habits(same, "en"))
    assert any(fault.startswith("en fear: 10 of 10 replies begin with") for fault in habits)
    assert "en fear: 1.00 of the replies name the emotion" in habits
    moods = [line(n, p, {"calm": "Take a breath."}, kind="moods") for n, p in enumerate(posts * 2)]
    assert any(fault.startswith("en calm: 10 of 10") for fault in check.habits(moods, "en"))
