"""Designs, and which replies a study shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from emotone.emotions import EVERYDAY, NLPCC, EmotionMix
from emotone.errors import ConfigError, UnknownName, UsageError
from emotone.evaluation import blind
from emotone.human.design import Design, asked_words, design_names, design_text, read_design
from emotone.human.draw import checks, comparable, names_itself, references, units
from emotone.types import Dialogue, Example, Reply
from unit.human import simulated


@pytest.mark.parametrize("name", design_names())
def test_designs_are_whole_in_both_languages(name: str):
    design = read_design(design_text(name))
    page = design.page("zh", {"items": "97", "minutes": "22", "contact": "us"})

    def texts(value: object) -> list[dict]:
        if isinstance(value, dict):
            if set(value) == {"en", "zh"}:
                return [value]
            return [text for each in value.values() for text in texts(each)]
        return [text for each in value for text in texts(each)] if isinstance(value, list) else []

    said = texts(page)
    assert len(said) > 10
    for text in said:
        assert text["en"].isascii(), text
        assert not text["zh"].isascii(), text
    assert "{" not in page["consent"]["en"] + page["consent"]["zh"]
    assert "22 minutes" in page["consent"]["en"]
    assert 3 <= len(design.practice) <= 5
    assert len(design.checks) == 2
    assert "name" not in page, "no rater learns the design's name, which may be a system's"
    assert "emo-seq" not in str(page).lower()


def test_the_first_design_asks_what_the_blind_sheet_asks():
    design = read_design(design_text("emo-seq"))
    assert {c.name: c.values for c in design.criteria} == dict(blind.CRITERIA)
    table_2 = [level.text.en for c in design.criteria[:2] for level in c.levels]
    assert table_2 == [
        "Inconsistent with the desired emotion",
        "Consistent with desired emotion",
        "There are errors in the sentence grammar",
        "The syntax is okay, but it has nothing to do with the content",
        "The syntax is okay and the content is related",
    ]


def changed(old: str, new: str, name: str = "emo-seq") -> Design:
    text = design_text(name)
    assert old in text
    return read_design(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "blame"', 'name = "content"', "each name once"),
        ('kind = "rating"', 'kind = "pair"', r"'emotion' compares two replies and has .* 0, 1;"),
        ('kind = "rating"', 'kind = "rated"', "'rated'; use one of 'rating', 'pair'"),
        ("{ value = 2, text", "{ value = 1, text", "two or more different ones from 0 to 9"),
        ("{ value = 2, text", "{ value = 12, text", "from 0 to 9"),
        ("value = 1\n", "value = 2\n", "emotion is '2'; use one of 0, 1"),
        ("content = 2, blame = 0 }", "content = 2 }", "blame is 'None'"),
        ("content = 2, blame = 0 }", "content = 2, blam = 0 }", "did you mean 'blame'"),
        ("seconds = 12.0", "seconds = 0.0", "seconds is 0.0"),
        ("show_asked", "show_askd", "unknown key 'show_askd'; did you mean 'show_asked'"),
        ("show_asked = true", "show_asked =", "is no TOML"),
    ],
)
def test_a_design_that_cannot_be_asked_is_refused(old: str, new: str, told: str):
    with pytest.raises(ConfigError, match=told):
        changed(old, new)


def test_an_unknown_design_names_the_near_one():
    with pytest.raises(UnknownName, match=r"unknown design 'emoseq'; did you mean 'emo-seq'"):
        design_text("emoseq")


def test_emotions_are_named_in_both_languages():
    assert asked_words("joy:100", "ekman") == {"en": "joy", "zh": "快乐"}
    assert asked_words("joy:60 + fear:20", "ekman") == {
        "en": "fear 20 + joy 60",
        "zh": "恐惧 20 + 快乐 60",
    }
    assert asked_words("none", "") is None


def pair(post: int, mood: str | None, system: str = "a", taxonomy=EVERYDAY):
    mix = None if mood is None else EmotionMix.parse(mood, taxonomy)
    text = f"{system} {post} {mood}"
    return (
        Example(f"e{post}", Dialogue.of(f"p{post}"), None, f"line {post}"),
        Reply(text, mix, system, "m", 0, 1),
    )


DESIGN = read_design(design_text("emo-seq"))


def test_systems_are_compared_on_the_posts_and_emotions_of_all():
    one = [pair(n, mood) for n in range(4) for mood in ("joy", "anger", "neutral")]
    two = [pair(n, mood, "b") for n in range(1, 4) for mood in ("joy", "anger", "fear")]
    two = [p for p in two if not (p[0].id == "e3" and str(p[1].emotion) == "joy:100")]
    shared = comparable({"a": one, "b": two}, DESIGN)
    keys = [{(e.id, str(r.emotion)) for e, r in pairs} for pairs in shared.values()]
    want = {(post, mood) for post in ("e1", "e2") for mood in ("joy:100", "anger:100")}
    assert keys == [want, want], "no neutral, and only posts with all emotions"
    only = comparable({"a": one, "b": two}, DESIGN, emotions=["anger"])
    assert {str(r.emotion) for _, r in only["a"]} == {"anger:100"}
    assert len(only["a"]) == 3
    with pytest.raises(UnknownName, match="unknown emotion 'angr'; did you mean 'anger'"):
        comparable({"a": one, "b": two}, DESIGN, emotions=["angr"])


def test_a_system_without_emotions_is_shown_under_each():
    one, plain = [pair(0, "joy"), pair(0, "fear")], [pair(0, None, "b")]
    with pytest.raises(UsageError, match=r"no post was answered by all .* --asked all"):
        comparable({"a": one, "b": plain}, DESIGN)
    shared = comparable({"a": one, "b": plain}, DESIGN, asked_all=True)
    assert [(r.text, str(r.emotion)) for _, r in shared["b"]] == [
        ("b 0 None", "fear:100"),
        ("b 0 None", "joy:100"),
    ]


def test_the_corpus_has_lines_by_hand_of_its_own():
    lines = references({"a": [pair(1, None), pair(0, None)], "b": [pair(1, None)]})
    assert [(e.id, e.reply, e.emotion) for e in lines] == [
        ("e0", "line 0", None),
        ("e1", "line 1", None),
    ]


def test_units_lie_in_strata(tmp_path: Path):
    systems = comparable(blind.systems_of(simulated.replies(tmp_path, 3)), DESIGN)
    hand = blind.by_hand(systems, 5)
    mixes = [r.emotion for pairs in systems.values() for _, r in pairs if r.emotion]
    shown = units(blind.items(systems, hand), DESIGN, mixes)
    assert Counter(u.role for u in shown) == {"reply": 45, "hand": 5}
    strata = [u.stratum for u in shown]
    assert len(set(strata)) == len(
        [s for s, t in zip(strata, ["", *strata], strict=False) if s != t]
    )
    assert {u.taxonomy for u in shown if u.role == "reply"} == {"ekman"}


def test_pairs_hold_two_systems_on_one_post_and_never_the_same_words():
    design = read_design(design_text("ab"))
    systems = {s: [pair(n, "joy", s) for n in range(3)] for s in "abc"}
    same = pair(0, "joy", "b")
    systems["b"][0] = (same[0], Reply("a 0 joy", same[1].emotion, "b", "m", 0, 1))
    hand = [Example(f"h{n}", Dialogue.of(f"q{n}"), None, f"by hand {n}") for n in range(3)]
    shown = units(blind.items(systems, hand), design, [])
    assert Counter(u.role for u in shown) == {"reply": 8, "hand": 3}
    for unit in shown:
        assert unit.reply != unit.other_reply
        if unit.role == "reply":
            assert unit.reply.split()[1] == unit.other_reply.split()[1] == unit.source[1:]
    with pytest.raises(UsageError, match="pairs need two systems"):
        units(blind.items({"a": systems["a"]}), design, [])


def test_checks_stand_under_posts_of_the_study():
    shown = units(blind.items({"a": [pair(n, "joy") for n in range(5)]}), DESIGN, [])
    lines = checks(DESIGN, shown, 4, lang="zh", seed=0)
    assert [line.expected for line in lines] == [0, 1, 0, 1]
    assert all(line.post in {u.post for u in shown} for line in lines)
    assert len({line.source for line in lines}) == 4
    assert {line.system for line in lines} == {""}


def test_replies_that_name_their_system_are_found():
    rows = [pair(n, "joy") for n in range(3)]
    rows[1] = (rows[1][0], Reply("I am SmolLM-2!", rows[1][1].emotion, "a", "m", 0, 1))
    shown = units(blind.items({"a": rows}), DESIGN, [])
    assert [u.source for u in names_itself(shown, ["smollm", "smollm-2", "m"])] == ["e1"]
    assert names_itself(shown, ["m", "smol"]) == []


def test_nlpcc_leaves_out_other():
    rows = [pair(0, mood, "a", NLPCC) for mood in NLPCC.labels]
    shared = comparable({"a": rows}, DESIGN)
    assert {r.emotion.only.label for _, r in shared["a"]} == set(NLPCC.labels) - {"other"}
