"""`check_request`: what a system lacks is refused, and nothing else is."""

from __future__ import annotations

import pytest

from emotone.emotions import EKMAN, EmotionMix
from emotone.errors import DataError, UnknownName, Unsupported
from emotone.protocols import Responder, StreamingResponder
from emotone.requests import check_request
from emotone.systems.echo import Echo
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Post, Speaker

ONE = [Dialogue.of("hello")]
LONG = [Dialogue((Post("a"), Post("b", Speaker.ASSISTANT), Post("c")))]
EVERYTHING = Capabilities(EKMAN, graded=True, mixes=True, empathy=True, history=True)
GRADED = Capabilities(EKMAN, graded=True)
CLASSES = Capabilities(EKMAN)
NOTHING = Capabilities(None)


def ask(capabilities: Capabilities, mix: str | None = None, dialogues=ONE, empathy=None) -> None:
    emotion = None if mix is None else EmotionMix.parse(mix)
    check_request("mine", capabilities, dialogues, [emotion] * len(dialogues), empathy)


@pytest.mark.parametrize("mix", [None, "joy", "joy:0", "joy:-30", "joy:60 + fear:20", "neutral"])
def test_a_system_that_can_everything_is_asked_in_peace(mix: str | None):
    ask(EVERYTHING, mix, LONG, [EmpathyLevels(0, 1, 2)])


@pytest.mark.parametrize("capabilities", [EVERYTHING, GRADED, CLASSES, NOTHING])
def test_every_system_answers_one_post_without_emotion_and_an_empty_batch(capabilities):
    ask(capabilities)
    ask(capabilities, empathy=[None])
    check_request("mine", capabilities, [], [])


@pytest.mark.parametrize("mix", ["joy", "joy:0", "neutral", "joy:60 + fear:20"])
def test_a_system_without_emotions_refuses_every_emotion(mix: str):
    with pytest.raises(Unsupported, match=r"^mine takes no emotion, but '.*' was asked"):
        ask(NOTHING, mix)


@pytest.mark.parametrize("mix", ["joy:99", "joy:0", "joy:-100"])
def test_a_system_of_classes_refuses_intensities(mix: str):
    with pytest.raises(Unsupported, match=r"knows no intensities.*name the emotion alone"):
        ask(CLASSES, mix)


@pytest.mark.parametrize("mix", ["joy", "joy:100"])
def test_a_system_of_classes_takes_an_emotion_alone_or_at_100(mix: str):
    ask(CLASSES, mix)


@pytest.mark.parametrize("capabilities", [CLASSES, GRADED])
def test_a_system_without_mixes_refuses_two_emotions(capabilities: Capabilities):
    with pytest.raises(Unsupported, match="one emotion at a time"):
        ask(capabilities, "joy:60 + fear:20")


def test_an_emotion_outside_the_system_s_set_is_refused_with_the_set():
    six = Capabilities(type(EKMAN)("ekman", EKMAN.labels[:6]), graded=True)
    with pytest.raises(UnknownName) as caught:
        ask(six, "neutral")
    said = str(caught.value)
    assert "emotion for mine 'neutral'" in said
    assert "anger, disgust, fear, joy, sadness, surprise" in said
    assert "For a reply without emotion, leave the emotion out." in said


def test_history_is_refused_where_it_would_not_be_read():
    with pytest.raises(Unsupported, match="reads one post only"):
        ask(CLASSES, None, LONG)
    with pytest.raises(Unsupported, match="reads one post only"):
        ask(CLASSES, None, [*ONE, *LONG])


def test_empathy_is_refused_where_it_would_not_be_used():
    with pytest.raises(Unsupported, match="takes no empathy levels"):
        ask(CLASSES, empathy=[EmpathyLevels(0, 0, 0)])


def test_each_row_is_looked_at():
    mixes = [None, EmotionMix.parse("joy"), EmotionMix.parse("joy:50")]
    with pytest.raises(Unsupported, match="'joy:50'"):
        check_request("mine", CLASSES, ONE * 3, mixes)


CHAT = Capabilities(EKMAN, decoding={"sample": frozenset({"top_k"}), "greedy": frozenset()})


@pytest.mark.parametrize(
    "decoding",
    [Decoding(), Decoding(seed=7), Decoding(top_k=3), Decoding("greedy", seed=7, temperature=0.5)],
)
def test_a_decoding_of_what_is_used_or_left_at_its_default_is_taken(decoding: Decoding):
    check_request("mine", CHAT, ONE, [None], decoding=decoding)


@pytest.mark.parametrize(
    ("decoding", "message"),
    [
        (Decoding(min_tokens=3), "use min_tokens with the strategy 'sample', but min_tokens is 3"),
        (Decoding("greedy", top_k=3), "use top_k with the strategy 'greedy'.*or at 0"),
        (Decoding("beam"), "no beam search; use the strategy 'sample' or 'greedy'"),
    ],
)
def test_a_decoding_of_what_is_not_used_is_refused(decoding: Decoding, message: str):
    with pytest.raises(Unsupported, match=f"^mine .*{message}"):
        check_request("mine", CHAT, ONE, [None], decoding=decoding)


def test_what_searches_for_nothing_takes_every_decoding():
    nothing = Capabilities(EKMAN, decoding={})
    check_request("mine", nothing, ONE, [None], decoding=Decoding("beam", beams=3, top_k=1))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_emotions_as_dialogues_are_needed(count: int):
    with pytest.raises(DataError, match=f"2 dialogues came with {count} emotions"):
        check_request("mine", EVERYTHING, ONE * 2, [None] * count)


def test_what_has_the_methods_is_a_responder_without_inheriting():
    class Mute:
        capabilities = Capabilities(None)

        def reply(self, dialogues, emotions, *, decoding, empathy=None):
            return []

    assert isinstance(Mute(), Responder)
    assert not isinstance(Mute(), StreamingResponder)
    assert isinstance(Echo(), StreamingResponder)
    assert not isinstance(object(), Responder)
