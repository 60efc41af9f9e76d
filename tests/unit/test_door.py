"""The Python door: one post in, one reply out."""

from __future__ import annotations

import dataclasses
import importlib
import sys

import pytest

import emotone
from emotone.door import Door, open_door
from emotone.emotions import EmotionMix, MixText
from emotone.errors import ConfigError, DataError, MixError, UnknownName, Unsupported
from emotone.systems import emprl, prompted
from emotone.types import Decoding, Dialogue, EmpathyLevels, Post, Speaker

SHORT = Decoding(max_tokens=8)


@pytest.fixture(scope="module")
def door() -> Door:
    return Door.of(prompted.tiny())


def test_load_opens_a_system_by_name():
    opened = emotone.load("echo")
    assert opened.reply("hello").text == "hello"
    assert "".join(opened.stream("hello  there")) == "hello  there"
    assert opened.capabilities.taxonomy is None


def test_load_refuses_unknown_systems_settings_and_weights():
    with pytest.raises(UnknownName, match="did you mean 'echo'"):
        emotone.load("ecko")
    with pytest.raises(ConfigError, match="unknown key 'volume'"):
        emotone.load("echo", volume=3)
    with pytest.raises(Unsupported, match="no weights"):
        emotone.load("echo", "smollm2")


def test_a_setting_arrives_as_the_value_it_is(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "keeper.py").write_text(
        "from dataclasses import dataclass\n"
        "from emotone.systems.echo import Echo\n"
        "@dataclass(frozen=True)\n"
        "class Config:\n"
        "    word: str = ''\n"
        "    share: float = 0.0\n"
        "def load(model=None, *, device='auto', config=None):\n"
        "    echo = Echo()\n"
        "    echo.config = config\n"
        "    return echo\n"
    )
    for word in ("plain", "1", "true", 'a "b" \\ c', "two\nlines", "😀 悲伤", "\x7f"):
        opened = emotone.load("own.keeper", word=word, share=2)
        assert opened.responder.config == type(opened.responder.config)(word, 2.0)  # pyright: ignore


@pytest.fixture
def two_languages(tmp_path, monkeypatch) -> list[str | None]:
    """The models that `own.twins`, a system with a model for each language, has loaded."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "twins.py").write_text(
        "from dataclasses import dataclass, replace\n"
        "from emotone.systems import echo\n"
        "MODELS = {'zh': 'twins-zh', 'en': 'twins-en'}\n"
        "LOADED = []\n"
        "@dataclass(frozen=True)\n"
        "class Config:\n"
        "    pass\n"
        "class Twin(echo.Echo):\n"
        "    def __init__(self, model):\n"
        "        self.model = model\n"
        "    def reply(self, *args, **options):\n"
        "        return [replace(r, model=self.model) for r in super().reply(*args, **options)]\n"
        "def load(model=None, *, device='auto', config=None):\n"
        "    LOADED.append(model)\n"
        "    return Twin(model)\n"
    )
    sys.modules.pop("own.twins", None)
    sys.modules.pop("own", None)
    return importlib.import_module("own.twins").LOADED


def test_a_post_goes_to_the_model_of_its_language_which_is_loaded_when_needed(two_languages):
    door = open_door("own.twins")
    assert two_languages == []
    assert door.reply("你好").model == "twins-zh"
    assert two_languages == ["twins-zh"]
    assert [door.reply(post).model for post in ("hi", "你好", "hi")] == [
        *("twins-en", "twins-zh", "twins-en")
    ]
    assert two_languages == ["twins-zh", "twins-en"]
    assert door.responder.model == "twins-en"  # pyright: ignore
    assert emotone.load("own.twins").reply("你好").model == "twins-zh"


def test_a_language_or_a_model_that_is_named_answers_every_post(two_languages):
    door = open_door("own.twins", lang="zh")
    assert {door.reply(post).model for post in ("hi", "你好")} == {"twins-zh"}
    door = open_door("own.twins", "mine")
    assert {door.reply(post).model for post in ("hi", "你好")} == {"mine"}
    assert two_languages == ["twins-zh", "mine"]
    with pytest.raises(UnknownName, match=r"language of own\.twins 'fr'.* Allowed: zh, en"):
        open_door("own.twins", lang="fr")
    assert open_door("echo", lang="zh").reply("hi").text == "hi"


def test_an_alias_is_noted(door: Door):
    notes: list[str] = []
    door.reply("hi", "happy:60 + fear:20", decoding=SHORT, note=notes.append)
    "".join(door.stream("hi", MixText.read("angry"), decoding=SHORT, note=notes.append))
    assert notes == ["'happy' read as joy", "'angry' read as anger"]


def test_an_emotion_is_text_a_mapping_or_a_mix(door: Door):
    mix = EmotionMix.parse("fear:20 + joy:60")
    texts = {
        door.reply("hi", emotion, decoding=SHORT).text
        for emotion in ("joy:60 + fear:20", {"joy": 60, "fear": 20}, mix)
    }
    assert len(texts) == 1
    assert door.reply("hi", {"happy": 60, "fear": 20}, decoding=SHORT).emotion == mix
    assert door.reply("hi", decoding=SHORT).emotion is None


def test_empathy_is_text_or_levels():
    door = Door.of(emprl.tiny())
    text = "exploration:2 reaction:1 interpretation:0"
    said = door.reply("hi", "joy:40", empathy=text, decoding=SHORT)
    assert said == door.reply("hi", "joy:40", empathy=EmpathyLevels(1, 0, 2), decoding=SHORT)
    assert said.applied["empathy"] == "reaction:1 interpretation:0 exploration:2"
    assert "empathy" not in door.reply("hi", decoding=SHORT).applied
    with pytest.raises(Unsupported, match="prompted takes no empathy levels"):
        Door.of(prompted.tiny()).reply("hi", empathy=text)
    with pytest.raises(DataError, match="cannot be read"):
        door.reply("hi", empathy="a lot")


def test_a_post_is_text_or_a_dialogue_with_its_history(door: Door):
    alone = door.reply("hi", decoding=SHORT)
    assert door.reply(Dialogue.of("hi"), decoding=SHORT) == alone
    told = Dialogue((Post("a"), Post("b", Speaker.ASSISTANT), Post("hi")))
    assert door.reply(told, decoding=SHORT).logprob != alone.logprob


def test_the_seed_of_the_call_wins_over_the_decoding_s(door: Door):
    first = door.reply("hi", seed=3, decoding=SHORT)
    assert first.seed == 3
    assert door.reply("hi", seed=3, decoding=dataclasses.replace(SHORT, seed=9)) == first
    assert door.reply("hi", seed=4, decoding=SHORT).text != first.text


def test_streamed_pieces_join_to_the_reply(door: Door):
    decoding = Decoding(max_tokens=32)
    pieces = list(door.stream("hi", "joy:60", seed=5, decoding=decoding))
    assert "".join(pieces) == door.reply("hi", "joy:60", seed=5, decoding=decoding).text
    assert len(pieces) > 1


def test_a_system_that_cannot_stream_says_so():
    class Mute:
        capabilities = emotone.load("echo").capabilities

        def reply(self, dialogues, emotions, *, decoding, empathy=None):
            return []

    with pytest.raises(Unsupported, match="does not stream; use reply"):
        Door.of(Mute()).stream("hi")


def test_a_wrong_emotion_is_refused_in_each_form(door: Door):
    for wrong in ("hapiness", {"hapiness": 20}):
        with pytest.raises(UnknownName, match="did you mean 'happiness'"):
            door.reply("hi", wrong)
    for wrong in ("joy:101", {"joy": 101}, {"joy": float("nan")}, {}):
        with pytest.raises(MixError):
            door.reply("hi", wrong)
    with pytest.raises(Unsupported, match="takes no emotion"):
        emotone.load("echo").reply("hi", "joy")
