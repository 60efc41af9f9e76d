"""What counts as small talk, and what goes before it."""

from __future__ import annotations

from typing import Any

import pytest

from emotone.emotions import EKMAN, EmotionMix
from emotone.lm.chat import FRIEND, prompt_ids
from emotone.lm.small_talk import OPENING, is_small_talk, opened
from emotone.models.tiny import tiny_causal_lm
from emotone.systems import steered
from emotone.systems.prompted import Config, Prompted
from emotone.types import Decoding, Dialogue, Post, Speaker

CONTENT = (
    *("I'm sad", "my dog died", "I won!", "help me please", "no sleep again", "我很难过", "42"),
    *("Good morning, I lost my job.", "What should I cook tonight?", "hello world", "ok, tell me"),
    *("😭", ":(", "hello :(", "bye 😭"),
)


@pytest.mark.parametrize(
    "text",
    [
        *("hello", "Hey!", "heyyyy", "ok", "OK.", "Good morning", "thanks a lot", "Thank you!"),
        *("how are you?", "How's it going?", "what's up", "What’s up?", "lol", "hahaha", "bye"),
        *("See you later!", "yes", "no", "nice to meet you", "...", "?"),
    ],
)
def test_small_talk(text: str) -> None:
    assert is_small_talk(text)
    assert opened(Dialogue.of(text), None).posts == (*OPENING, Post(text))


@pytest.mark.parametrize("text", CONTENT)
def test_what_says_something_is_left_as_it_is(text: str) -> None:
    assert not is_small_talk(text)
    dialogue = Dialogue((Post("hello"), Post("Hi!", Speaker.ASSISTANT), Post(text)))
    assert opened(dialogue, None) is dialogue


def prompts_of(system: Any, lm: Any, dialogue: Dialogue, emotion: EmotionMix | None) -> list[int]:
    """What the model was given to read."""
    prompts: list[list[int]] = []
    handle = lm.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: prompts.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    system.reply([dialogue], [emotion], decoding=Decoding(max_tokens=1))
    handle.remove()
    return prompts[0]


def test_the_chat_systems_open_small_talk_without_an_emotion_only() -> None:
    lm = tiny_causal_lm()
    joy = EmotionMix.parse("joy", EKMAN)
    hello = Dialogue.of("hello")
    with_opening = prompt_ids(lm.tokenizer, opened(hello, None), FRIEND)
    without = prompt_ids(lm.tokenizer, hello, FRIEND)
    prompted = Prompted(lm, Config())
    assert prompts_of(prompted, lm, hello, None) == with_opening
    assert prompts_of(prompted, lm, hello, joy) != with_opening
    assert len(prompts_of(Prompted(lm, Config(system="Be a pirate.")), lm, hello, None)) < 120
    system = steered.tiny()
    own = steered.Steered(system._lm, system.vectors, steered.Config(system=FRIEND))
    assert prompts_of(own, system._lm, hello, None) == with_opening
    nats = own.nats([hello], [None], ["yes"])
    raw = own.reply_raw([hello], [{}], decoding=Decoding(max_tokens=4))
    assert raw[0].text != own.reply([hello], [None], decoding=Decoding(max_tokens=4))[0].text
    assert nats != steered.Steered(
        system._lm, system.vectors, steered.Config(system=FRIEND + " ")
    ).nats([hello], [None], ["yes"])
    assert without != with_opening
