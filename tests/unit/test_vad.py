"""Valence, arousal and dominance: from a point to a mix, and back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotone.emotions import EKMAN, EMPATHETIC, ESCONV, EVERYDAY, NLPCC, Taxonomy, vad
from emotone.emotions.tables import MAPS
from emotone.errors import MixError

VALUE = st.floats(-100, 100)


def far(point: dict[str, float], taxonomy: Taxonomy) -> float:
    """Distance on the named axes between a point and the mix that was found for it."""
    place = dict(
        zip(vad.AXES, vad.coordinates(vad.nearest(point, taxonomy), taxonomy), strict=True)
    )
    return math.dist(list(point.values()), [place[axis] for axis in point])


def test_every_emotion_but_neutral_has_a_place_in_range():
    assert set(vad.TABLE) == set(EVERYDAY.labels) - {EVERYDAY.neutral}
    assert all(-100 <= value <= 100 for place in vad.TABLE.values() for value in place)
    assert len(set(vad.TABLE.values())) == len(vad.TABLE)


def test_the_table_keeps_to_its_rules():
    angle = {
        label: math.degrees(math.atan2(arousal, valence)) % 360
        for label, (valence, arousal, _) in vad.TABLE.items()
    }
    around = ("joy", "surprise", "anger", "disgust", "sadness", "boredom", "calm")
    assert [angle[label] for label in around] == sorted(angle[label] for label in around)
    dominance = {label: place[2] for label, place in vad.TABLE.items()}
    assert min(dominance["pride"], dominance["anger"]) > 40
    assert max(dominance[k] for k in ("fear", "embarrassment", "loneliness")) < -50
    assert all(abs(value) % 5 == 0 for place in vad.TABLE.values() for value in place)


def test_valence_agrees_with_the_map_to_ekman():
    sign = {"joy": 1, "anger": -1, "disgust": -1, "fear": -1, "sadness": -1}
    for label, place in vad.TABLE.items():
        expected = sign.get(MAPS["everyday", "ekman"][label])
        assert expected is None or place[0] * expected > 0


@pytest.mark.parametrize("label", vad.TABLE)
def test_the_place_of_an_emotion_is_that_emotion(label):
    point = dict(zip(vad.AXES, vad.TABLE[label], strict=True))
    assert vad.nearest(point) == {label: 100.0}
    half = {axis: value / 2 for axis, value in point.items()}
    assert vad.nearest(half) == {label: 50.0}
    assert far({axis: point[axis] for axis in ("valence", "arousal")}, EVERYDAY) <= 25


@given(st.dictionaries(st.sampled_from(vad.AXES), VALUE, min_size=1))
@settings(max_examples=60, deadline=None)
def test_a_mix_has_few_whole_parts_and_is_nearer_than_nothing(point):
    for taxonomy in (EVERYDAY, EKMAN):
        try:
            mix = vad.nearest(point, taxonomy)
        except MixError:  # no emotion lies near
            continue
        assert 1 <= len(mix) <= vad.MOST_PARTS
        assert all(value == int(value) and 1 <= value <= 100 for value in mix.values())
        assert set(mix) <= set(taxonomy.labels)
        assert far(point, taxonomy) <= math.hypot(*point.values())


def test_what_people_mean_by_a_point():
    assert vad.nearest({"arousal": 70}) == {"surprise": 87.0}
    assert set(vad.nearest({"valence": -40, "arousal": 70})) == {"anger", "surprise"}
    assert set(vad.nearest({"valence": -40, "arousal": 70, "dominance": -50})) == {
        "fear",
        "surprise",
    }
    assert set(vad.nearest({"valence": 50, "arousal": -60})) == {"calm"}
    assert set(vad.nearest({"valence": -60, "arousal": -40})) == {"sadness"}


def test_a_point_is_read_in_the_words_of_the_label_set():
    assert set(vad.nearest({"valence": 80}, NLPCC)) == {"like"}
    assert set(vad.nearest({"valence": -70, "arousal": -40}, EMPATHETIC)) == {"sad"}
    assert vad.spelled(NLPCC)["joy"] == "happiness"
    assert vad.spelled(EKMAN)["joy"] == "joy"


def test_coordinates_add_up_and_stay_in_range():
    assert vad.coordinates({"joy": 50, "neutral": 80}) == (42.5, 25.0, 20.0)
    assert vad.coordinates({"joy": 100, "love": 100})[0] == 100.0
    assert vad.coordinates({"joyful": 100}, EMPATHETIC) == vad.TABLE["joy"]
    assert vad.coordinates({"joy": -100}) == (-85.0, -50.0, -40.0)


@pytest.mark.parametrize(
    ("point", "taxonomy", "message"),
    [
        ({"valence": 101}, EKMAN, "valence 101 is outside -100 to 100"),
        ({"valence": math.nan}, EKMAN, "outside -100 to 100"),
        ({"mood": 3}, EKMAN, "'mood' is no axis; use valence, arousal, dominance"),
        ({"valence": 0}, EKMAN, "no emotion of ekman lies near valence:0"),
        ({"valence": 50, "arousal": -50}, EKMAN, "lies near valence:50 arousal:-50"),
        ({"valence": 50}, Taxonomy("own", ("grumpy",)), "no emotion of own has a place"),
    ],
)
def test_what_is_no_point_is_refused_in_one_sentence(point, taxonomy, message):
    with pytest.raises(MixError, match=message) as error:
        vad.nearest(point, taxonomy)
    assert "\n" not in str(error.value)


def test_a_set_with_few_emotions_finds_the_nearest_it_has():
    assert set(vad.nearest({"valence": -60, "arousal": 60}, ESCONV)) <= {"anger", "fear"}
