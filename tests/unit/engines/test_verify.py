"""The proof over the wire: against doubles that drop or scale a mood, and our own server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emotone.engines.asking import Asker, Heard, Probe, _read
from emotone.engines.mood import one_mood
from emotone.engines.mood_name import served_as
from emotone.engines.reference import Reference
from emotone.engines.verify import EXIT_CODES, Settings, Verdict, verify
from emotone.engines.wire import Answer, NoAnswer, Server
from emotone.errors import ConfigError, UsageError
from emotone.lm.chat import FRIEND
from emotone.steering.tiny import tiny_vectors
from unit.engines.double import Double, serving, writer
from unit.steering.test_mood_adapters import tiny_moods

MIX = "joy:60 + fear:20"
SHORT = Settings(tokens=8)


def reference(positions: str = "all") -> Reference:
    lm = writer()
    vectors = tiny_vectors(lm.model)
    vectors = replace(vectors, card=replace(vectors.card, positions=positions))
    return Reference(lm, one_mood(vectors, MIX), FRIEND)


def double(**settings: object) -> Double:
    lm = writer()
    return Double(lm, tiny_vectors(lm.model), **settings)  # pyright: ignore


def prove(engine: Double, folder: Path, ours: Reference | None = None, **names: str) -> Verdict:
    names = {"plain_name": "tiny", "mood_name": f"tiny@{MIX}"} | names
    with serving(engine, folder) as url:
        return verify(Server(url), ours or reference(), settings=SHORT, **names)


@pytest.mark.parametrize("echo", [True, False])
def test_a_mood_that_acts_is_told_from_one_that_is_dropped(tmp_path: Path, echo: bool):
    acts = prove(double(echo=echo), tmp_path)
    assert (acts.outcome, EXIT_CODES[acts.outcome]) == ("acts", 0)
    assert acts.by < 1e-3
    assert acts.asked > 4 * SHORT.tolerance
    assert acts.moved == pytest.approx(1, abs=1e-3)
    (tmp_path / "b").mkdir()
    dropped = prove(double(echo=echo, scale=0.0), tmp_path / "b")
    assert (str(dropped), EXIT_CODES[dropped.outcome]) == ("silently plain", 1)
    assert dropped.moved == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("scale", "outcome"), [(1.0, "acts"), (0.0, "silently plain")])
def test_mood_adapters_are_proven_as_vectors_are(tmp_path: Path, scale: float, outcome: str):
    lm = writer()
    moods = tiny_moods(lm.model)
    ours = Reference(lm, one_mood(moods, MIX), FRIEND)
    name = served_as("tiny@none", ours.mood.emotion)  # pyright: ignore
    engine = Double(lm, moods, scale=scale)
    verdict = prove(engine, tmp_path, ours, plain_name="tiny@none", mood_name=name)
    assert (verdict.outcome, name) == (outcome, "tiny@fear:20+joy:60")


@pytest.mark.parametrize("scale", [0.5, 1.25, -1.0])
def test_a_wrong_scale_differs(tmp_path: Path, scale: float):
    verdict = prove(double(scale=scale), tmp_path)
    assert (verdict.outcome, verdict.where, EXIT_CODES[verdict.outcome]) == ("differs", "mood", 2)
    assert verdict.by > verdict.asked / 10
    assert verdict.moved is not None
    assert (verdict.moved < 0.9) == (scale < 1)
    assert "of the mood acts" in str(verdict)


def test_another_model_differs_already_without_the_mood(tmp_path: Path):
    other = writer(1)
    verdict = prove(Double(other, tiny_vectors(other.model)), tmp_path)
    assert (verdict.outcome, verdict.where) == ("differs", "plain")
    assert "already without the mood" in str(verdict)


def test_a_server_that_is_always_in_the_mood_has_one_name(tmp_path: Path):
    engine = double()
    plain = engine.complete
    engine.complete = lambda body: plain(body | {"model": f"tiny@{MIX}"})  # pyright: ignore
    verdict = prove(engine, tmp_path, mood_name="tiny")
    assert verdict.outcome == "acts"


def test_positions_are_those_of_the_vectors(tmp_path: Path):
    """The double pushes all columns; vectors for the last ones must not be taken for these."""
    assert prove(double(), tmp_path, reference("last")).outcome == "differs"


def test_without_a_mood_the_plain_models_are_compared(tmp_path: Path):
    lm = writer()
    assert prove(double(), tmp_path, Reference(lm)).outcome == "agrees"


def test_a_mood_too_weak_to_be_told_is_no_proof(tmp_path: Path):
    ours = reference()
    weak = Reference(ours.lm, one_mood(ours.mood.moods, raw={"joy": 1e-4}), FRIEND)  # pyright: ignore
    with pytest.raises(NoAnswer, match="ask for a stronger one"):
        prove(double(), tmp_path, weak)


def test_names_that_are_not_served_are_the_servers_own_words(tmp_path: Path):
    with pytest.raises(NoAnswer, match=r"`mine` does not exist.*--plain-name") as caught:
        prove(double(), tmp_path, plain_name="mine")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://", "http://a:b", "unix:", ""])
def test_other_urls_are_refused(url: str):
    with pytest.raises(UsageError, match="cannot be asked"):
        Server(url)


def test_keys_go_into_a_header():
    with pytest.raises(UsageError, match="EMOTONE_API_KEY"):
        Server("unix:/a", "kéy\n")
    assert "secret" not in repr(Server("unix:/a", "secret"))


def test_who_does_not_answer_is_named(tmp_path: Path):
    with pytest.raises(NoAnswer, match="start the server"):
        Server(f"unix:{tmp_path}/nobody").get("models")


def test_a_list_of_no_models_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Server, "_ask", lambda *_: Answer(200, {"data": []}))
    with pytest.raises(NoAnswer, match="lists no models"):
        Asker(Server("unix:/a"), 8).models()


@pytest.mark.parametrize(("name", "value"), [("tokens", 0), ("tolerance", 0), ("tolerance", 2)])
def test_settings_have_ranges(name: str, value: float):
    with pytest.raises(ConfigError, match=name):
        Settings(**{name: value})  # pyright: ignore


@pytest.mark.parametrize(
    ("choice", "heard"),
    [
        ({"text": "a"}, Heard("a")),
        ({"message": {"content": "a"}, "logprobs": None}, Heard("a")),
        (
            {"message": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": -1}]}},
            Heard("a", (), (-1.0,)),
        ),
        (
            {
                "text": "xya",
                "logprobs": {"tokens": ["x", "y", "a"], "token_logprobs": [None, -2, -1]},
            },
            Heard("a", (-2.0,), (-1.0,)),
        ),
        ({"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [None]}}, Heard("a")),
        ({"text": 3}, None),
        ({}, None),
    ],
)
def test_answers_of_each_engine_are_read(choice: dict[str, object], heard: Heard | None):
    probe = Probe("hi", "", (5, 6))
    assert _read(Answer(200, {"choices": [choice]}), probe) == heard
    assert _read(Answer(400, {"choices": [choice]}), probe) is None
