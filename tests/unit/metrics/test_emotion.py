"""Asked against judged emotions: what counts, what is mapped, what is at chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from emotone.emotions import EKMAN, EMPATHETIC, NLPCC, Emotion, Taxonomy
from emotone.errors import DataError, UnknownName, Unsupported
from emotone.metrics import RunFacts
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import SumStats
from emotone.metrics.common import one_taxonomy, unsaid
from unit.metrics.doubles import WordJudge, build, corpora, pair


def stats(name: str, pairs, **changes) -> SumStats:
    found = build(name, **changes).stats(pairs)
    assert isinstance(found, SumStats)
    return found


def value(name: str, pairs, **changes) -> float:
    return stats(name, pairs, **changes).value()


@pytest.mark.parametrize(
    ("mix", "label"),
    [
        ("joy", "joy"),
        ("joy:40", "joy"),
        ("joy:0", None),
        ("joy:-40", None),
        ("joy:60 + fear:20", None),
        (None, None),
    ],
)
def test_one_emotion_above_zero_counts_at_any_intensity(mix, label):
    emotion = asked_emotion(pair("a", None, mix)[1])
    assert (None if emotion is None else emotion.label) == label


def test_accuracy_counts_only_replies_with_one_asked_emotion():
    pairs = [
        pair("happy cat", None, "joy"),
        pair("sad cat", None, "joy:30"),
        pair("sad cat", None, "joy:-30"),
        pair("sad cat", None, "joy + sadness"),
        pair("sad cat", None, None),
    ]
    found = stats("emotion_accuracy", pairs)
    assert found.value() == 0.5
    assert found.n == 2
    assert found.share


def test_judges_are_not_asked_about_replies_that_do_not_count():
    judge = WordJudge()
    stats("emotion_accuracy", [pair("x", None, "joy"), pair("y"), pair("z", None, "joy:-9")])
    value("emotion_accuracy", [pair("x", None, "joy"), pair("y")], emotion=judge)
    assert judge.asked == ["x"]


def test_a_reply_without_emotion_stands_at_chance_when_compared_with_all():
    pairs = [pair("happy"), pair("sad"), pair("sad"), pair("the")]
    some = tuple(Emotion(label, "ekman") for label in ("joy", "sadness", "anger", "fear"))
    found = stats("emotion_accuracy", pairs, asked="all", emotions=some)
    assert found.value() == pytest.approx(3 / 16)  # three of four say one of four asked emotions
    assert found.n == 4
    assert not found.share
    assert math.isnan(value("emotion_accuracy", pairs))


def test_plain_replies_beside_replies_in_a_mood_are_compared_with_nothing():
    mixed = [pair("happy", None, "joy"), pair("sad", None, "sadness"), pair("happy")]
    found = stats("emotion_accuracy", mixed, asked="all")
    assert (found.value(), found.n) == (1.0, 2)


def test_all_emotions_are_the_judge_s_where_none_are_given():
    assert value("emotion_accuracy", [pair("happy")], asked="all") == pytest.approx(1 / 6)


def test_a_reply_that_was_asked_to_lose_an_emotion_is_not_compared_with_all():
    assert stats("emotion_accuracy", [pair("a", None, "joy:-50")], asked="all").n == 0


def test_how_replies_are_compared_is_one_of_two_words():
    with pytest.raises(Unsupported, match="asked is 'every'; use 'none' or 'all'"):
        RunFacts(asked="every")


ZH = WordJudge(NLPCC, {"happy": "happiness", "like": "like", "sad": "sadness"})


def test_a_finer_judge_is_mapped_to_the_asked_taxonomy():
    pairs = [pair("happy", None, "joy"), pair("like", None, "joy"), pair("sad", None, "joy")]
    assert value("emotion_accuracy", pairs, emotion=ZH) == pytest.approx(2 / 3)
    # P(joy) = P(happiness) + P(like); the rest of 0.3 is shared by five labels.
    each = [0.7 + 0.06, 0.7 + 0.06, 0.06 + 0.06]
    assert value("asked_probability", pairs, emotion=ZH) == pytest.approx(np.mean(each))


def test_labels_that_become_one_compete_together():
    class Torn(WordJudge):
        def classify(self, texts, posts=None):
            found = super().classify(texts)
            split = {"sadness": 0.4, "like": 0.3, "happiness": 0.3}
            return [type(s)("sadness", split) for s in found]

    torn = Torn(NLPCC, {})
    assert value("emotion_accuracy", [pair("x", None, "joy")], emotion=torn) == 0.0
    assert value("asked_share", [pair("x", None, "joy")], emotion=torn) == 1.0


def test_asked_emotions_of_a_much_finer_set_go_to_the_judge_s():
    pairs = [
        pair("happy", None, "grateful", taxonomy="empathetic_dialogues"),
        pair("happy", None, "furious", taxonomy="empathetic_dialogues"),
    ]
    assert value("emotion_accuracy", pairs) == 0.5


def test_taxonomies_without_a_table_are_refused():
    alien = WordJudge(Taxonomy("weather", ("rain", "sun")), {})
    with pytest.raises(UnknownName, match="weather -> ekman"):
        stats("emotion_accuracy", [pair("a", None, "joy")], emotion=alien)


def test_emotions_of_two_taxonomies_in_one_run_are_refused():
    pairs = [pair("a", None, "joy"), pair("b", None, "like", taxonomy="nlpcc")]
    with pytest.raises(DataError, match="emotions of ekman and nlpcc are asked in one run"):
        stats("emotion_accuracy", pairs)


@pytest.mark.parametrize(
    ("asked", "judge", "lost"),
    [
        ("ekman", NLPCC, {"fear", "surprise"}),
        ("nlpcc", EKMAN, {"like"}),
        ("ekman", Taxonomy("ekman", EKMAN.labels[:6]), {"neutral"}),
        ("ekman", EKMAN, set()),
        ("dailydialog", EKMAN, set()),
    ],
)
def test_emotions_that_the_judge_has_no_label_for_are_found(asked, judge, lost):
    assert one_taxonomy(asked, judge).unsaid == lost


def test_situations_that_the_judge_would_call_no_emotion_are_not_said_by_it():
    common = one_taxonomy("empathetic_dialogues", NLPCC)
    assert {"surprised", "afraid"} <= common.unsaid
    assert not {"joyful", "sad", "angry", "disgusted"} & common.unsaid


def test_replies_asked_for_what_the_judge_cannot_say_are_left_out():
    pairs = [pair("happy", None, "joy"), pair("x", None, "fear"), pair("x", None, "surprise")]
    for name in ("emotion_accuracy", "emotion_macro_f1", "asked_share"):
        found = stats(name, pairs, emotion=ZH)
        assert (found.value(), found.n) == (1.0, 1)
    every = tuple(Emotion(label, "ekman") for label in ("joy", "fear"))
    plain = [pair("happy")]
    assert value("emotion_accuracy", plain, emotion=ZH, asked="all", emotions=every) == 1.0
    made = build("asked_share", emotion=ZH, unsaid=("fear", "surprise"))
    assert "|without:fear+surprise|" in made.signature
    assert unsaid([p[1].emotion.parts[0][0] for p in pairs], NLPCC) == ("fear", "surprise")


def test_a_judge_that_says_what_it_does_not_know_is_refused():
    odd = WordJudge(EKMAN, {"happy": "glee"})
    with pytest.raises(UnknownName, match="emotion to compare 'glee'"):
        stats("emotion_accuracy", [pair("happy", None, "joy")], emotion=odd)


def test_a_judge_that_leaves_texts_out_is_refused():
    class Lazy(WordJudge):
        def classify(self, texts, posts=None):
            return super().classify(texts)[1:]

    for name in ("emotion_accuracy", "emotional_share"):
        with pytest.raises(DataError, match="gave 1 scores for 2 texts"):
            stats(name, [pair("a", None, "joy"), pair("b", None, "joy")], emotion=Lazy())


def test_macro_f1_weighs_rare_asks_as_much_and_leaves_unasked_labels_out():
    pairs = [pair("happy", None, "joy")] * 8 + [pair("happy", None, "sadness")] * 2
    # joy: precision 0.8, recall 1; sadness: never judged.
    assert value("emotion_macro_f1", pairs) == pytest.approx((2 * 0.8 / 1.8 + 0) / 2)
    assert value("emotion_accuracy", pairs) == pytest.approx(0.8)


@given(corpora())
def test_shares_and_f1_are_between_0_and_1(pairs):
    for name in ("emotion_accuracy", "emotion_macro_f1", "asked_share", "asked_probability"):
        found = value(name, pairs, asked="all")
        assert math.isnan(found) or 0 <= found <= 1 + 1e-12


def test_emotional_is_where_neutral_has_less_than_half():
    pairs = [pair("happy"), pair("the cat"), pair("sad", None, "joy:-50"), pair("angry")]
    found = stats("emotional_share", pairs)
    assert found.value() == 0.75
    assert found.n == 4


def test_emotional_share_needs_a_neutral_label():
    with pytest.raises(Unsupported, match="needs a judge with a neutral label, but words-1 has"):
        build("emotional_share", emotion=WordJudge(EMPATHETIC, {}))


def test_signatures_name_the_judge_and_how_plain_replies_count():
    made = build("emotion_accuracy", asked="all")
    assert made.signature == "name:emotion_accuracy|judge:words-1|asked:all|v:1"
