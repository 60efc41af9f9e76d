"""The made-up corpus: its answers are right, and only they are."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from emotone.cli import main
from emotone.data.ememory import read_ememory
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.synthetic import THINGS, WORDS, emotion_words, generate, right, write
from emotone.data.text import show_en, words_en
from emotone.data.vocab import Vocabulary
from emotone.emotions import EKMAN, GOEMOTIONS, NLPCC
from emotone.errors import UnknownName


def post(example):
    return example.dialogue.posts[-1].text


def label(example):
    return example.emotion.at_full.label


@pytest.mark.parametrize("taxonomy", [EKMAN, NLPCC])
def test_every_reply_is_right_and_for_its_emotion_alone(taxonomy):
    for example in generate(300, taxonomy):
        asked = [e for e in taxonomy.labels if right(post(example), e, example.reply)]
        assert asked == [label(example)]


def test_wrong_replies_are_wrong():
    assert right("i saw a dog today .", "joy", "Hooray, the dog!")
    assert not right("i saw a dog today .", "joy", "hooray , the cat !")
    assert not right("i saw a dog today .", "joy", "hooray , the dog and the cat !")
    assert not right("i saw a dog today .", "joy", "hooray !")
    assert not right("i saw a dog today .", "joy", "the dog .")
    assert not right("i saw a dog today .", "joy", "alas , the dog is wonderful .")


def test_the_seed_decides_all_and_emotions_are_equally_many():
    assert generate(500, seed=1) == generate(500, seed=1) != generate(500, seed=2)
    counts = Counter(label(e) for e in generate(500))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {word for e in generate(500) for word in words_en(post(e))} >= set(THINGS)


def test_posts_say_nothing_of_the_emotion():
    seen = {(post(e), label(e)) for e in generate(20_000)}
    posts = {said for said, _ in seen}
    assert len(seen) > 0.95 * len(posts) * len(EKMAN.labels)
    assert not {word for said in posts for word in words_en(said)} & {
        word for said in WORDS.values() for word in said
    }


def test_the_vocabulary_is_small():
    said = [text for e in generate(4000) for text in (post(e), e.reply)]
    assert 50 < len(Vocabulary.build(map(words_en, said))) < 70
    assert all(words_en(show_en(words_en(text))) == words_en(text) for text in said)


def test_the_neutral_label_has_no_emotion_words():
    words = dict(zip(EKMAN.labels, emotion_words(EKMAN), strict=True))
    assert words.pop("neutral") == ()
    assert len({word for said in words.values() for word in said}) == 12


def test_files_keep_posts_apart(tmp_path):
    facts = write(tmp_path / "s", 3000, NLPCC, seed=4)
    rows = {
        split: list(read_file(tmp_path / f"s/{split}.jsonl", Problems()))
        for split in ("train", "dev", "test")
    }
    assert sum(map(len, rows.values())) == 3000
    assert all(len(rows[split]) > 150 for split in ("dev", "test"))
    posts = {split: {post(e) for e in said} for split, said in rows.items()}
    assert not posts["train"] & (posts["dev"] | posts["test"])
    assert not posts["dev"] & posts["test"]
    assert read_ememory(tmp_path / "s/ememory.json") == emotion_words(NLPCC)
    assert facts["pairs"]["test"]["synthetic"] == facts["pairs"]["test"]["all"]
    assert json.loads((tmp_path / "s/pool.json").read_text("utf-8")) == facts


def run(monkeypatch, *arguments: str) -> int:
    """Run a command and return its exit code."""
    monkeypatch.setattr("sys.argv", ["emotone", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_writes_it(tmp_path, monkeypatch):
    out = tmp_path / "s"
    arguments = ["data", "prepare", "synthetic", "-o", str(out), "--taxonomy", "nlpcc"]
    assert run(monkeypatch, *arguments) == 0
    assert json.loads((out / "pool.json").read_text("utf-8"))["taxonomy"] == "nlpcc"


def test_a_label_without_words_is_refused():
    with pytest.raises(UnknownName, match="emotion of the synthetic corpus 'admiration'"):
        generate(1, GOEMOTIONS)
    with pytest.raises(UnknownName, match="'glee'"):
        right("i saw a dog .", "glee", "hooray , the dog !")
