"""What EmpRL learns from: both sides of a dialogue, and conversations kept apart whole."""

import pytest

from emotone.data.examples import write_jsonl
from emotone.errors import ConfigError, DataError
from emotone.systems.emprl.config import Data
from emotone.systems.emprl.corpus import read_base, read_corpus, sampled, sides
from emotone.types import Dialogue, Example, Post, Speaker


def conversation(number, turns=2):
    """Examples of one conversation: a first answer, and a second one with the history."""
    posts = [Post(f"Post {number} number {i}.") for i in range(turns)]
    made = []
    for i in range(turns):
        history = []
        for j in range(i):
            history += [posts[j], Post(f"Reply {number} number {j}.", Speaker.ASSISTANT)]
        dialogue = Dialogue((*history, posts[i]))
        made.append(Example(f"c{number}-{i}", dialogue, reply=f"Reply {number} number {i}."))
    return made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "train.jsonl"
    write_jsonl([e for n in range(60) for e in conversation(n)], path)
    return path


def test_a_conversation_is_on_one_side_only(file):
    corpus = read_corpus(Data(train=file, dev_share=0.2), seed=1)
    first = [{e.dialogue.posts[0].text for e in part} for part in (corpus.train, corpus.dev)]
    assert first[0]
    assert first[1]
    assert not first[0] & first[1]
    assert len(corpus.train) + len(corpus.dev) == 120
    assert set(corpus.hashes) == {"train"}


def test_a_file_of_its_own_is_the_development_data(file, tmp_path):
    other = tmp_path / "dev.jsonl"
    write_jsonl(conversation(99), other)
    corpus = read_corpus(Data(train=file, dev=other), seed=1)
    assert len(corpus.train) == 120
    assert [e.id for e in corpus.dev] == ["c99-0", "c99-1"]
    assert set(corpus.hashes) == {"train", "dev"}


def test_fewer_rows_are_drawn_by_the_seed(file):
    ids = [
        [e.id for e in read_corpus(Data(train=file, rows=10), seed=seed).train]
        for seed in (1, 1, 2)
    ]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 10


def test_what_is_drawn_keeps_its_order():
    examples = [e for n in range(20) for e in conversation(n)]
    found = sampled(examples, 7, 3)
    places = [examples.index(e) for e in found]
    assert places == sorted(places)
    assert sampled(examples, 100, 3) == examples


def test_both_sides_of_a_dialogue_are_replies():
    own, other = sides(conversation(0)[1])
    assert own == conversation(0)[1]
    assert other.reply == "Post 0 number 1."
    said = [(p.speaker, p.text) for p in other.dialogue.posts]
    assert said == [
        (Speaker.ASSISTANT, "Post 0 number 0."),
        (Speaker.USER, "Reply 0 number 0."),
    ]
    assert list(sides(conversation(0)[0])) == conversation(0)[:1]


def test_base_dialogues_have_both_sides(file):
    assert len(read_base([file])) == 180


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match="emotone data prepare empathetic_dialogues"):
        read_corpus(Data(train=tmp_path / "none.jsonl"), seed=1)


def test_nothing_to_choose_by_is_refused(tmp_path):
    path = tmp_path / "one.jsonl"
    write_jsonl(conversation(1), path)
    with pytest.raises(DataError, match="to choose by"):
        read_corpus(Data(train=path), seed=1)


@pytest.mark.parametrize("settings", [{"dev_share": 0.0}, {"dev_rows": 0}, {"rows": -1}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        Data(**settings)
