"""`--empathy` of reply, chat and generate, and `/empathy` in a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from emotone.systems import emprl
from emotone.types import EmpathyLevels

HIGH = "reaction:2 interpretation:1 exploration:2"
SHORT = ["-s", "emprl", "--max-tokens", "6"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, EmpathyLevels | None]]:
    """What the tiny system was asked: by which method, and with which levels."""
    seen: list[tuple[str, EmpathyLevels | None]] = []
    reply, stream = emprl.EmpRL.reply, emprl.EmpRL.stream

    def spy(self, dialogues, emotions, *, decoding, empathy=None):
        seen.extend(("reply", level) for level in empathy)
        return reply(self, dialogues, emotions, decoding=decoding, empathy=empathy)

    def spy_stream(self, dialogue, emotion, *, decoding):
        seen.append(("stream", None))
        return stream(self, dialogue, emotion, decoding=decoding)

    monkeypatch.setattr(emprl.EmpRL, "reply", spy)
    monkeypatch.setattr(emprl.EmpRL, "stream", spy_stream)
    monkeypatch.setattr(emprl, "load", lambda model=None, *, device, config: emprl.tiny())
    return seen


def test_reply_asks_for_levels_in_any_order(run, asked):
    code, _, err = run(
        "reply", "hi", *SHORT, "--empathy", "Exploration:2, emotional_reactions=2 interpretation:1"
    )
    assert (code, err) == (0, "")
    assert asked == [("reply", EmpathyLevels(2, 1, 2))]
    code, said, _ = run("reply", "hi", *SHORT, "--empathy", HIGH, "-e", "joy:50", "--json")
    row = json.loads(said)
    assert row["applied"]["empathy"] == HIGH
    assert row["applied"]["identifier"] == "tiny-identifier"
    assert 0 < row["applied"]["probability"] < 1
    assert row["applied"]["dose"] == {"joy": 0.5}
    assert row["emotion"] == "joy:50"


def test_no_levels_are_none(run, asked):
    assert run("reply", "hi", *SHORT)[0] == 0
    assert asked == [("reply", None)]


@pytest.mark.parametrize("command", [["reply", "hi"], ["chat"], ["generate", "-i", "-"]])
@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("reaction:2", "leaves out interpretation and exploration"),
        ("warmth:2", "'warmth:2' cannot be read"),
        ("reaction:3 interpretation:1 exploration:0", "'reaction:3' cannot be read"),
        ("", "leaves out"),
    ],
)
def test_levels_that_cannot_be_read_are_one_sentence_before_a_model_is_loaded(
    run, monkeypatch, command, text, piece
):
    monkeypatch.setattr(emprl, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    code, out, err = run(*command, "-s", "emprl", "--empathy", text, stdin='{"post": "hi"}\n')
    assert (code, out) == (2, "")
    assert piece in err
    assert "as in 'reaction:2 interpretation:1 exploration:0'" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", [["reply", "hi"], ["chat"], ["generate", "-i", "-"]])
def test_a_system_without_empathy_refuses_levels(run, command):
    code, out, err = run(*command, "-s", "echo", "--empathy", HIGH, stdin='{"post": "hi"}\n')
    assert (code, out) == (2, "")
    assert "echo takes no empathy levels" in err
    assert "leave them out, or use the system emprl" in err


def test_chat_streams_without_levels_and_chooses_with_them(run, asked):
    lines = ["one", f"/empathy {HIGH}", "two", "/again", "/empathy", "three"]
    code, _, err = run("chat", *SHORT, stdin="\n".join(lines))
    assert code == 0
    high = EmpathyLevels(2, 1, 2)
    assert asked == [("stream", None), ("reply", high), ("reply", high), ("stream", None)]
    assert f"empathy {HIGH} is asked from here on" in err


def test_chat_begins_with_levels(run, asked):
    assert run("chat", *SHORT, "--empathy", HIGH, stdin="one\n")[0] == 0
    assert asked == [("reply", EmpathyLevels(2, 1, 2))]


def test_a_wrong_empathy_line_does_not_end_a_conversation(run):
    code, out, err = run(
        "chat", "-s", "echo", stdin=f"/empathy nice\n/empathy {HIGH}\n/empathy\nhi\n"
    )
    assert (code, out) == (0, "hi\n")
    assert "'nice' cannot be read" in err
    assert "echo takes no empathy levels" in err


def test_generate_asks_every_row_and_does_not_go_on_with_other_levels(run, asked, tmp_path):
    out = tmp_path / "replies.jsonl"
    source = tmp_path / "in.jsonl"
    source.write_text('{"post": "hi"}\n{"post": "oh"}\n')
    command = ["generate", "-i", str(source), "-o", str(out), *SHORT]
    assert run(*command, "--empathy", HIGH)[0] == 0
    assert asked == [("reply", EmpathyLevels(2, 1, 2))] * 2
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["applied"]["empathy"] for row in rows] == [HIGH, HIGH]
    code, _, err = run(*command)
    assert code == 2
    assert f'was begun with other empathy ("{HIGH}" then, null now)' in err
    assert run(*command, "--empathy", "exploration:2 interpretation:1 reaction:2")[0] == 0
