"""Reading `replies.jsonl`: what was written comes back; what is no reply is told with a place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.emotions import EKMAN, NLPCC, EmotionMix
from emotone.errors import DataError
from emotone.evaluation.records import read_replies, read_replies_files, reply_line
from emotone.types import Dialogue, Example, Post, Reply, Speaker

GOOD = {
    "id": "a",
    "dialogue": [{"speaker": "user", "text": "hi"}],
    "text": "hello",
    "system": "echo",
    "model": "none",
}

texts = st.text(st.characters(codec="utf-8"), max_size=30)
words = texts.filter(str.strip)
numbers = st.floats(-100, 100).map(lambda x: round(x, 3) + 0.0)
moods = st.one_of(
    st.none(),
    *(
        st.dictionaries(st.sampled_from(t.labels), numbers, min_size=1, max_size=3).map(
            lambda m, t=t: EmotionMix.of(m, t)
        )
        for t in (EKMAN, NLPCC)
    ),
)


@given(words, words, words, texts, moods, st.none() | texts, st.none() | st.floats(-1e6, 0))
def test_a_reply_that_was_written_is_read_as_it_was(first, second, last, text, mood, ref, logprob):
    posts = (Post(first), Post(second, Speaker.ASSISTANT), Post(last))
    example = Example("a1", Dialogue(posts), None, ref, "zh")
    reply = Reply(text, mood, "s", "m", 7, 3, logprob, {"dose": {"joy": 0.5}})
    line = reply_line(example, reply)
    assert list(read_replies([line, "  "], "r.jsonl")) == [(example, reply)]


def test_ekman_needs_no_key_and_other_label_sets_have_one():
    example = Example("a", Dialogue.of("hi"))
    rows = [
        json.loads(reply_line(example, Reply("t", mood, "s", "m", 0, 1)))
        for mood in (None, EmotionMix.parse("joy"), EmotionMix.parse("like", NLPCC))
    ]
    assert [r.get("taxonomy") for r in rows] == [None, None, "nlpcc"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": None}, '"text" is nothing; it must be text'),
        ({"text": 3}, '"text" is a whole number'),
        ({"text": "a\ud800"}, "surrogate"),
        ({"system": []}, '"system" is a list'),
        ({"model": None}, '"model" is nothing'),
        ({"seed": -1}, '"seed" is -1'),
        ({"seed": True}, '"seed" is True'),
        ({"tokens": 1.5}, '"tokens" is 1.5'),
        ({"logprob": "x"}, "\"logprob\" is 'x'"),
        ({"logprob": float("nan")}, '"logprob" is nan'),
        ({"applied": []}, None),
        ({"applied": [1]}, '"applied" is a list'),
        ({"reference": 3}, '"reference" is a whole number'),
        ({"emotion": "hapiness"}, "did you mean"),
        ({"emotion": "like"}, "unknown emotion"),
        ({"taxonomy": "nlpc"}, "did you mean 'nlpcc'"),
        ({"dialogue": []}, "dialogue is empty"),
        ({"lang": "fr"}, '"lang"'),
    ],
)
def test_a_wrong_value_is_told_with_file_and_line(change: dict, said: str | None):
    lines = [json.dumps(GOOD), "", json.dumps({**GOOD, **change})]
    if said is None:
        assert len(list(read_replies(lines, "r.jsonl"))) == 2
        return
    with pytest.raises(DataError, match=r"^r\.jsonl, line 3: ") as caught:
        list(read_replies(lines, "r.jsonl"))
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["text", "system", "model", "dialogue"])
def test_a_missing_key_is_named(key: str):
    row = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(DataError, match=f'line 1: .*"{key}"'):
        list(read_replies([json.dumps(row)], "r.jsonl"))


@pytest.mark.parametrize("line", ["hello", "[]", "3", "null", '{"id": "a"}', "{", "[" * 100_000])
def test_what_is_no_reply_is_refused(line: str):
    with pytest.raises(DataError, match=r"^r\.jsonl, line 1: "):
        list(read_replies([line], "r.jsonl"))


def test_files_are_one_run_and_the_same_reply_twice_is_refused(tmp_path: Path):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text(json.dumps(GOOD) + "\n")
    two.write_text(json.dumps({**GOOD, "emotion": "joy"}) + "\n")
    assert [r.text for _, r in read_replies_files([one, two])] == ["hello", "hello"]
    with pytest.raises(DataError, match=r"one\.jsonl: example 'a' is answered twice by echo"):
        read_replies_files([one, one])


@pytest.mark.parametrize("blob", [b"", b"\n \n", b"\xff\xfe"])
def test_a_file_without_replies_is_refused_by_name(tmp_path: Path, blob: bytes):
    path = tmp_path / "none.jsonl"
    path.write_bytes(blob)
    with pytest.raises(DataError, match=r"none\.jsonl"):
        read_replies_files([path])
    with pytest.raises(DataError, match=r"cannot read .*absent\.jsonl"):
        read_replies_files([tmp_path / "absent.jsonl"])
