"""The recipe that measures what a push takes away."""

from __future__ import annotations

import pytest
from recipes.side_effects import make

from emotone.systems import steered
from emotone.types import Decoding, Dialogue


def test_an_answer_is_a_whole_word():
    assert make.is_right("It has Four legs!", ["4", "four"])
    assert make.is_right("In New  York, surely.", ["new york"])
    assert not make.is_right("Fourteen of them.", ["four", "4"])


def test_json_is_whole_where_it_parses_and_has_the_keys():
    task = {"kind": "json", "keys": ["name", "age"]}
    assert make.is_whole('Here: {"name": "Ann", "age": 3} Enjoy!', task)
    assert make.is_whole('{oops} {"name": "{", "age": 3}', task)
    assert not make.is_whole('{"name": "Ann"}', task)
    assert not make.is_whole('{"name": "Ann", "age": 3', task)


def test_code_is_whole_where_the_function_parses():
    task = {"kind": "code", "name": "double"}
    body = "def double(x):\n    return 2 * x"
    assert make.is_whole(f"Sure!\n```python\n{body}\n```\nWow!", task)
    assert not make.is_whole(f"Sure!\n{body}".replace("(x):", "(x)"), task)
    assert not make.is_whole(body.replace("double", "twice"), task)
    assert not make.is_whole("def double(x):", task)
    assert make.is_whole("Use `def double(x)`: def double(x): return 2 * x", task)


def test_sentences_and_scripts():
    assert make.sentences("Oh no! I am sorry... Are you? !") == [
        "Oh no!",
        "I am sorry...",
        "Are you?",
    ]
    assert make.is_foreign("I 爱 it")
    assert not make.is_foreign("Café, 3 €!")


def test_the_files_hold_what_the_page_says():
    counts = {name: len(make.rows(name)) for name in ("facts", "false_claims", "tasks", "talks")}
    assert counts == {"facts": 200, "false_claims": 60, "tasks": 40, "talks": 24}
    assert {len(row["posts"]) for row in make.rows("talks")} == {5}
    assert all(not make.is_right(f["question"], f["answers"]) for f in make.rows("facts"))
    kinds = [row["kind"] for row in make.rows("requests")]
    assert (kinds.count("decline"), kinds.count("harmless")) == (30, 30)


@pytest.fixture(scope="module")
def answerer():
    return make.Answerer(steered.tiny(), 100)


def test_emotions_take_turns_and_a_talk_goes_on(answerer):
    labels = [next(iter(mix.intensities())) for mix in answerer.emotions(7)]
    assert labels == [*make.EMOTIONS, make.EMOTIONS[0]]
    turns = make.talk(answerer, [["Hi", "And now?"], ["Hello", "Bye"]])
    assert [len(turn) for turn in turns] == [2, 2]


def test_what_is_preferred_is_likelier_by_its_mean_token(answerer):
    posts, both = ["Hi", "Bye"], ("Yes.", "No, not at all.")
    emotions = answerer.emotions(2)
    expected = []
    for i, post in enumerate(posts):
        nats = [
            answerer.system.nats([Dialogue.of(post)], [emotions[i]], [reply])[0] for reply in both
        ]
        first, second = (total / tokens for total, tokens in nats)
        expected.append(first < second)
    assert answerer.prefers(posts, both) == expected
    assert answerer.prefers(posts, both[::-1]) == [not one for one in expected]
    assert len(answerer.replies([Dialogue.of("Hi")], Decoding(max_tokens=4))) == 1


def test_the_page_has_a_row_for_each_condition():
    row = {
        "facts": 0.5, "json": 0.1, "code": 0.2, "foreign": 0.0, "agrees": 0.9, "repeats": 0.01,
        "declines_decline": 0.3, "declines_harmless": 0.4, "heard_by_turn": [0.9, 0.8],
        "sense_by_turn": [0.3, 0.2], "sense_by_sentence": [0.5, 0.1],
    }  # fmt: skip
    counts = dict.fromkeys(("facts", "false_claims", "requests", "tasks", "talks"), 3)
    results = {
        "judges": ["a", "b"],
        "counts": counts,
        "conditions": {"own-100": row},
    }
    page = make.page(results)
    assert (
        "| the companion at 100 | 0.50 | 0.90 | 0.30 | 0.40 | 0.10 | 0.20 | 0.00 | 0.01 |" in page
    )
