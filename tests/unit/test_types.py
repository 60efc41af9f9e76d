"""The values that pass between rooms refuse what nobody can answer."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.emotions import EKMAN, EmotionMix
from emotone.errors import ConfigError, DataError
from emotone.types import (
    Capabilities,
    Decoding,
    Dialogue,
    EmpathyLevels,
    Example,
    JudgeName,
    Post,
    Reply,
    Speaker,
)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000", "\u2028"])
def test_an_empty_post_is_refused(text: str):
    with pytest.raises(DataError, match="empty; write at least one word"):
        Post(text)


@pytest.mark.parametrize("text", ["\ud800", "hi \udcff there", "\ude00\ud83d"])
def test_a_post_that_is_no_unicode_is_refused(text: str):
    with pytest.raises(DataError, match="UTF-8"):
        Post(text)


@given(st.text(min_size=1))
def test_any_other_text_is_a_post_and_stays_as_it_is(text: str):
    if text.strip():
        assert Dialogue.of(text).posts == (Post(text, Speaker.USER, None),)
    else:
        with pytest.raises(DataError):
            Dialogue.of(text)


def test_a_dialogue_needs_a_post_and_ends_with_the_user_s():
    with pytest.raises(DataError, match="dialogue is empty"):
        Dialogue(())
    with pytest.raises(DataError, match="last post is the assistant's"):
        Dialogue((Post("hi"), Post("hello", Speaker.ASSISTANT)))
    assert len(Dialogue((Post("a", Speaker.ASSISTANT), Post("b"))).posts) == 2


def test_speakers_are_the_words_of_chat_apis():
    assert [s.value for s in Speaker] == ["user", "assistant"]
    assert Speaker.USER == "user"


@pytest.mark.parametrize(
    "value",
    [
        Post("a"),
        Dialogue.of("a"),
        Example("1", Dialogue.of("a")),
        EmpathyLevels(0, 1, 2),
        Capabilities(EKMAN),
        Decoding(),
        Reply("a", EmotionMix.parse("joy"), "echo", "none", 0, 1),
    ],
    ids=lambda v: type(v).__name__,
)
def test_values_are_frozen_and_equal_by_content(value: object):
    name = dataclasses.fields(value)[0].name  # pyright: ignore
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)
    assert dataclasses.replace(value) == value  # pyright: ignore


def test_printing_a_reply_prints_what_was_said():
    assert str(Reply("Oh no.", None, "echo", "none", 0, 2)) == "Oh no."


@pytest.mark.parametrize("name", ["reaction", "interpretation", "exploration"])
@pytest.mark.parametrize("level", [-1, 3, 1.5])
def test_an_empathy_level_outside_0_1_2_is_refused_by_name(name: str, level: int):
    with pytest.raises(DataError, match=rf"empathy level {name} is {level}; use 0, 1 or 2"):
        EmpathyLevels(**{"reaction": 0, "interpretation": 0, "exploration": 0, name: level})


@pytest.mark.parametrize(
    "text",
    [
        "reaction:2 interpretation:0 exploration:1",
        "exploration:1,reaction:2,interpretation:0",
        "  Exploration: 1 ; INTERPRETATIONS = 0,  emotional-reactions :2".replace(";", ","),
        "emotional_reactions=2 explorations=1 interpretations=0",
    ],
)
def test_empathy_levels_are_read_in_any_order_and_by_epitome_s_names(text: str):
    assert EmpathyLevels.parse(text) == EmpathyLevels(2, 0, 1)


@given(st.builds(EmpathyLevels, *[st.integers(0, 2)] * 3))
def test_empathy_levels_are_written_as_they_are_read(levels: EmpathyLevels):
    assert EmpathyLevels.parse(str(levels)) == levels


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("", "leaves out reaction and interpretation and exploration"),
        ("reaction:1 exploration:0", "leaves out interpretation;"),
        ("reaction:1 reaction:1 interpretation:0 exploration:0", "names reaction twice"),
        ("reaction:1 emotional_reactions:1", "names reaction twice"),
        ("reaction 1 interpretation:0 exploration:0", "'reaction' cannot be read"),
        ("reaction:one", "'reaction:one' cannot be read"),
        ("reaction:-1", "'reaction:-1' cannot be read"),
        ("reaction:", "'reaction:' cannot be read"),
        ("joy:80", "'joy:80' cannot be read"),
    ],
)
def test_other_texts_are_no_empathy_levels(text: str, piece: str):
    with pytest.raises(DataError) as caught:
        EmpathyLevels.parse(text)
    assert piece in str(caught.value)
    assert "as in 'reaction:2 interpretation:1 exploration:0'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("temperature", 0.01, 5.0),
        ("top_p", 0.01, 1.0),
        ("max_tokens", 1, 4096),
        ("repetition_penalty", 0.5, 5.0),
        ("no_repeat", 0, 100),
        ("beams", 1, 1000),
        ("length_penalty", 0.0, 5.0),
        ("top_k", 0, 1_000_000),
        ("min_tokens", 0, 4096),
        ("seed", 0, 2**63 - 1),
    ],
)
def test_decoding_takes_each_bound_and_nothing_beyond(name: str, low: float, high: float):
    assert getattr(Decoding(**{name: low}), name) == low
    assert getattr(Decoding(**{name: high}), name) == high
    # A step that a float of this size can still feel.
    step = max(1, int(high) // 2**52) if isinstance(low, int) else 0.001
    for wrong in (low - step, high + step, math.nan, math.inf, -math.inf):
        with pytest.raises(
            ConfigError, match=rf"^{name} is .*; use a (whole )?number from {low} to"
        ):
            Decoding(**{name: wrong})


@pytest.mark.parametrize("strategy", ["sample", "greedy", "beam"])
def test_decoding_knows_three_strategies(strategy):
    assert Decoding(strategy=strategy).strategy == strategy
    with pytest.raises(ConfigError, match="is 'beams'; use 'sample', 'greedy' or 'beam'"):
        Decoding(strategy="beams")  # pyright: ignore


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("en-score", JudgeName("en-score")),
        ("en-score-12-0a1b2c3d", JudgeName("en-score", 12, "0a1b2c3d")),
        ("en-score-1-0a1b2c3d:ekman", JudgeName("en-score", 1, "0a1b2c3d", "ekman")),
        ("en-score:smp2020", JudgeName("en-score", taxonomy="smp2020")),
        ("pair-goemotions-a-1", JudgeName("pair-goemotions-a-1")),
        ("ngram-0a1b2c3d4e5f", JudgeName("ngram-0a1b2c3d4e5f")),
    ],
)
def test_a_judge_s_name_is_read_and_written(text: str, name: JudgeName):
    assert repr(JudgeName.parse(text)) == repr(name)
    assert str(name) == text


def test_judges_are_one_whatever_their_version_and_however_their_name_is_written():
    same = (
        "EN_score",
        "judges/en-score-1-0a1b2c3d:ekman (GoEmotions)",
        "c:\\mine\\en-score-2-FFFFFFFF",
    )
    assert {JudgeName.parse(text) for text in same} == {JudgeName("en-score")}
    assert JudgeName("en-score") != JudgeName("en-label")
    assert JudgeName("en-score") != "en-score"
    with pytest.raises(DataError, match=r"the name of a judge is '/ \(x\)'"):
        JudgeName.parse("/ (x)")
