"""The emotion `auto`: its text, and its policies."""

from __future__ import annotations

import pytest

from emotone.emotions import (
    EKMAN,
    EMPATHETIC,
    EVERYDAY,
    GOEMOTIONS,
    NLPCC,
    TAXONOMIES,
    Taxonomy,
    vad,
)
from emotone.emotions.auto import POLICIES, Auto
from emotone.errors import UsageError


@pytest.mark.parametrize(
    ("text", "policy", "intensity"),
    [
        ("auto", "friend", 100.0),
        (" AUTO ", "friend", 100.0),
        ("auto:mirror", "mirror", 100.0),
        ("auto: Cheer : 40", "cheer", 40.0),
        ("auto:60", "friend", 60.0),
        ("auto：soothe：60", "soothe", 60.0),
        ("auto:soothe:+60", "soothe", 60.0),
    ],
)
def test_auto_is_read_and_prints_as_it_reads(text, policy, intensity):
    auto = Auto.read(text)
    assert auto == Auto(policy, intensity)
    assert Auto.read(str(auto)) == auto


@pytest.mark.parametrize(
    "text", ["joy", "joy:60 + fear", "automatic", "", "+", ":", "auto mirror", "a+b:"]
)
def test_other_texts_are_not_auto(text):
    assert Auto.read(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("auto:sooth", "unknown policy of auto 'sooth'; did you mean 'soothe'"),
        ("auto:", "the intensity '' of auto"),
        ("auto:soothe:", "the intensity '' of auto"),
        ("auto:soothe:101", "the intensity '101' of auto is not one from 0 to 100"),
        ("auto:-3", "the intensity '-3' of auto"),
        ("auto:soothe:6O", "the intensity '6o' of auto"),
        ("auto:mirror:soothe:3", "cannot read"),
        ("auto:3:mirror", "cannot read"),
        ("auto + joy:30", "write auto alone"),
        ("joy:30 + auto:mirror", "write auto alone"),
        ("auto:mirror + joy", "write auto alone"),
        ("auto:soothe:1e999", "the intensity 'inf' of auto"),
        ("auto:soothe:nan", "cannot read"),
    ],
)
def test_a_text_that_goes_on_otherwise_is_refused_in_one_sentence(text, message):
    with pytest.raises(UsageError, match=message) as error:
        Auto.read(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_answers_every_feeling_with_emotions_that_exist(policy):
    table = POLICIES[policy]
    assert set(table) | {EVERYDAY.neutral} == set(EVERYDAY.labels)
    assert all(answer in EVERYDAY.labels for row in table.values() for answer in row)
    assert all(row for row in table.values())


def test_what_each_policy_is_for():
    auto = {name: Auto(name) for name in POLICIES}

    def answer(name: str, label: str, taxonomy: Taxonomy = EVERYDAY) -> str | None:
        return auto[name].answer(label, EVERYDAY, taxonomy)

    assert [answer("soothe", k) for k in ("sadness", "fear", "anger", "joy")] == [
        "love",
        "calm",
        "calm",
        "joy",
    ]
    felt = ("sadness", "fear", "anger", "disgust", "embarrassment", "pride")
    assert [answer("friend", k) for k in felt] == [
        "love",
        "love",
        "anger",
        "disgust",
        "love",
        "joy",
    ]
    assert all(answer("mirror", label) == label for label in vad.TABLE)
    assert [answer("cheer", k) for k in ("sadness", "anger", "neutral")] == [
        "hope",
        "amusement",
        "joy",
    ]
    pleasant = {label for label, place in vad.TABLE.items() if place[0] >= 15}
    for label in vad.TABLE:
        assert answer("cheer", label) in pleasant
        assert answer("soothe", label) in pleasant


def test_a_system_with_fewer_emotions_gets_the_next_best_or_none():
    soothe, mirror = Auto("soothe"), Auto("mirror")
    assert soothe.answer("sadness", EKMAN, EKMAN) == "sadness"  # sympathy, where there is no love
    assert soothe.answer("anger", EKMAN, EKMAN) is None
    assert Auto().answer("fear", EKMAN, EKMAN) is None
    assert Auto().answer("sadness", EKMAN, EKMAN) == "sadness"
    assert soothe.answer("joy", EKMAN, NLPCC) == "happiness"
    assert soothe.answer("sadness", EKMAN, NLPCC) == "like"
    assert mirror.answer("pride", EVERYDAY, EKMAN) == "joy"
    assert mirror.answer("sadness", EKMAN, EMPATHETIC) == "sad"
    assert mirror.answer("neutral", EKMAN, EVERYDAY) is None


def test_feelings_of_every_label_set_are_understood():
    for taxonomy in TAXONOMIES.values():
        for label in taxonomy.labels:
            answer = Auto("mirror").answer(label, taxonomy, EVERYDAY)
            assert answer is None or answer in EVERYDAY.labels
    assert Auto("mirror").answer("grief", GOEMOTIONS, EKMAN) == "sadness"
    assert Auto("mirror").answer("grumpy", Taxonomy("own", ("grumpy",)), EKMAN) is None
