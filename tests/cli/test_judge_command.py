"""`emotone judge`: the labelling judges of the zoo need no other model, so they judge here."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from emotone.cli import main
from emotone.judges import names

pytestmark = pytest.mark.skipif(
    "en-label" not in names(),
    reason="emotone-zoo is not installed; install it with `pip install -e zoo`",
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*args: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["emotone", "judge", *args])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def test_texts_of_any_kind_of_line_get_labels_in_order(run, tmp_path: Path):
    lines = [
        json.dumps({"id": "a", "text": "I am so happy for you!"}),
        "",
        "I hate you, you idiot.",
        json.dumps({"id": 7, "text": "Thank you, that is lovely.", "system": "echo"}),
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "labels.jsonl"
    code, printed, said = run(
        "emotion", "--judge", "en-label", "-i", str(tmp_path / "texts.jsonl"), "-o", str(out)
    )
    assert (code, printed) == (0, "")
    assert "3 texts by en-label-2-" in said
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [r["id"] for r in rows] == ["a", "3", "7"]
    assert [r["label"] for r in rows] == ["joy", "anger", "joy"]
    for row in rows:
        assert list(row) == ["id", "text", "label", "scores", "judge"]
        assert sum(row["scores"].values()) == pytest.approx(1.0, abs=1e-4)


def test_stdin_to_stdout_in_chinese(run):
    code, printed, _ = run(
        "emotion", "--lang", "zh", "--judge", "zh-label", stdin="我今天特别开心！\n太恶心了\n"
    )
    assert code == 0
    assert [json.loads(line)["label"] for line in printed.splitlines()] == ["happiness", "disgust"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{broken", "line 2: no JSON object"),
        ('{"text": 5}', 'line 2: "text" is not text'),
        ('{"id": "x"}', 'line 2: "text" is not text'),
        ('{"text": "\\ud800"}', 'line 2: "text" is not text'),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(run, tmp_path: Path, line: str, says: str):
    (tmp_path / "texts.jsonl").write_text(f"fine\n{line}\n", encoding="utf-8")
    out = tmp_path / "labels.jsonl"
    out.write_text("as it was", encoding="utf-8")
    code, printed, said = run(
        "emotion", "--judge", "en-label", "-i", str(tmp_path / "texts.jsonl"), "-o", str(out)
    )
    assert (code, printed) == (2, "")
    assert f"texts.jsonl, {says}" in said
    assert out.read_text(encoding="utf-8") == "as it was"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--judge", "en-lable"), "did you mean 'en-label'"),
        (("--lang", "de"), "unknown language 'de'"),
        (("--judge", "en-label", "--taxonomy", "smp2020"), "unknown taxonomy of en-label"),
        (("--judge", "en-label", "-i", "not-there.jsonl"), "cannot read not-there.jsonl"),
    ],
)
def test_wrong_use_is_one_sentence(run, args: tuple[str, ...], says: str):
    code, printed, said = run("emotion", *args, stdin="a text\n")
    assert (code, printed) == (2, "")
    assert says in said
    assert len(said.strip().splitlines()) == 1


def test_each_text_is_judged_in_its_language_and_another_one_is_refused(run, monkeypatch):
    monkeypatch.setattr("emotone.judges.SCORE", {"en": "en-label", "zh": "zh-label"})
    texts = "I hate you!\n我很难过\n我很難過\n"
    code, printed, err = run("emotion", stdin=texts)
    rows = [json.loads(line) for line in printed.splitlines()]
    assert (code, [row["label"] for row in rows]) == (0, ["anger", "sadness", "sadness"])
    assert rows[1]["scores"] == rows[2]["scores"]  # traditional characters are read as simplified
    assert [row["judge"][:8] for row in rows] == ["en-label", "zh-label", "zh-label"]
    assert "by en-label-" in err
    code, printed, err = run("emotion", "--judge", "zh-label", stdin=texts)
    assert (code, printed) == (2, "")
    assert "text '1' is en, and zh-label reads zh; leave --judge out" in err
    assert run("emotion", "--judge", "zh-label", "--lang", "zh", stdin=texts)[0] == 0


def test_the_list_says_who_may_do_what(run):
    code, printed, _ = run("list", "--json")
    rows = {row["name"]: row for row in json.loads(printed)}
    assert code == 0
    assert rows["en-label"]["role"] == "label"
    assert rows["en-label"]["labels"] == ["ekman", "everyday"]
    assert run("list")[1].splitlines()[0].startswith("en-label")


class _Shares:
    """A judge of sense that needs no model: the share of words that a reply has from its post."""

    name = "shares-1"

    class card:
        name, lang = "shares", "en"

    def content(self, pairs):
        shares = [sum(w in p.split() for w in r.split()) / len(r.split()) for p, r in pairs]
        return [[(1 - s) * 0.8, (1 - s) * 0.2, s] for s in shares]


def test_sense_of_replies_is_judged_with_their_posts(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emotone.judges.open_sense", lambda name: _Shares())
    lines = [
        {"id": "a", "context": "my bus is late", "response": "late again"},
        {"id": "b", "context": "my bus is late", "response": "my bus is late"},
    ]
    code, printed, _ = run("sense", stdin="\n".join(map(json.dumps, lines)))
    assert code == 0
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [list(row) for row in rows] == [["id", "content", "sense", "judge"]] * 2
    assert [(row["id"], row["content"], row["sense"]) for row in rows] == [
        ("a", pytest.approx(0.1 + 2 * 0.5), 0.5),
        ("b", 2.0, 1.0),
    ]
    code, _, said = run(
        "sense", "--judge", "shares", stdin='{"id": "c", "context": "你好", "response": "你也好"}'
    )
    assert code == 2
    assert "shares judges replies in 'en', and line 'c' is in 'zh'" in said
