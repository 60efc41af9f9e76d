"""Replies for files: shards, batches and restarts change no reply."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emotone
from emotone.emotions import EmotionMix
from emotone.errors import ConfigError, DataError, Unsupported, UsageError
from emotone.evaluation.generate import finished, generate, share_of
from emotone.systems import prompted
from emotone.systems.echo import Echo
from emotone.types import Decoding, Dialogue, Example

SHORT = Decoding(max_tokens=5, seed=40)


def some(count: int) -> list[Example]:
    moods = (None, EmotionMix.parse("joy"), EmotionMix.parse("sadness:30"))
    return [Example(f"x{i}", Dialogue.of("word " * (i + 1)), moods[i % 3]) for i in range(count)]


def written(responder: Any, rows: list[tuple[int, Example]], **options: Any) -> list[dict]:
    out = io.StringIO()
    count = generate(responder, rows, out, decoding=SHORT, **options)
    made = [json.loads(line) for line in out.getvalue().splitlines()]
    assert count == len(made)
    return made


@pytest.fixture(scope="module")
def system() -> prompted.Prompted:
    return prompted.tiny()


@pytest.fixture(scope="module")
def whole(system: prompted.Prompted) -> list[dict]:
    """Each of seven examples answered alone: what every other way has to give."""
    rows = list(enumerate(some(7)))
    return [line for row in rows for line in written(system, [row], batch=1)]


def same(left: list[dict], right: list[dict]) -> bool:
    """Equal but for rounding in the log-probability, whose batches differ."""
    bare = [[{**row, "logprob": 0} for row in rows] for rows in (left, right)]
    near = all(
        a["logprob"] == pytest.approx(b["logprob"], abs=1e-3)
        for a, b in zip(left, right, strict=True)
    )
    return bare[0] == bare[1] and near


# -- shards -----------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 70))
def test_shards_partition_the_file_exactly_and_in_order(count: int, parts: int):
    rows = [Example(str(i), Dialogue.of("a")) for i in range(count)]
    shares = [share_of(rows, f"{k}/{parts}") for k in range(1, parts + 1)]
    assert [row for share in shares for row in share] == list(enumerate(rows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    "part", ["", "1", "/", "1/", "/2", "0/2", "3/2", "1/0", "-1/2", "1/-2", "1/2/3", "a/b", "1.0/2"]
)
def test_a_share_that_is_no_share_is_refused(part: str):
    with pytest.raises(UsageError, match=r"is not i/n with 1 <= i <= n; write for instance 2/4"):
        share_of(some(3), part)


# -- rows -------------------------------------------------------------------------------------


def test_one_line_an_example_in_order_with_its_own_emotion_and_the_seed_of_its_place(whole):
    assert [row["id"] for row in whole] == [f"x{i}" for i in range(7)]
    assert [row["seed"] for row in whole] == [40 + i for i in range(7)]
    moods = [None, "joy:100", "sadness:30"]
    assert [row["emotion"] for row in whole] == [moods[i % 3] for i in range(7)]


@pytest.mark.parametrize("batch", [2, 3, 16])
def test_the_batch_size_changes_no_reply(system, whole, batch: int):
    assert same(written(system, list(enumerate(some(7))), batch=batch), whole)


@pytest.mark.parametrize("parts", [2, 3, 7, 9])
def test_shards_together_are_the_whole(system, whole, parts: int):
    rows = some(7)
    made = [
        line
        for k in range(1, parts + 1)
        for line in written(system, share_of(rows, f"{k}/{parts}"), batch=2)
    ]
    assert same(made, whole)


@pytest.mark.parametrize("done", [{"x0"}, {"x1", "x4"}, {"x6"}, {f"x{i}" for i in range(7)}])
def test_done_ids_are_skipped_and_the_others_keep_their_replies(system, whole, done: set[str]):
    made = written(system, list(enumerate(some(7))), batch=3, done=done)
    assert same(made, [row for row in whole if row["id"] not in done])


def test_a_given_emotion_overrides_the_examples_own(system):
    made = written(system, list(enumerate(some(4))), emotion=EmotionMix.parse("fear"))
    assert [row["emotion"] for row in made] == ["fear:100"] * 4


def test_a_system_without_emotions_answers_without_the_examples_own():
    made = written(Echo(), list(enumerate(some(4))))
    assert [row["emotion"] for row in made] == [None] * 4
    assert made[2]["text"] == "word word word"


def test_lines_are_flushed_and_counted_batch_by_batch():
    class Flushes(io.StringIO):
        marks: tuple[int, ...] = ()

        def flush(self) -> None:
            self.marks = (*self.marks, len(self.getvalue().splitlines()))

    out, counts = Flushes(), []
    rows = list(enumerate(some(7)))
    generate(Echo(), rows, out, decoding=SHORT, batch=3, progress=counts.append)
    assert counts == [3, 3, 1]
    assert [m for m in dict.fromkeys(out.marks) if m] == [3, 6, 7]


# -- restarts ---------------------------------------------------------------------------------


def test_every_cut_of_a_killed_run_is_taken_up_and_ends_as_the_unbroken_one(tmp_path: Path):
    rows = list(enumerate(some(2)))
    out = io.StringIO()
    generate(Echo(), rows, out, decoding=SHORT)
    blob = out.getvalue().encode()
    path = tmp_path / "replies.jsonl"
    for cut in range(len(blob) + 1):
        path.write_bytes(blob[:cut])
        done = finished(path)
        assert path.read_bytes() == blob[: blob.rfind(b"\n", 0, cut) + 1]
        with path.open("a", encoding="utf-8") as file:
            generate(Echo(), rows, file, decoding=SHORT, done=done)
        assert path.read_bytes() == blob


def test_no_file_means_nothing_is_finished(tmp_path: Path):
    assert finished(tmp_path / "none.jsonl") == set()
    assert not (tmp_path / "none.jsonl").exists()


def test_separators_inside_a_text_end_no_line(tmp_path: Path):
    text = "a\u2028b\u0085c\x0bd\x1ce\rf"
    path = tmp_path / "replies.jsonl"
    with path.open("w", encoding="utf-8") as out:
        generate(Echo(), [(0, Example("x0", Dialogue.of(text)))], out, decoding=SHORT)
    assert finished(path) == {"x0"}


@pytest.mark.parametrize("line", ["hello", "[]", "3", "{}", '{"text": "a"}', "", "\ud800"])
def test_a_file_that_holds_something_else_is_left_alone_and_refused(tmp_path: Path, line: str):
    path = tmp_path / "notes.txt"
    path.write_bytes(('{"id": "x0"}\n' + line + "\n").encode(errors="surrogatepass"))
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"notes\.txt, line 2 is not a reply; name another"):
        finished(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["my only copy", '{"id": "x0"}\nnotes', "a\nb", '{"text": "a'])
def test_a_last_line_that_is_no_half_reply_is_not_cut_off(tmp_path: Path, text: str):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=r"notes\.txt, line \d is not a reply"):
        finished(path)
    assert path.read_text() == text


def test_a_file_is_answered_in_python_as_by_the_command_and_goes_on(tmp_path: Path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"post": "one", "emotion": "joy"}\n{"post": "two"}\n', encoding="utf-8")
    notes: list[str] = []
    assert emotone.generate(source, output, system="echo", note=notes.append) == 2
    lines = output.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "two"]
    assert notes == ["echo takes no emotion; those of the examples are left out"]
    assert emotone.generate(source, output, system="echo") == 0
    with pytest.raises(ConfigError, match=r"with other decoding\.seed \(0 then, 3 now\)"):
        emotone.generate(source, output, system="echo", decoding=Decoding(seed=3))
    again = emotone.generate(source, output, system="echo", decoding=Decoding(seed=3), restart=True)
    assert again == 2
    with pytest.raises(Unsupported, match="takes no empathy levels"):
        emotone.generate(source, system="echo", empathy="reaction:1 interpretation:1 exploration:1")
    with pytest.raises(ConfigError, match="unknown key 'x'"):
        emotone.generate(source, system="echo", settings={"x": 1})
