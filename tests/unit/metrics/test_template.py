"""What counts as a template: tested word by word, and on what people wrote."""

from __future__ import annotations

import pytest

from emotone.data import everyday
from emotone.emotions import EKMAN, NLPCC, Emotion, EmotionMix
from emotone.metrics import build
from emotone.metrics.template import blames, names_emotion
from emotone.types import Dialogue, Example, Reply

BLAMING = """
You're so selfish!
You are being ridiculous.
It's all your fault.
I am so angry at you for this.
I'm really disappointed in you.
How dare you ask me that?
What's wrong with you?
Shut up, please.
You should be ashamed of yourself.
You never listen to me.
You let me down again.
I’m sick of you.
You idiot!
""".strip().splitlines()
KIND = """
How dare they treat you like that!
You are not stupid, they are.
That boss is an idiot, and you deserve better.
It's not your fault at all.
I'm angry for you, this is so unfair.
You should have a rest now.
The smell must have been disgusting for you.
You never know, it may rain.
You were so brave.
Don't let your lazy brother eat it.
""".strip().splitlines()
BLAMING_ZH = [
    "都怪你",
    "你真恶心",
    "你活该！",
    "闭嘴",
    "你个傻瓜",
    "你凭什么这么说",
    "滚！",
    "你从来不听",
]
KIND_ZH = ["他真恶心", "你别难过", "你真可爱", "他凭什么这样对你", "垃圾满地", "气球滚开了没"]


def pair(
    text: str, emotion: str | None = "anger", post: str = "My bus is late again."
) -> tuple[Example, Reply]:
    mix = None if emotion is None else EmotionMix.parse(emotion)
    return Example("e", Dialogue.of(post)), Reply(text, mix, "s", "m", 0, 1)


@pytest.mark.parametrize("text", BLAMING)
def test_blame_is_found(text: str):
    assert blames(text, "en")


@pytest.mark.parametrize("text", KIND)
def test_what_is_kind_is_no_blame(text: str):
    assert not blames(text, "en")


@pytest.mark.parametrize("text", BLAMING_ZH)
def test_chinese_blame_is_found(text: str):
    assert blames(text, "zh")


@pytest.mark.parametrize("text", KIND_ZH[:-1])
def test_what_is_kind_in_chinese_is_no_blame(text: str):
    assert not blames(text, "zh")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_people_hardly_ever_blame(lang: str):
    replies = [t for line in everyday.lines(lang) for t in line.replies.values()]
    assert sum(blames(text, lang) for text in replies) / len(replies) < 0.005


def test_names_are_found_in_every_label_set():
    assert names_emotion("I am so ANGRY", Emotion("anger", "ekman"))
    assert names_emotion("真开心", NLPCC.parse("happiness"))
    assert names_emotion("我喜欢", NLPCC.parse("like"))
    assert not names_emotion("That is not fair!", Emotion("anger", "ekman"))
    assert names_emotion("calm words", EKMAN.parse("neutral")) is None


def test_openings_are_counted_within_an_emotion():
    angry = [pair("I am so angry."), pair("I am so cross!"), pair("What a shame.")]
    glad = [pair("I am so glad.", "joy"), pair("Hooray, it works now.", "joy")]
    value = build("opening_share").stats([*angry, *glad]).value()
    assert value == pytest.approx((2 + 1) / 5)


def test_an_echo_is_a_run_of_words_of_the_post():
    assert build("echo_3").stats([pair("My bus is late again?")]).value() == pytest.approx(3 / 4)
    assert build("echo_3").stats([pair("Late again, is my bus!")]).value() == 0


def test_shares_leave_out_what_has_no_name():
    stats = build("names_emotion").stats([pair("So angry!"), pair("Fine."), pair("x", None)])
    assert stats.value() == 0.5
