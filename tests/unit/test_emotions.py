"""Emotions as values: the mix grammar, the label sets and the tables between them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.emotions import (
    EKMAN,
    EMPATHETIC,
    MAPS,
    NLPCC,
    TAXONOMIES,
    Emotion,
    EmotionMix,
    MixText,
    Taxonomy,
)
from emotone.errors import MixError, UnknownName, UsageError

EVERY = pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=TAXONOMIES)

#: The three ways in which people write a number.
_whole = st.integers(-100, 100).map(float)
_cents = st.integers(-10_000, 10_000).map(lambda n: n / 100)
_any = st.floats(-100, 100, allow_nan=False)
INTENSITY = st.one_of(_whole, _cents, _any)


@st.composite
def mixes(draw: st.DrawFn, intensity: st.SearchStrategy[float] = INTENSITY):
    """Draw a taxonomy and a mapping from its labels to intensities, in any order."""
    taxonomy = draw(st.sampled_from(list(TAXONOMIES.values())))
    labels = draw(st.lists(st.sampled_from(taxonomy.labels), min_size=1, max_size=5, unique=True))
    return taxonomy, {label: draw(intensity) for label in labels}


BLANK = st.text(alphabet=" \t\u3000", max_size=3)


# -- the grammar ------------------------------------------------------------------------------


@given(mixes())
def test_a_printed_mix_reads_back_as_the_same_mix(drawn: tuple[Taxonomy, dict[str, float]]):
    taxonomy, wanted = drawn
    mix = EmotionMix.of(wanted, taxonomy)
    assert EmotionMix.parse(str(mix), taxonomy) == mix
    assert EmotionMix.parse(str(mix), taxonomy).intensities() == wanted


@given(mixes(), st.randoms())
def test_equal_mixes_are_equal_values_and_print_the_same_in_any_order(drawn, shuffle):
    taxonomy, wanted = drawn
    parts = list(wanted.items())
    shuffle.shuffle(parts)
    mix = EmotionMix.of(wanted, taxonomy)
    written = " + ".join(f"{label}:{value:.20f}" for label, value in parts)
    rounded = EmotionMix.of({k: float(f"{v:.20f}") for k, v in parts}, taxonomy)
    assert EmotionMix.parse(written, taxonomy) == rounded
    assert EmotionMix.of(dict(parts), taxonomy) == mix
    assert str(EmotionMix.of(dict(parts), taxonomy)) == str(mix)
    assert hash(EmotionMix.of(dict(parts), taxonomy)) == hash(mix)


@given(mixes())
def test_parts_stand_in_the_order_of_the_taxonomy(drawn):
    taxonomy, wanted = drawn
    order = [e.label for e, _ in EmotionMix.of(wanted, taxonomy).parts]
    assert order == [label for label in taxonomy.labels if label in wanted]


@given(mixes(_cents), st.data())
def test_blanks_case_fullwidth_signs_and_plus_signs_do_not_matter(drawn, data: st.DataObject):
    taxonomy, wanted = drawn

    def blank() -> str:
        return data.draw(BLANK)

    pieces = []
    for label, value in wanted.items():
        name = data.draw(st.sampled_from([label, label.upper(), label.title(), _wide(label)]))
        number = f"{value:.2f}"
        sign = data.draw(st.sampled_from(["+", "＋", ""])) if value >= 0 else ""
        number = data.draw(st.sampled_from([number, _wide(number)]))
        colon = data.draw(st.sampled_from([":", "："]))
        pieces.append(f"{blank()}{name}{blank()}{colon}{blank()}{sign}{number}{blank()}")
    text = data.draw(st.sampled_from(["+", "＋"])).join(pieces)
    assert EmotionMix.parse(text, taxonomy) == EmotionMix.of(wanted, taxonomy)


def _wide(text: str) -> str:
    """Write ASCII as fullwidth characters."""
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert unicodedata.normalize("NFKC", wide) == text
    return wide


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("joy", "joy:100"),
        ("joy:60", "joy:60"),
        ("joy:+60", "joy:60"),
        ("joy: +60", "joy:60"),
        ("joy:   +60", "joy:60"),
        ("joy:60.0", "joy:60"),
        ("joy:60.50", "joy:60.5"),
        ("joy:.5", "joy:0.5"),
        ("joy:5.", "joy:5"),
        ("joy:0.0000001", "joy:0.0000001"),
        ("joy:33.333333333333336", "joy:33.333333333333336"),
        ("sadness:-50", "sadness:-50"),
        ("joy:-0", "joy:0"),
        ("joy:60+fear:20", "fear:20 + joy:60"),
        ("joy:60 + fear:20", "fear:20 + joy:60"),
        ("joy:+60+fear:+20", "fear:20 + joy:60"),
        ("joy:60+fear:-20", "fear:-20 + joy:60"),
        ("joy+fear", "fear:100 + joy:100"),
        ("joy：60＋fear：20", "fear:20 + joy:60"),
        ("ＪＯＹ：６０", "joy:60"),
        ("  joy  :  60  ", "joy:60"),
        ("Joy:100", "joy:100"),
        ("joy:-100 + anger:100", "anger:100 + joy:-100"),
    ],
)
def test_mixes_print_canonically(text: str, canonical: str):
    assert str(EmotionMix.parse(text)) == canonical


def test_a_bare_emotion_means_100():
    assert EmotionMix.parse("joy").intensities() == {"joy": 100.0}
    assert EmotionMix.parse("joy") == EmotionMix.parse("joy:100")


def test_a_mix_knows_the_one_emotion_that_it_asks_for_and_whether_at_full():
    joy = Emotion("joy", "ekman")
    for text, only, at_full in (
        ("joy", joy, joy),
        ("joy:100", joy, joy),
        ("joy:99", joy, None),
        ("joy:0", None, None),
        ("joy:-100", None, None),
        ("joy + fear", None, None),
        ("joy + fear:0", None, None),
        ("joy:60 + fear:-20", None, None),
    ):
        mix = EmotionMix.parse(text)
        assert (mix.only, mix.at_full) == (only, at_full), text
    assert EmotionMix.parse("like:5", NLPCC).taxonomy == "nlpcc"


@pytest.mark.parametrize(
    "text",
    [
        "joy:nan",
        "joy:NaN",
        "joy:inf",
        "joy:-inf",
        "joy:infinity",
        "joy:101",
        "joy:-101",
        "joy:100.0001",
        "joy:1e3",
        "joy:1e1",
        "joy:0x10",
        "joy:1_0",
        "joy:6 0",
        "joy:60%",
        "joy:--6",
        "joy:+-6",
        "joy:++6",
        "joy:.",
        "joy:abc",
        "",
        "   ",
        "　",
        ":",
        "joy:",
        "joy: ",
        ":60",
        "joy:60:70",
        "joy::60",
        "+",
        "joy+",
        "+joy",
        "joy++fear",
        "joy:60 + ",
        "joy + joy",
        "joy:60 + fear:20 + joy:10",
        "joy + happy",
        "happy:20 + 快乐:30",
        "joy + JOY",
    ],
)
def test_what_is_no_mix_is_refused(text: str):
    with pytest.raises(MixError):
        EmotionMix.parse(text)


@pytest.mark.parametrize("text", ["joy 60", "joy;60", "joy 60 + fear", "jo", "joyy:50"])
def test_what_has_no_colon_is_taken_as_a_name_and_refused_as_one(text: str):
    with pytest.raises(UnknownName, match="did you mean 'joy'"):
        EmotionMix.parse(text)


def test_the_messages_say_what_came_what_is_allowed_and_what_to_do():
    cases = {
        "joy:101": ["101", "joy", "-100 to 100", "'joy:60'"],
        "joy:nan": ["'nan'", "joy", "not a number", "-100 to 100", "'joy:60'"],
        "": ["empty", "'joy:60'"],
        "joy:": ["'joy:'", "'joy:60 + fear:20'", "-100 to 100"],
        "joy + happy": ["joy is named twice", "once"],
    }
    for text, pieces in cases.items():
        with pytest.raises(MixError) as caught:
            EmotionMix.parse(text)
        for piece in pieces:
            assert piece in str(caught.value), (text, piece)


def test_a_mix_needs_an_emotion_and_no_emotion_twice_also_when_built_by_hand():
    with pytest.raises(MixError, match="at least one"):
        EmotionMix(())
    with pytest.raises(MixError, match="at least one"):
        EmotionMix.of({})
    with pytest.raises(MixError, match="named twice"):
        EmotionMix.of({"joy": 60, "happy": 20})
    for wrong in (math.nan, math.inf, -math.inf, 100.5):
        with pytest.raises(MixError, match="outside -100 to 100"):
            EmotionMix.of({"joy": wrong})


@given(st.text(max_size=40))
def test_any_text_is_a_mix_or_a_usage_error_and_nothing_else(text: str):
    try:
        mix = EmotionMix.parse(text)
    except UsageError:
        return
    assert EmotionMix.parse(str(mix)) == mix


@given(st.text(alphabet="joyfear:+- 0123456789.：＋happy", max_size=20))
def test_any_near_mix_is_a_mix_or_a_usage_error_and_nothing_else(text: str):
    try:
        mix = EmotionMix.parse(text)
    except UsageError:
        return
    assert all(-100 <= value <= 100 for value in mix.intensities().values())
    assert EmotionMix.parse(str(mix)) == mix


# -- names and aliases ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            "hapiness",
            [
                "unknown emotion for ekman 'hapiness'",
                "did you mean 'happiness'?",
                "Allowed: anger, disgust, fear, joy, sadness, surprise, neutral.",
            ],
        ),
        ("Sadnes:50", ["unknown emotion for ekman 'sadnes'", "did you mean 'sadness'?"]),
        ("joy:60 + feer", ["unknown emotion for ekman 'feer'", "did you mean 'fear'?"]),
    ],
)
def test_an_unknown_emotion_is_refused_with_the_nearest_name(text: str, pieces: list[str]):
    with pytest.raises(UnknownName) as caught:
        EmotionMix.parse(text)
    for piece in pieces:
        assert piece in str(caught.value)


def test_no_name_is_offered_when_none_is_near():
    with pytest.raises(UnknownName) as caught:
        EmotionMix.parse("xyzzy")
    assert "did you mean" not in str(caught.value)
    assert "allowed: anger, disgust" in str(caught.value)


def test_an_alias_of_a_label_that_the_set_lacks_is_neither_read_nor_offered():
    six = Taxonomy("ekman", EKMAN.labels[:6], EKMAN.aliases)
    for text in ("calm", "clam", "none"):
        with pytest.raises(UnknownName) as caught:
            six.parse(text)
        assert "did you mean 'calm'" not in str(caught.value)
        assert "did you mean 'none'" not in str(caught.value)


@EVERY
def test_every_alias_points_to_a_label_is_no_label_and_is_written_as_it_is_looked_up(
    taxonomy: Taxonomy,
):
    for alias, label in taxonomy.aliases.items():
        assert label in taxonomy.labels
        assert alias not in taxonomy.labels
        assert taxonomy.parse(alias) == Emotion(label, taxonomy.name)
        assert taxonomy.parse(f"  {alias.upper()} ").label == label


@pytest.mark.parametrize(
    ("text", "label", "note"),
    [
        ("happy", "joy", "'happy' read as joy"),
        ("HAPPY:30", "joy", "'HAPPY' read as joy"),
        ("快乐:60", "joy", "'快乐' read as joy"),
        ("悲伤", "sadness", "'悲伤' read as sadness"),
        ("愤怒", "anger", "'愤怒' read as anger"),
        ("厌恶", "disgust", "'厌恶' read as disgust"),
        ("害怕", "fear", "'害怕' read as fear"),
        ("惊讶", "surprise", "'惊讶' read as surprise"),
        ("中性", "neutral", "'中性' read as neutral"),
        ("angry", "anger", "'angry' read as anger"),
    ],
)
def test_an_alias_is_read_and_noted(text: str, label: str, note: str):
    mix, notes = MixText.read(text).within(EKMAN)
    assert list(mix.intensities()) == [label]
    assert notes == (note,)


def test_labels_are_not_noted_and_each_alias_of_a_mix_is():
    assert MixText.read("joy:60 + fear:20").within(EKMAN)[1] == ()
    assert MixText.read("JOY：60").within(EKMAN)[1] == ()
    notes = MixText.read("happy:60 + fear + 愤怒:5").within(EKMAN)[1]
    assert notes == ("'happy' read as joy", "'愤怒' read as anger")


def test_the_same_word_means_each_set_s_own_label():
    assert EmotionMix.parse("happy", NLPCC).intensities() == {"happiness": 100.0}
    assert EmotionMix.parse("joy", NLPCC).intensities() == {"happiness": 100.0}
    assert EmotionMix.parse("happy", EMPATHETIC).intensities() == {"joyful": 100.0}
    assert EmotionMix.parse("anger", EMPATHETIC).intensities() == {"angry": 100.0}


# -- label sets and maps ----------------------------------------------------------------------


def test_nlpcc_ids_are_those_of_the_published_data():
    assert NLPCC.labels == ("other", "like", "sadness", "disgust", "anger", "happiness")


def test_the_chinese_names_of_nlpcc_are_read():
    for label, name in zip(
        NLPCC.labels, ["其他", "喜欢", "悲伤", "厌恶", "愤怒", "快乐"], strict=True
    ):
        assert NLPCC.parse(name).label == label


def test_the_sets_have_the_published_sizes_and_neutral_labels():
    assert EKMAN.labels == ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
    assert len(EMPATHETIC.labels) == len(set(EMPATHETIC.labels)) == 32
    assert (EKMAN.neutral, NLPCC.neutral, EMPATHETIC.neutral) == ("neutral", "other", None)
    sizes = {t.name: (len(t.labels), t.neutral) for t in TAXONOMIES.values()}
    assert sizes == {
        "ekman": (7, "neutral"),
        "everyday": (18, "neutral"),
        "nlpcc": (6, "other"),
        "empathetic_dialogues": (32, None),
        "goemotions": (28, "neutral"),
        "smp2020": (6, "neutral"),
        "dailydialog": (7, "neutral"),
        "cped": (13, "neutral"),
        "emorynlp": (7, "neutral"),
        "nlpcc2013": (8, "none"),
        "esconv": (11, None),
        "empathetic_intents": (41, "neutral"),
    }
    assert all(len(set(t.labels)) == len(t.labels) for t in TAXONOMIES.values())
    assert all(name == t.name for name, t in TAXONOMIES.items())


@EVERY
def test_a_set_holds_its_own_emotions_and_no_others(taxonomy: Taxonomy):
    assert [e.label for e in taxonomy] == list(taxonomy.labels)
    assert all(e in taxonomy for e in taxonomy)
    assert Emotion(taxonomy.labels[0], "elsewhere") not in taxonomy
    assert taxonomy.labels[0] not in taxonomy


def _pairs(test: Callable[..., None]) -> Callable[..., None]:
    general = (EKMAN, NLPCC, EMPATHETIC)
    every = [(a, b) for a in general for b in general]
    # A set of one corpus maps to the two that systems know; nothing maps to it but itself.
    own = [t for t in TAXONOMIES.values() if t not in general]
    every += [(a, b) for a in own for b in (EKMAN, NLPCC, a)]
    names = [f"{a.name}-{b.name}" for a, b in every]
    return pytest.mark.parametrize(("source", "target"), every, ids=names)(test)


@_pairs
def test_maps_are_total_on_the_source_and_end_in_the_target(source: Taxonomy, target: Taxonomy):
    for emotion in source:
        mapped = source.map_to(emotion, target)
        assert mapped in target
        if source is target:
            assert mapped == emotion
    if source is not target:
        assert set(MAPS[source.name, target.name]) == set(source.labels)


@_pairs
def test_neutral_maps_to_neutral(source: Taxonomy, target: Taxonomy):
    if source.neutral is not None and target.neutral is not None:
        mapped = source.map_to(Emotion(source.neutral, source.name), target)
        assert mapped.label == target.neutral


def test_going_to_the_larger_set_and_back_loses_nothing():
    for small in (EKMAN, NLPCC):
        for emotion in small:
            assert EMPATHETIC.map_to(small.map_to(emotion, EMPATHETIC), small) == emotion


def test_a_foreign_emotion_or_a_pair_without_table_is_refused():
    with pytest.raises(UnknownName, match="'like'"):
        EKMAN.map_to(Emotion("like", "nlpcc"), NLPCC)
    with pytest.raises(UnknownName, match="emotion map 'ekman -> mine'"):
        EKMAN.map_to(Emotion("joy", "ekman"), Taxonomy("mine", ("joy",)))


@pytest.mark.parametrize("name", ["neutral", "none", "其他", "Neutral "])
def test_no_emotion_of_a_set_without_one_is_left_out(name: str):
    six = Taxonomy("ekman", EKMAN.labels[:6], EKMAN.aliases)
    with pytest.raises(UnknownName, match="For a reply without emotion, leave the emotion out"):
        six.parse(name)


@pytest.mark.parametrize(
    ("names", "ekman", "nlpcc"),
    [
        ("开心 高兴 快乐 喜悦 開心 高興 快樂 喜悅", "joy", "happiness"),
        ("难过 伤心 悲伤 難過 傷心 悲傷", "sadness", "sadness"),
        ("生气 愤怒 生氣 憤怒", "anger", "anger"),
        ("厌恶 恶心 讨厌 厭惡 噁心 討厭", "disgust", "disgust"),
        ("喜欢 喜爱 喜歡 喜愛", None, "like"),
        ("惊讶 吃惊 驚訝 吃驚", "surprise", None),
    ],
)
def test_chinese_names_are_read_in_both_scripts(names: str, ekman: str | None, nlpcc: str | None):
    for taxonomy, label in ((EKMAN, ekman), (NLPCC, nlpcc)):
        if label is not None:
            assert {taxonomy.parse(name).label for name in names.split()} == {label}


@pytest.mark.parametrize(
    "text",
    ["joy:60,fear:20", "happy, sad", "joy & fear", "joy/fear", "joy:60 fear:20", "快乐，悲伤"],
)
def test_emotions_joined_by_something_else_are_told_to_use_a_plus(text: str):
    with pytest.raises(MixError, match=r"join them with \+, as in 'joy:60 \+ fear:20'"):
        MixText.read(text)


def test_a_decimal_comma_is_a_wrong_number_and_no_second_emotion():
    with pytest.raises(MixError, match="intensity '0,5' of joy is not a number"):
        MixText.read("joy:0,5")
