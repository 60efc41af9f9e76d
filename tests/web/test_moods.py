"""Moods over time, the guard against loops, care, settings and keys: what needs no model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emotone.emotions import EKMAN, EVERYDAY
from emotone.errors import ConfigError, MixError, UnknownName, UsageError
from emotone.lm import care
from emotone.server import moods
from emotone.server.access import Keys
from emotone.server.served import read, split_id
from emotone.server.settings import read_settings
from emotone.web.rate import Rate


def row(ids: list[int], entropy: float) -> Any:
    return SimpleNamespace(draft=SimpleNamespace(ids=ids), entropy=entropy)


def test_the_guard_halves_the_dose_of_a_loop_and_then_rests():
    guard, ids = moods.Guard(), []
    lowered = []
    for step in range(60):
        ids.append((11, 12, 13)[step % 3])
        lowered.append(guard.look(row(ids, 1.5)))
    assert lowered.index(True) == 8  # three tokens for the third time
    assert guard.times == sum(lowered)
    assert guard.scale == 0.5**guard.times
    gaps = [i for i, low in enumerate(lowered) if low]
    assert all(b - a > moods.Guard.SPAN for a, b in pairwise(gaps))


def test_certainty_again_and_again_is_a_loop_and_prose_is_none():
    guard = moods.Guard()
    assert not any(guard.look(row(list(range(i + 1)), 1.2)) for i in range(80))
    twice = [*range(10), 1, 2, 3, 50, 51]
    again = moods.Guard()
    assert not any(again.look(row(twice[: i + 1], 1.2)) for i in range(len(twice)))
    certain = moods.Guard()
    lowered = [certain.look(row(list(range(i + 1)), 0.01)) for i in range(20)]
    assert lowered.index(True) == moods.Guard.SPAN - 1


def test_a_way_goes_in_lines_between_its_stations():
    frames = [{"joy": 1.0}, {"joy": 0.0, "fear": 2.0}, {"fear": 1.0}]
    places = [4.0, 8.0, 24.0]
    assert moods.between(frames, places, 0) == moods.between(frames, places, 4)
    assert moods.between(frames, places, 4) == {"joy": 1.0, "fear": 0.0}
    assert moods.between(frames, places, 6) == {"joy": 0.5, "fear": 1.0}
    assert moods.between(frames, places, 8) == {"joy": 0.0, "fear": 2.0}
    assert moods.between(frames, places, 16) == {"joy": 0.0, "fear": 1.5}
    assert moods.between(frames, places, 99) == {"joy": 0.0, "fear": 1.0}
    assert moods.between([{"joy": 0.3}], [0.0], 9) == {"joy": 0.3}


@pytest.mark.parametrize(
    ("way", "places"),
    [
        ("joy", [0]),
        ("joy:0 -> joy:80", [0, 28.8]),
        ("none -> fear -> joy", [0, 14.4, 28.8]),
        ("joy:0 -> joy:80 @ 24", [0, 24]),
        ("joy @ 5 -> fear@9 -> anger @40", [5, 9, 40]),
        ("joy -> fear -> anger @ 10", [0, 5, 10]),
        ("joy -> fear @ 10 -> anger", [0, 10, 28.8]),
        ("joy -> fear @ 60 -> anger", [0, 60, 61]),
        ("joy@0→fear→anger→love@6", [0, 2, 4, 6]),
    ],
)
def test_stations_without_a_place_stand_evenly_between_the_others(way: str, places: list[float]):
    feeling = moods.read(way)
    assert moods.spread(feeling.places, len(feeling.frames), 28.8) == pytest.approx(places)
    assert moods.remembered([feeling], 2).places == feeling.places


def test_a_half_life_halves_and_full_is_the_most():
    asked = [moods.read("joy:80"), moods.read(""), moods.read("joy:70 + fear:10")]
    (mix,) = moods.remembered(asked, 2).within(EKMAN, None)
    assert str(mix) == "fear:10 + joy:100"
    (faded,) = moods.remembered([*asked[:1], *[moods.read("")] * 12], 1).within(EKMAN, None)
    assert faded is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "give a text"),
        ({"joy": True}, "give names and numbers"),
        ("joy->", "empty"),
        ("joy @ 5", "without a way"),
        ("joy -> fear @ soon", "'soon' of a station is no number"),
        ("joy -> fear @ -3", "no number of tokens"),
        ("joy -> fear @", "no number of tokens"),
        ("joy @ 8 -> fear @ 8", "8, 8 tokens; let the places rise"),
        ("joy -> fear @ 0", "let the places rise"),
    ],
)
def test_what_is_no_mood_is_refused(value: Any, words: str):
    with pytest.raises(MixError, match=words):
        moods.read(value)


def test_names_are_looked_up_in_the_systems_labels():
    (mix,) = moods.read("happy:60").within(EVERYDAY, None)
    assert str(mix) == "joy:60"
    with pytest.raises(UnknownName, match="love"):
        moods.read("love").within(EKMAN, None)


@pytest.mark.parametrize(
    "post",
    [
        "I want to kill myself", "i’m suicidal", "I don't want to live anymore", "I wanna die.",
        "thinking about ending it all", "I keep cutting myself", "我想死", "我不想活了", "他想自杀",
    ],
)  # fmt: skip
def test_self_harm_is_heard(post: str):
    assert care.needs_care(post)


@pytest.mark.parametrize(
    "post",
    [
        "This bus kills my mood.", "I could kill for a coffee", "Suicide Squad was fun",
        "My phone died again.", "The plant is dying", "笑得想死", "电池没电了", "I cut my hair",
    ],
)  # fmt: skip
def test_everyday_talk_is_not(post: str):
    assert not care.needs_care(post)


def test_settings_come_from_flags_then_variables_then_the_file(tmp_path: Path):
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nrows = 2\nhosts = ["a"]\n')
    environment = {"EMOTONE_SERVE_PORT": "3", "EMOTONE_SERVE_HOSTS": "b,c", "PATH": "x"}
    settings, keys = read_settings(file, {"port": 4, "rows": None}, environment)
    assert (settings.port, settings.rows, settings.hosts, keys) == (4, 2, ("b", "c"), ())
    with pytest.raises(ConfigError, match="unknown key 'prot'"):
        read_settings(None, None, {"EMOTONE_SERVE_PROT": "1"})
    with pytest.raises(ConfigError, match="rows is 0"):
        read_settings(None, {"rows": 0}, {})


def test_the_network_needs_a_key(tmp_path: Path):
    with pytest.raises(ConfigError, match="open to the network"):
        read_settings(None, {"host": "0.0.0.0"}, {})
    _, keys = read_settings(None, {"host": "0.0.0.0"}, {"EMOTONE_API_KEY": "k"})
    assert keys == ("k",)
    empty = tmp_path / "keys"
    empty.write_text("# none\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_settings(None, {"api_keys": empty}, {})


def test_keys_are_told_apart_and_a_rate_fills_again():
    keys = Keys(["one", "two"])
    one, two = keys.owner("Bearer one"), keys.owner("Bearer two")
    assert one
    assert two
    assert one != two
    assert keys.owner("Bearer on") is None
    assert Keys([]).owner("") == ""
    now = [0.0]
    rate = Rate(2, lambda: now[0])
    assert [rate.wait("a") > 0 for _ in range(3)] == [False, False, True]
    assert rate.wait("b") == 0
    now[0] = 30.0
    assert rate.wait("a") == 0


def test_served_names_are_never_paths():
    assert read("mine=echo").system == "echo"
    for name in ("../x=echo", "a b=echo", "a@b=echo", "=echo"):
        with pytest.raises(UsageError):
            read(name)
    with pytest.raises(UnknownName, match="unknown system"):
        read("mine=nothing")
    served = {"mine": read("mine=echo")}
    assert split_id("mine@joy:60", served)[1] == "joy:60"
    with pytest.raises(UnknownName, match="unknown model"):
        split_id("/etc/passwd", served)
    with pytest.raises(UnknownName, match="no mood stands behind 'mine@'"):
        split_id("mine@", served)
