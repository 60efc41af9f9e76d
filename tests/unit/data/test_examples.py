"""Examples on disk: JSON lines and parquet."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.data import examples as rows
from emotone.data.examples import (
    example_line,
    read_example,
    read_examples,
    read_parquet,
    write_jsonl,
    write_parquet,
)
from emotone.emotions import EKMAN, GOEMOTIONS, NLPCC, TAXONOMIES, EmotionMix, Taxonomy
from emotone.errors import DataError
from emotone.types import Dialogue, EmpathyLevels, Example, Post, Speaker

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda said: bool(said.strip())
)


@st.composite
def an_example(draw: st.DrawFn) -> Example:
    taxonomy = draw(st.sampled_from(list(TAXONOMIES.values())))
    emotions = st.none() | st.sampled_from(list(taxonomy))
    posts = [
        Post(draw(TEXTS), draw(st.sampled_from(Speaker)), draw(emotions))
        for _ in range(draw(st.integers(0, 2)))
    ]
    posts.append(Post(draw(TEXTS), Speaker.USER, draw(emotions)))
    labels = draw(st.lists(st.sampled_from(taxonomy.labels), max_size=3, unique=True))
    mix = {label: draw(st.integers(-100, 100)) for label in labels}
    levels = draw(st.none() | st.tuples(*[st.integers(0, 2)] * 3))
    return Example(
        draw(TEXTS),
        Dialogue(tuple(posts)),
        EmotionMix.of(mix, taxonomy) if mix else None,
        draw(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)),
        draw(st.sampled_from(["en", "zh"])),
        None if levels is None else EmpathyLevels(*levels),
    )


@given(st.lists(an_example(), max_size=4))
def test_lines_give_back_what_was_written(made: list[Example]):
    lines = [example_line(example) for example in made]
    assert all("\n" not in line for line in lines)
    assert list(read_examples(lines, "f")) == made


@given(st.lists(an_example(), max_size=4))
def test_parquet_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, made):
    folder = tmp_path_factory.mktemp("parquet")
    assert write_parquet(made, folder / "e.parquet") == len(made)
    assert list(read_parquet(folder / "e.parquet")) == made
    assert [path.name for path in folder.iterdir()] == ["e.parquet"], "nothing else is left"


def test_parquet_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = [Example(str(i), Dialogue.of(f"post {i}")) for i in range(7)]
    write_parquet(made, tmp_path / "e.parquet")
    for chunk in (1, 3, 7, 100):
        monkeypatch.setattr(rows, "CHUNK", chunk)
        assert list(read_parquet(tmp_path / "e.parquet")) == made


def test_a_line_has_only_the_keys_that_say_something():
    assert json.loads(example_line(Example("a", Dialogue.of("Hi.")))) == {
        "id": "a",
        "dialogue": [{"speaker": "user", "text": "Hi."}],
        "emotion": None,
        "reply": None,
        "lang": "en",
    }
    labelled = Example(
        "b",
        Dialogue((Post("你好", emotion=NLPCC.parse("like")),)),
        EmotionMix.parse("anger", NLPCC),
        "走开",
        "zh",
        EmpathyLevels(0, 1, 2),
    )
    assert json.loads(example_line(labelled)) == {
        "id": "b",
        "dialogue": [{"speaker": "user", "text": "你好", "emotion": "like"}],
        "emotion": "anger:100",
        "reply": "走开",
        "lang": "zh",
        "taxonomy": "nlpcc",
        "empathy": {"reaction": 0, "interpretation": 1, "exploration": 2},
    }


def test_two_label_sets_in_one_example_are_refused():
    mixed = Example(
        "x", Dialogue((Post("a", emotion=NLPCC.parse("like")),)), EmotionMix.parse("joy", EKMAN)
    )
    with pytest.raises(DataError, match="'x' has emotions of ekman and nlpcc; map them"):
        example_line(mixed)


def test_a_line_s_own_label_set_goes_before_the_reader_s():
    line = '{"post": "a", "emotion": "remorse", "taxonomy": "goemotions"}'
    (made,) = read_examples([line], "f", EKMAN)
    assert made.emotion == EmotionMix.parse("remorse", GOEMOTIONS)


def test_the_reader_s_own_set_of_that_name_may_be_smaller():
    small = Taxonomy("ekman", ("joy",))
    with pytest.raises(DataError, match="unknown emotion for ekman 'fear'"):
        list(read_examples(['{"post": "a", "emotion": "fear", "taxonomy": "ekman"}'], "f", small))


MALFORMED = {
    "unknown taxonomy": ('{"post": "a", "taxonomy": "moods"}', "unknown taxonomy 'moods'"),
    "taxonomy is a list": ('{"post": "a", "taxonomy": ["ekman"]}', "unknown taxonomy"),
    "a turn's emotion": ('{"dialogue": [{"text": "a", "emotion": "hapy"}]}', "did you mean"),
    "a turn's emotion is 3": ('{"dialogue": [{"text": "a", "emotion": 3}]}', "must be text"),
    "empathy is a text": ('{"post": "a", "empathy": "2"}', '"empathy" must be an object'),
    "a level is missing": ('{"post": "a", "empathy": {"reaction": 1}}', "must be an object"),
    "a level is 3": (
        '{"post": "a", "empathy": {"reaction": 3, "interpretation": 0, "exploration": 0}}',
        "use 0, 1 or 2",
    ),
    "a level is true": (
        '{"post": "a", "empathy": {"reaction": true, "interpretation": 0, "exploration": 0}}',
        "is true or false; use 0, 1 or 2",
    ),
}


@pytest.mark.parametrize(("line", "said"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_lines_are_refused_with_their_place(line: str, said: str):
    with pytest.raises(DataError, match=r"^f, line 2: ") as caught:
        list(read_examples(['{"post": "a"}', line], "f"))
    assert said in str(caught.value)


def _failing():
    yield Example("a", Dialogue.of("Hi."))
    raise DataError("stop")


@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
def test_a_failure_leaves_the_old_file_and_nothing_else(write, tmp_path: Path):
    path = tmp_path / "e.out"
    path.write_text("old")
    with pytest.raises(DataError, match="stop"):
        write(_failing(), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["e.out"]


@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
def test_a_place_that_cannot_be_written_is_refused(write, tmp_path: Path):
    with pytest.raises(DataError, match="name a file in a folder that exists"):
        write([], tmp_path / "no" / "e.out")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="name a file, not a folder"):
        write([], tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_is_no_parquet_is_refused(tmp_path: Path):
    import polars as pl

    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"text\.parquet is not a parquet file"):
        list(read_parquet(tmp_path / "text.parquet"))
    pl.DataFrame({"id": ["a"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet: no column 'dialogue'"):
        list(read_parquet(tmp_path / "other.parquet"))
    pl.DataFrame({"id": ["a"], "dialogue": ["b"]}).write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r'bad\.parquet, row 1: "dialogue" must be a list'):
        list(read_parquet(tmp_path / "bad.parquet"))


@pytest.mark.parametrize(
    ("line", "piece"),
    [
        ('{"post": "a", "emotoin": "joy"}', 'unknown key "emotoin"; write "emotion"'),
        ('{"post": "a", "Emotion": "joy"}', 'write "emotion"'),
        ('{"post": "a", "emotions": ["joy"]}', 'write "emotion"'),
        ('{"post": "a", "language": "zh"}', 'write "lang"'),
        ('{"post": "a", "repply": "b"}', 'write "reply"'),
        ('{"post": "a", "response": "b"}', 'write "reply"'),
        ('{"post": "a", "emotion": "joy", "intensity": 40}', 'write "emotion": "joy:60"'),
        ('{"dialogue": [{"text": "a", "emotoin": "joy"}]}', 'write "emotion"'),
    ],
)
def test_a_key_that_is_nearly_one_that_is_read_is_refused(line: str, piece: str):
    with pytest.raises(DataError, match=re.escape(piece)):
        read_example(line, 1)


def test_keys_of_the_user_are_left_alone():
    line = '{"post": "a", "idx": 3, "source": "b", "speaker_id": 1, "judge": "c", "split": "dev"}'
    assert read_example(line, 1).dialogue.posts[0].text == "a"
