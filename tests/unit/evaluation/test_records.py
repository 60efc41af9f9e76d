"""The lines of `examples.jsonl` and `replies.jsonl`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emotone.data import examples as rows
from emotone.emotions import EMPATHETIC, NLPCC, EmotionMix
from emotone.errors import DataError
from emotone.evaluation.records import read_examples, reply_line, turns
from emotone.types import Dialogue, Example, Post, Reply, Speaker


def read(*lines: str, taxonomy=None) -> list[Example]:
    return list(read_examples(lines, "posts.jsonl", taxonomy))


def test_a_long_line_is_read_whole():
    line = {
        "id": "a7",
        "dialogue": [
            {"speaker": "user", "text": "Hi."},
            {"speaker": "assistant", "text": "Hello!"},
            {"text": "I lost my keys."},
        ],
        "emotion": "happy:60 + fear:20",
        "reply": "Oh no.",
        "lang": "zh",
        "unknown keys": "are left alone",
    }
    assert read(json.dumps(line)) == [
        Example(
            "a7",
            Dialogue((Post("Hi."), Post("Hello!", Speaker.ASSISTANT), Post("I lost my keys."))),
            EmotionMix.parse("joy:60 + fear:20"),
            "Oh no.",
            "zh",
        )
    ]


def test_a_short_line_is_a_post_with_what_it_says():
    assert read('{"post": "Hi."}') == [Example("1", Dialogue.of("Hi."))]
    assert read('{"post": "Hi.", "emotion": "joy", "reply": "Ha!", "id": 7}') == [
        Example("7", Dialogue.of("Hi."), EmotionMix.parse("joy"), "Ha!")
    ]


def test_null_is_the_same_as_absent():
    plain = read('{"post": "Hi."}')
    assert read('{"post": "Hi.", "emotion": null, "reply": null, "id": null}') == plain


def test_a_line_without_id_gets_its_line_number_and_empty_lines_count():
    made = read('{"post": "a"}\n', "\n", "   \n", '{"post": "b"}\n', '{"post": "c", "id": "x"}\n')
    assert [e.id for e in made] == ["1", "4", "x"]


def test_emotions_are_read_against_the_labels_given():
    line = '{"post": "a", "emotion": "happy"}'
    for taxonomy, label in ((None, "joy"), (NLPCC, "happiness"), (EMPATHETIC, "joyful")):
        (made,) = read(line, taxonomy=taxonomy)
        assert made.emotion is not None
        assert made.emotion.intensities() == {label: 100.0}


MALFORMED = {
    "no JSON": "hello",
    "half a line": '{"post": "a"',
    "two objects": '{"post": "a"} {"post": "b"}',
    "byte order mark": '\ufeff{"post": "a"}',
    "a list": '["a"]',
    "a text": '"a"',
    "a number": "3",
    "null": "null",
    "very deep": "[" * 100_000,
    "a huge number": '{"post": "a", "id": ' + "9" * 5000 + "}",
    "neither post nor dialogue": '{"text": "a"}',
    "empty object": "{}",
    "empty post": '{"post": ""}',
    "blank post": '{"post": " \\n"}',
    "post is a number": '{"post": 3}',
    "post is null": '{"post": null}',
    "post is a list": '{"post": ["a"]}',
    "post is half a character": '{"post": "a \\ud83d"}',
    "dialogue is a text": '{"dialogue": "a"}',
    "dialogue is null": '{"dialogue": null}',
    "dialogue is an object": '{"dialogue": {"text": "a"}}',
    "dialogue is empty": '{"dialogue": []}',
    "turn is a text": '{"dialogue": ["a"]}',
    "turn without text": '{"dialogue": [{"speaker": "user"}]}',
    "turn with empty text": '{"dialogue": [{"text": ""}]}',
    "turn with a number": '{"dialogue": [{"text": 3}]}',
    "turn of a stranger": '{"dialogue": [{"speaker": "bot", "text": "a"}]}',
    "turn of a list": '{"dialogue": [{"speaker": ["user"], "text": "a"}]}',
    "turn of nobody": '{"dialogue": [{"speaker": null, "text": "a"}]}',
    "assistant last": '{"dialogue": [{"speaker": "assistant", "text": "a"}]}',
    "unknown emotion": '{"post": "a", "emotion": "hapiness"}',
    "intensity out of range": '{"post": "a", "emotion": "joy:101"}',
    "empty emotion": '{"post": "a", "emotion": ""}',
    "emotion is a number": '{"post": "a", "emotion": 3}',
    "emotion is an object": '{"post": "a", "emotion": {"joy": 60}}',
    "reply is a number": '{"post": "a", "reply": 3}',
    "reply is half a character": '{"post": "a", "reply": "\\udc00"}',
    "unknown language": '{"post": "a", "lang": "fr"}',
    "language is a list": '{"post": "a", "lang": ["en"]}',
    "id is a list": '{"post": "a", "id": [1]}',
    "id is an object": '{"post": "a", "id": {}}',
    "id is true": '{"post": "a", "id": true}',
    "id is a fraction": '{"post": "a", "id": 1.5}',
    "id is half a character": '{"post": "a", "id": "\\ud800"}',
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_line_is_refused_with_file_and_line(line: str):
    with pytest.raises(DataError, match=r"^posts\.jsonl, line 3: \S.*") as caught:
        read('{"post": "fine"}', "", line, '{"post": "never reached"}')
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"post": "a", "emotion": "hapiness"}', "did you mean 'happiness'?"),
        ('{"post": "a", "emotion": "joy:101"}', "outside -100 to 100"),
        ('{"dialogue": [{"speaker": "bot", "text": "a"}]}', '\'bot\'; use "user" or "assistant"'),
        ('{"post": "a", "lang": "fr"}', '"lang" is \'fr\'; use "en" or "zh"'),
        ('{"post": 3}', '"post" is a whole number; it must be text'),
        ('{"text": "a"}', 'neither "dialogue" nor "post" is there'),
        ("[]", "a list where a JSON object is needed"),
    ],
)
def test_the_message_says_what_is_wrong(line: str, said: str):
    with pytest.raises(DataError) as caught:
        read(line)
    assert said in str(caught.value)


def test_lines_before_a_malformed_one_are_handed_out_first():
    lines = read_examples(['{"post": "a"}', "oops"], "posts.jsonl")
    assert next(lines).dialogue == Dialogue.of("a")
    with pytest.raises(DataError, match="line 2"):
        next(lines)


def test_a_line_beyond_the_limit_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows, "MAX_LINE", 30)
    assert read('{"post": "' + "a" * 18 + '"}')
    with pytest.raises(DataError, match="line 1: the line is 31 characters long"):
        read('{"post": "' + "a" * 19 + '"}')


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "joy", "joy:60 + fear", "en", "zh", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["speaker", "text", "post", "x"]) | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
_keys = ("id", "dialogue", "post", "emotion", "reply", "lang")
_turn = st.fixed_dictionaries({}, optional={"speaker": _json, "text": _json | st.text()})
_rows = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(_keys, _json) | {"dialogue": st.lists(_turn, max_size=3) | _json},
)


def _read_or_refuse(line: str) -> Example | None:
    said = "posts.jsonl, line 1: "
    made = None
    try:
        made = read(line)
    except DataError as error:
        said = str(error)
    assert said.startswith("posts.jsonl, line 1: ")
    return made[0] if made else None


@given(st.text())
@example("\x00")
@example('{"post": "\x00"}')
def test_arbitrary_text_is_an_example_or_a_data_error_and_nothing_else(line: str):
    _read_or_refuse(line)


@given(_rows)
def test_arbitrary_json_is_an_example_or_a_data_error_and_nothing_else(row: dict[str, Any]):
    made = _read_or_refuse(json.dumps(row))
    if made is not None:
        # What was read can be answered and written in UTF-8.
        reply_line(made, Reply("a", made.emotion, "echo", "none", 0, 1)).encode()


@st.composite
def examples(draw: st.DrawFn) -> Example:
    text = st.text(min_size=1, max_size=30).filter(lambda t: bool(t.strip()))
    posts = draw(st.lists(st.builds(Post, text, st.sampled_from(list(Speaker))), max_size=3))
    posts.append(Post(draw(text)))
    emotion = draw(
        st.none()
        | st.dictionaries(
            st.sampled_from(["joy", "fear", "anger"]), st.floats(-100, 100), min_size=1
        ).map(EmotionMix.of)
    )
    reply, lang = draw(st.none() | st.text()), draw(st.sampled_from(["en", "zh"]))
    return Example(draw(st.text(max_size=8)), Dialogue(tuple(posts)), emotion, reply, lang)


@given(examples())
def test_a_reply_line_holds_the_example_so_that_it_can_be_read_again(wanted: Example):
    reply = Reply("Aha.", wanted.emotion, "mine", "tiny", 7, 3, -1.5, {"tier": "bias"})
    line = reply_line(wanted, reply)
    assert "\n" not in line
    row = json.loads(line)
    (again,) = read(json.dumps({**row, "reply": row["reference"]}))
    assert again == wanted
    rest = {k: row[k] for k in ("text", "system", "model", "seed", "logprob", "tokens", "applied")}
    assert rest == {
        "text": "Aha.",
        "system": "mine",
        "model": "tiny",
        "seed": 7,
        "logprob": -1.5,
        "tokens": 3,
        "applied": {"tier": "bias"},
    }


def test_a_reply_line_has_the_keys_of_the_contract_in_order():
    line = reply_line(read('{"post": "悲伤"}')[0], Reply("好", None, "echo", "none", 0, 1))
    assert list(json.loads(line)) == [
        "id",
        "dialogue",
        "reference",
        "text",
        "emotion",
        "system",
        "model",
        "lang",
        "seed",
        "logprob",
        "tokens",
        "finish_reason",
        "applied",
    ]
    assert "悲伤" in line  # written as people read it


def test_turns_are_speaker_and_text():
    dialogue = Dialogue((Post("a", Speaker.ASSISTANT), Post("b")))
    assert turns(dialogue) == [
        {"speaker": "assistant", "text": "a"},
        {"speaker": "user", "text": "b"},
    ]
