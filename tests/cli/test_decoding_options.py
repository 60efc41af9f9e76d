"""Every field of `Decoding` has an option of reply, chat and generate; several replies at once."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from emotone.cli import chat, generate, reply
from emotone.door import Door
from emotone.errors import ConfigError, Unsupported
from emotone.systems import ecm, prompted
from emotone.systems.echo import Echo
from emotone.types import Decoding

Run = Callable[..., tuple[int, str, str]]
#: Another value than the default of each field, and the option that says it.
OTHERS: dict[str, Any] = {
    "seed": 7,
    "max_tokens": 30,
    "temperature": 0.9,
    "top_p": 0.8,
    "top_k": 20,
    "repetition_penalty": 1.0,
    "no_repeat": 0,
    "min_tokens": 3,
    "sentence_end_after": 1.0,
    "beams": 5,
    "length_penalty": 0.5,
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecm, "load", lambda model=None, *, device, config: ecm.tiny())
    monkeypatch.setattr(prompted, "load", lambda model=None, *, device, config: prompted.tiny())


@pytest.mark.parametrize("command", [reply.reply, chat.chat, generate.generate])
def test_each_field_of_decoding_has_an_option(command):
    fields = {field.name for field in dataclasses.fields(Decoding)} - {"strategy"}
    assert fields == set(OTHERS)
    assert fields | {"greedy"} <= set(inspect.signature(command).parameters)


@pytest.mark.parametrize("field", sorted(OTHERS))
@pytest.mark.parametrize("command", ["reply", "chat", "generate"])
def test_each_option_reaches_the_system(run: Run, monkeypatch, command, field):
    asked: list[Decoding] = []
    real = Echo.reply

    def spy(self, dialogues, emotions, *, decoding, **options):
        asked.append(decoding)
        return real(self, dialogues, emotions, decoding=decoding, **options)

    monkeypatch.setattr(Echo, "reply", spy)
    given = {"reply": ["hi"], "chat": [], "generate": ["-i", "-"]}[command]
    stdin = {"chat": "hi\n", "generate": '{"id": "a", "post": "hi"}'}.get(command, "")
    option = [f"--{field.replace('_', '-')}", str(OTHERS[field])]
    searched = {field: OTHERS[field]}
    if field in ("beams", "length_penalty"):
        searched |= {"strategy": "beam", "beams": 5}
        option += ["--beams", "5"] if field == "length_penalty" else []
    code, _, err = run(command, *given, "-s", "echo", *option, stdin=stdin)
    assert code == 0, err
    assert asked == [Decoding(**searched)]


@pytest.mark.parametrize("search", [["--greedy"], ["--beams", "4"]], ids=" ".join)
@pytest.mark.parametrize("option", ["--temperature", "--top-p", "--top-k"])
def test_an_option_without_effect_is_refused_with_its_default_value_too(run: Run, option, search):
    field = option[2:].replace("-", "_")
    default = getattr(Decoding(), field)
    code, _, err = run("reply", "hi", "-s", "echo", *search, option, str(default))
    assert code == 2 or code == 1
    assert f"{option} has no effect on the search of {search[0]}; leave one of them out" in err


def test_a_seed_beside_greedy_is_fine(run: Run):
    assert run("reply", "hi", "-s", "echo", "--greedy", "--seed", "3")[0] == 0


def test_several_replies_are_those_of_the_seeds_that_follow(run: Run, tiny):
    code, out, _ = run(
        "reply", "hi", "-s", "prompted", "-n", "3", "--seed", "4", "--json", "--max-tokens", "8"
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [row["seed"] for row in rows]) == (0, [4, 5, 6])
    door, short = Door.of(prompted.tiny()), Decoding(max_tokens=8)
    alone = [door.reply("hi", seed=seed, decoding=short).text for seed in (4, 5, 6)]
    assert [row["text"] for row in rows] == alone
    assert len(set(alone)) > 1


def test_several_replies_of_a_beam_search_are_its_best_in_order(run: Run, tiny):
    _, out, _ = run(
        *("reply", "hi", "-s", "ecm", "-e", "like", "--beams", "6", "-n", "4", "--json"),
        *("--max-tokens", "5"),
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert len({row["text"] for row in rows}) == len(rows) == 4
    scores = [row["logprob"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    beams = Decoding(strategy="beam", beams=6, max_tokens=5)
    assert rows[0]["text"] == Door.of(ecm.tiny()).reply("hi", "like", decoding=beams).text


@pytest.mark.parametrize(
    ("n", "decoding", "error", "piece"),
    [
        (2, Decoding("greedy"), Unsupported, "a greedy search finds one"),
        (5, Decoding("beam", beams=3), ConfigError, "5 replies of 3 beams"),
        (0, Decoding(), ConfigError, "ask for 1 or more"),
    ],
)
def test_more_replies_than_a_search_finds_are_refused(n, decoding, error, piece):
    with pytest.raises(error, match=piece):
        Door.of(ecm.tiny()).replies("hi", n=n, decoding=decoding)


def test_all_answers_in_each_emotion_as_each_alone(run: Run, tiny):
    _, out, _ = run("reply", "hi", "-s", "ecm", "-e", "all", "--seed", "2", "--max-tokens", "5")
    door, short = Door.of(ecm.tiny()), Decoding(max_tokens=5)
    labels = door.capabilities.taxonomy.labels
    alone = [door.reply("hi", label, seed=2, decoding=short).text for label in labels]
    assert out.splitlines() == [
        f"{label}: {text}" for label, text in zip(labels, alone, strict=True)
    ]
    both = door.replies("hi", "all", n=2, decoding=short)
    assert [str(r.emotion) for r in both] == [f"{label}:100" for label in labels for _ in "ab"]


def test_all_of_a_system_without_emotions_is_refused(run: Run):
    code, _, err = run("reply", "hi", "-s", "echo", "-e", "all")
    assert code != 0
    assert "takes no emotion; leave --emotion all out" in err
