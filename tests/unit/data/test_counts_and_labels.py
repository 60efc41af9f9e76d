"""Counting, mapping and labelling examples."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.data.label import labelled
from emotone.data.relabel import relabel
from emotone.data.stats import collect, table
from emotone.emotions import EKMAN, GOEMOTIONS, NLPCC, EmotionMix, Taxonomy
from emotone.errors import UnknownName
from emotone.types import Dialogue, EmotionScores, EmpathyLevels, Example, Post, Speaker


def one(name: str, post: str, reply: str | None = None, **more) -> Example:
    return Example(name, Dialogue.of(post), reply=reply, **more)


def test_counts_of_a_small_file():
    sad = NLPCC.parse("sadness")
    made = [
        one("1", "我 很难过", "别哭", lang="zh", emotion=EmotionMix.parse("like", NLPCC)),
        Example("2", Dialogue((Post("我很难过", emotion=sad),)), None, "别 哭", "zh"),
        one("3", "We won two games", empathy=EmpathyLevels(0, 1, 2)),
        one("3", "We lost", "Oh no", emotion=EmotionMix.parse("anger:50", NLPCC)),
        Example(
            "5",
            Dialogue((Post("We lost"), Post("Oh no", Speaker.ASSISTANT), Post("Yes"))),
            reply="Hm",
        ),
    ]
    assert collect(made).as_dict() == {
        "examples": 5,
        "conversations": 4,
        "replies": 4,
        "turns": 7,
        "mean_length": {
            "en": {"unit": "words", "post": 7 / 3, "reply": 1.5},
            "zh": {"unit": "characters", "post": 4.0, "reply": 2.0},
        },
        "taxonomies": ["nlpcc"],
        "emotions": {
            "like": {"post": 0, "reply": 1},
            "sadness": {"post": 1, "reply": 0},
            "-": {"post": 4, "reply": 3},
        },
        "empathy": {"reaction": [1, 0, 0], "interpretation": [0, 1, 0], "exploration": [0, 0, 1]},
        "duplicates": 1,
        "same_ids": 1,
    }


def test_a_conversation_goes_on_only_from_all_that_was_said():
    a, b, c, d = (Post(text, speaker) for text, speaker in zip(
        "abcd", (Speaker.USER, Speaker.ASSISTANT, Speaker.USER, Speaker.USER), strict=True
    ))  # fmt: skip
    rows = [
        (a,), (a,),  # two replies to one post
        (a, b, c),
        (a, b, d),  # the same opening, another conversation
        (Post("a"),),
        (Post("a", Speaker.ASSISTANT), Post("b")),  # who replies is the assistant
    ]  # fmt: skip
    made = [Example(str(i), Dialogue(posts), reply="x") for i, posts in enumerate(rows)]
    assert [collect(made[:n]).conversations for n in range(1, 7)] == [1, 1, 1, 2, 3, 3]


def test_the_table_has_posts_beside_replies():
    made = [one("1", "a", "b", emotion=EmotionMix.parse("joy")), one("2", "c")]
    lines = table(collect(made)).splitlines()
    assert "mean words (en): post 1.00, reply 1.00" in lines
    assert lines[-3:] == ["emotion  post  reply", "joy         0      1", "-           2      0"]


def test_nothing_is_counted_as_nothing():
    assert collect([]).examples == 0
    assert "examples: 0" in table(collect([]))


def test_emotions_are_mapped_by_the_tables():
    made = Example(
        "x",
        Dialogue((Post("a", emotion=GOEMOTIONS.parse("remorse")),)),
        EmotionMix.of({"joy": -60, "love": 30, "fear": 10}, GOEMOTIONS),
    )
    mapped = relabel(made, EKMAN)
    assert mapped.dialogue.posts[0].emotion == EKMAN.parse("sadness")
    assert mapped.emotion == EmotionMix.of({"joy": -60, "fear": 10}, EKMAN)
    assert relabel(mapped, EKMAN) == mapped
    with pytest.raises(UnknownName, match="emotion map 'ekman -> goemotions'"):
        relabel(mapped, GOEMOTIONS)


class Ears:
    """Hears the first letter, and counts how much it was asked at once."""

    name = "ears@1"
    taxonomy = Taxonomy("letters", tuple("abcdefgh"))

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        self.sizes.append(len(texts))
        return [EmotionScores(text[0], {text[0]: 1.0}) for text in texts]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.sampled_from("abcdefgh"))),
    st.integers(1, 5),
)
def test_a_judge_s_labels_go_to_the_right_texts(pairs: list[tuple[str, str | None]], batch: int):
    ears = Ears()
    made = [one(str(i), post, reply) for i, (post, reply) in enumerate(pairs)]
    got = list(labelled(made, lambda *_: ears, batch=batch))
    heard = [
        (e.dialogue.posts[-1].emotion.label, e.emotion.parts[0][0].label if e.emotion else None)
        for e in got
        if e.dialogue.posts[-1].emotion
    ]
    assert heard == pairs
    assert [e.reply for e in got] == [reply for _, reply in pairs]
    assert len(ears.sizes) == -(-len(pairs) // batch)
    assert all(size <= 2 * batch for size in ears.sizes)


def test_labels_of_another_set_are_taken_off_earlier_posts():
    ears = Ears()
    first = Post("x", Speaker.ASSISTANT, EKMAN.parse("joy"))
    second = Post("y", Speaker.ASSISTANT, next(iter(ears.taxonomy)))
    made = Example("1", Dialogue((first, second, Post("b", emotion=EKMAN.parse("joy")))))
    (got,) = labelled([made], lambda *_: ears, overwrite=True)
    assert [post.emotion for post in got.dialogue.posts] == [
        None,
        second.emotion,
        ears.taxonomy.parse("b"),
    ]
