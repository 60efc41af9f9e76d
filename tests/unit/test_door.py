"""The Python door: one post in, one reply out."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import sys
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

import emotone
from emotone.door import Door, Turn, open_door
from emotone.emotions import EmotionMix, MixText
from emotone.errors import ConfigError, DataError, MixError, UnknownName, Unsupported, UsageError
from emotone.systems import emprl, prompted, steered
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
        "import time\n"
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
        "    time.sleep(0.01)\n"
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
    with pytest.raises(UnknownName, match=r"language of own\.twins 'fr'.* allowed: zh, en"):
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

    with pytest.raises(Unsupported, match="does not stream; ask it for the whole"):
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


# -- several turns, and what is no post -----------------------------------------------------------


def test_the_turns_of_a_dialogue_are_messages_as_chat_apis_have_them(door: Door):
    turns = (Post("a"), Post("b", Speaker.ASSISTANT), Post("hi"))
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "hi"},
    ]
    told = door.reply(Dialogue(turns), decoding=SHORT)
    assert door.reply(messages, decoding=SHORT) == told
    assert door.reply(turns, decoding=SHORT) == told
    assert "".join(door.stream(messages, decoding=SHORT)) == told.text


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("post", "pieces"),
    [
        (None, ["the post is None", "give a text, a Dialogue, or a list of messages"]),
        (3, ["3 (int)", "give a text"]),
        (b"hi", ["b'hi' (bytes)", "give a text"]),
        (USER, ["(dict)" if len(repr(USER)) <= 40 else "of type dict", "a list of messages"]),
        (["hi"], ["message 1 is 'hi' (str)", "'role': 'user'"]),
        ([], ["dialogue is empty"]),
        ([{"role": "system", "content": "x"}, USER], ["message 1", "'system'", "open_door"]),
        ([{"role": "tool", "content": "x"}, USER], ["'tool'", "'user' or 'assistant'"]),
        ([{"content": "x"}], ["role None", "'user' or 'assistant'"]),
        ([{"role": "user"}], ["a content that is None", "give a text"]),
        ([USER, {"role": "assistant", "content": "x"}], ["end the dialogue with a user's post"]),
    ],
)
def test_what_is_no_post_is_one_sentence_with_what_is_allowed(door: Door, post, pieces):
    for ask in (door.reply, door.stream):
        with pytest.raises(DataError) as caught:
            ask(post)
        for piece in pieces:
            assert piece in str(caught.value)


@pytest.mark.parametrize("emotion", [["joy"], 3, {"joy": "60"}, {"joy": None}, {3: 60}])
def test_what_is_no_emotion_is_one_sentence_with_what_is_allowed(door: Door, emotion):
    with pytest.raises(MixError, match=r"\{'joy': 60"):
        door.reply("hi", emotion)


def test_what_is_no_decoding_seed_or_empathy_is_one_sentence(door: Door):
    with pytest.raises(ConfigError, match=r"emotone\.Decoding\(max_tokens=40\)"):
        door.reply("hi", decoding={"max_tokens": 4})  # pyright: ignore
    for seed in ("1", None, 1.5):
        with pytest.raises(ConfigError, match=r"seed is .*; use a whole number from 0"):
            door.reply("hi", seed=seed)  # pyright: ignore
    with pytest.raises(ConfigError, match=r"temperature is .hot.; use a number from 0\.01"):
        Decoding(temperature="hot")  # pyright: ignore
    with pytest.raises(DataError, match="EmpathyLevels"):
        door.reply("hi", empathy={"reaction": 2})  # pyright: ignore


# -- threads ----------------------------------------------------------------------------------

MIXES = [
    *("joy", "anger:40", "fear:20 + joy:60", "sadness:-50"),
    *("surprise:80", "disgust", "joy:10 + sadness:90"),
    None,
]


@pytest.fixture
def shared() -> Door:
    return Door.of(steered.tiny())


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(Turn, "PATIENCE", 0.05)


@pytest.mark.slow
def test_eight_threads_get_the_replies_of_one(shared: Door):
    brief = Decoding(max_tokens=3)
    asked = [(f"post {i % 7}", MIXES[i % 8], i) for i in range(100)]

    def answer(post, mix, seed):
        if seed % 3 == 2:  # some of them stream
            return "".join(shared.stream(post, mix, seed=seed, decoding=brief))
        return shared.reply(post, mix, seed=seed, decoding=brief)

    serial = [answer(*one) for one in asked]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda one: answer(*one), asked)) == serial


def test_a_reply_waits_for_the_stream_of_another_thread(shared: Door, hasty):
    alone = shared.reply("hi", "joy", decoding=SHORT)
    pieces = shared.stream("hello", "anger", decoding=SHORT)
    first = next(pieces)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(shared.reply, "hi", "joy", decoding=SHORT)
        assert not wait([waiting], timeout=0.2).done
        whole = first + "".join(pieces)
        assert waiting.result(10) == alone
    assert whole == "".join(shared.stream("hello", "anger", decoding=SHORT))


def test_a_thread_is_told_of_its_own_open_stream_instead_of_waiting_for_ever(shared, hasty):
    pieces = shared.stream("hello", "anger", decoding=SHORT)
    next(pieces)
    for ask in (shared.reply, shared.stream):
        with pytest.raises(
            UsageError, match=r"still open; read it to its end or call its close\(\)"
        ):
            ask("hi")
    pieces.close()
    assert shared.reply("hi", decoding=SHORT)


@pytest.mark.parametrize("leave", ["unfinished", "never begun", "failed"])
def test_a_stream_that_is_left_gives_its_turn_back(shared: Door, hasty, leave, monkeypatch):
    if leave == "failed":
        monkeypatch.setattr(
            shared.responder, "stream", lambda *_, **__: iter([1 / 0] for _ in "ab")
        )
        with pytest.raises(ZeroDivisionError):
            next(shared.stream("hello", "anger"))
    else:
        pieces = shared.stream("hello", "anger", decoding=SHORT)
        if leave == "unfinished":
            next(pieces)
        del pieces
        gc.collect()
    assert shared.reply("hi", "joy", decoding=SHORT)


def test_the_threads_of_a_server_may_take_the_pieces_of_a_stream_in_turn(shared: Door, hasty):
    whole = "".join(shared.stream("hello", "anger", decoding=SHORT))
    pieces = shared.stream("hello", "anger", decoding=SHORT)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        took = [one.submit(next, pieces).result(10), other.submit(next, pieces).result(10)]
        # The first thread now serves somebody else: it waits, the stream is not its own.
        waiting = one.submit(shared.reply, "hi", decoding=SHORT)
        assert not wait([waiting], timeout=0.3).done
        assert "".join([*took, *pieces]) == whole
        assert waiting.result(10)


def test_a_model_is_loaded_once_for_all_threads_that_wait_for_it(two_languages):
    door = open_door("own.twins")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(door.reply, ["hi"] * 16))
    assert two_languages == ["twins-en"]


def test_a_setting_that_is_none_is_said_in_the_words_of_python(tmp_path):
    with pytest.raises(ConfigError, match=r"^the settings: unknown key 'candidate'; did you mean"):
        emotone.load("steered", candidate=3)
    with pytest.raises(ConfigError, match="a setting is of type object; give a text"):
        emotone.load("steered", vectors=object())
    for wrong in (3, ["echo"]):
        with pytest.raises(UnknownName, match="unknown system"):
            emotone.load(wrong)  # pyright: ignore


def test_without_a_system_the_best_for_the_language_answers_and_is_named(monkeypatch):
    from emotone import systems

    best = {"en": ("echo", None), "zh": ("own.twins", "zh-model")}
    monkeypatch.setattr(systems, "answerer", best.__getitem__)
    notes = []
    door = open_door()
    assert door.reply("hi", note=notes.append).system == "echo"
    assert not notes
    door.reply("\u4f60\u600e\u4e48\u4e86", note=notes.append)
    assert notes == ["own.twins answers here, by its model zh-model; --system names another"]
    assert open_door(lang="zh").languages == ("zh",)


def test_who_answers_a_language_is_the_best_that_is_here(monkeypatch):
    from emotone import systems
    from emotone.models import store, zoo
    from emotone.steering import find

    assert systems.answerer("en") == ("steered", None)
    monkeypatch.setattr(zoo, "listed", lambda shelf: ["ecm-zh"])
    monkeypatch.setattr(store, "installed", lambda: ("smollm2", "gemma3-270m"))
    monkeypatch.setattr(find, "companion_named", lambda model: "")
    assert systems.answerer("zh") == ("ecm", "ecm-zh")
    monkeypatch.setattr(find, "companion_named", lambda model: f"{model}-companion")
    assert systems.answerer("zh") == ("steered", "gemma3-270m")
    monkeypatch.setattr(store, "installed", lambda: ())
    monkeypatch.setattr(zoo, "listed", lambda shelf: [])
    assert systems.answerer("zh") == ("steered", None)
