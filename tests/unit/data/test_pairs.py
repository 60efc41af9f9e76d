"""Examples as pairs of ids."""

from __future__ import annotations

import numpy as np
import pytest

from emotone.data.pairs import NO_EMOTION, Pair, encode
from emotone.data.vocab import UNK, Vocabulary
from emotone.emotions import EKMAN, NLPCC, EmotionMix
from emotone.errors import DataError
from emotone.types import Dialogue, Example, Post, Speaker

WORDS = Vocabulary.build([["i", "am", "sad", "why", "?"]])


def example(post: str, reply: str | None, emotion: str | None = None) -> Example:
    mix = None if emotion is None else EmotionMix.parse(emotion, EKMAN)
    return Example("7", Dialogue.of(post), mix, reply)


def ids(*words: str) -> tuple[int, ...]:
    return tuple(WORDS.ids(words))


EXAMPLES = (
    example("I am sad", "why?", "sadness"),
    example("Why?", "<pad> I am blue", "neutral"),
    example("sad", "sad", None),
)


def test_posts_replies_and_emotions_come_in_order():
    pairs = encode(EXAMPLES, WORDS, EKMAN)
    assert len(pairs) == 3
    assert list(pairs) == [
        Pair(ids("i", "am", "sad"), ids("why", "?"), EKMAN.labels.index("sadness")),
        Pair(ids("why", "?"), (UNK, UNK, UNK, *ids("i", "am"), UNK), EKMAN.labels.index("neutral")),
        Pair(ids("sad"), ids("sad"), NO_EMOTION),
    ]
    assert pairs[-1] == pairs[2]
    assert pairs.rows(np.array([2, 0])) == [pairs[2], pairs[0]]
    with pytest.raises(IndexError):
        pairs[3]


def test_lengths_and_kinds_of_the_arrays():
    pairs = encode(EXAMPLES, WORDS, EKMAN)
    assert pairs.post_lengths.tolist() == [3, 2, 1]
    assert pairs.reply_lengths.tolist() == [2, 6, 1]
    assert (pairs.posts.dtype, pairs.replies.dtype) == (np.int32, np.int32)
    assert len(encode([], WORDS)) == 0


def test_without_a_taxonomy_there_is_no_emotion():
    assert encode(EXAMPLES, WORDS).emotions.tolist() == [NO_EMOTION] * 3


def test_emotions_of_another_set_are_mapped():
    assert encode(EXAMPLES, WORDS, NLPCC).emotions.tolist() == [2, 0, NO_EMOTION]


def test_long_texts_keep_their_first_words():
    pairs = encode(EXAMPLES, WORDS, post_words=2, reply_words=1)
    assert [(len(p.post), len(p.reply)) for p in pairs] == [(2, 1), (2, 1), (1, 1)]
    assert pairs[0].post == ids("i", "am")


def test_only_the_last_post_is_read():
    dialogue = Dialogue((Post("why?"), Post("why?", Speaker.ASSISTANT), Post("sad")))
    assert encode([Example("1", dialogue, None, "why?")], WORDS)[0].post == ids("sad")


def test_chinese_is_cut_into_words():
    words = Vocabulary.build([["今天", "开心"]])
    pairs = encode([Example("1", Dialogue.of("今天开心"), None, "开心", "zh")], words)
    assert pairs[0] == Pair((4, 5), (5,))


def test_a_missing_reply_or_a_mix_is_refused():
    with pytest.raises(DataError, match="example '7' has no reply"):
        encode([example("why?", None)], WORDS)
    with pytest.raises(DataError, match="'7' has the emotion 'joy:60'; give one emotion"):
        encode([example("why?", "why?", "joy:60")], WORDS, EKMAN)
