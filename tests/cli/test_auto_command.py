"""`--emotion auto` and points of valence and arousal, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotone.judges import hearing
from emotone.systems import steered


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steered, "load", lambda *args, **options: steered.tiny())
    monkeypatch.setattr(hearing, "_judge_of", lambda lang: None)
    monkeypatch.setattr(hearing, "LEAST", 0.0)


STEERED = ["-s", "steered", "-m", "smollm2", "--max-tokens", "4"]


def test_reply_says_what_was_heard(run, tiny):
    code, out, err = run("reply", "My dog died.", "-e", "auto:mirror:60", "--json", *STEERED)
    row = json.loads(out)
    assert code == 0
    assert row["emotion"] == row["applied"]["auto"]["chosen"]
    assert f"{row['applied']['auto']['heard']} is heard in the post" in err
    code, out, err = run("reply", "My dog died.", "-e", "auto:mirror", "--stream", *STEERED)
    assert code == 0
    assert "is heard in the post" in err


def test_a_point_prints_as_the_mix_that_it_became(run, tiny):
    point = "valence:-40 arousal:70"
    code, out, err = run("reply", "My dog died.", "-e", point, "--json", *STEERED)
    assert code == 0
    assert json.loads(out)["emotion"] == "anger:71 + surprise:21"
    assert f"{point!r} read as anger:71 + surprise:21, which lies at valence:-39" in err


def test_chat_hears_each_message(run, tiny):
    lines = "one\n/emotion auto:mirror:40\ntwo\n/emotion auto:mirrr\n/emotion\nthree\n"
    code, _, err = run("chat", *STEERED[:-2], "--max-tokens", "3", "-e", "auto", stdin=lines)
    assert code == 0
    assert err.count("is heard in the post") == 2
    assert "the mood is auto:mirror:40 from here on" in err
    assert "did you mean 'mirror'" in err


def test_generate_hears_each_line(run, tiny, tmp_path: Path):
    source, output = tmp_path / "examples.jsonl", tmp_path / "replies.jsonl"
    posts = ("one", "two", "three")
    rows = [{"id": p, "dialogue": [{"speaker": "user", "text": p}]} for p in posts]
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    again = ["generate", "-i", str(source), "-o", str(output), "-e", "auto:mirror", *STEERED]
    assert run(*again)[0] == 0
    replies = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert all(r["emotion"] == r["applied"]["auto"]["chosen"] for r in replies)
    assert len(replies) == 3
    assert run(*again)[0] == 0  # nothing is left to do
    assert run(*[x if x != "auto:mirror" else "auto:cheer" for x in again])[0] == 2


@pytest.mark.parametrize(
    ("emotion", "piece"),
    [
        ("auto", "takes no emotion, but auto:friend:100 was asked"),
        ("auto:sooth", "did you mean 'soothe'"),
        ("auto + joy", "write auto alone"),
        ("valence:400", "outside -100 to 100"),
        ("valence:30 + joy:20", "valence is an axis"),
        ("valence:0", "no emotion of ekman lies near valence:0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(run, emotion, piece):
    code, out, err = run("reply", "hello", "-s", "echo", "-e", emotion)
    assert (code, out) == (2, "")
    assert piece in err
    assert err.count("\n") == 1
