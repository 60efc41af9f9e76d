"""Pairs of several corpora in one pool: pairing, filters, sides, labels, files."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from emotone.cli import data_pools, main
from emotone.data import corpora, synthetic
from emotone.data.checks import mix
from emotone.data.pools import build as pools
from emotone.data.pools.build import MOST_EQUAL_REPLIES, POOLS, Said, gather, side, sift, thinned
from emotone.data.pools.labels import AGREE, HEARD, LEAST, emotion_words, label_replies, settled
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.text import text_key
from emotone.emotions import CPED, DAILYDIALOG, EKMAN, EMPATHETIC, NLPCC, Emotion, Taxonomy
from emotone.errors import DataError, UnknownName, UsageError
from emotone.types import Dialogue, EmotionScores, Example

#: Ekman's word of a reply -> what the test's judge hears.
HEARS = {"happy": "joy", "sad": "sadness", "annoying": "anger", "disgusting": "disgust"}
HEARS |= {"scared": "fear", "surprised": "surprise"}


class Ears:
    """A judge that knows one word a label."""

    name = "ears-1"

    def __init__(self, taxonomy: Taxonomy = EKMAN, sure: float = 0.9) -> None:
        self.taxonomy = taxonomy
        self.sure = sure

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        return [self._scores(text) for text in texts]

    def _scores(self, text: str) -> EmotionScores:
        heard = next((e for word, e in HEARS.items() if word in text.lower()), None)
        label = heard if heard in self.taxonomy.labels else str(self.taxonomy.neutral)
        rest = (1 - self.sure) / (len(self.taxonomy.labels) - 1)
        chances = {e: self.sure if e == label else rest for e in self.taxonomy.labels}
        return EmotionScores(label, chances)


def samples(root: Path, *names: str) -> Path:
    """Lay the samples of corpora where the pools look for them."""
    for pool in POOLS.values():
        for part in pool.parts:
            if part.corpus in names or not names:
                (root / part.folder).mkdir(parents=True, exist_ok=True)
                for name, text in corpora.module(part.corpus).SAMPLE.items():
                    (root / part.folder / name).write_text(text, encoding="utf-8")
    return root


def many(root: Path, rows: int = 900) -> Path:
    """Lay a DailyDialog of many short exchanges beside the samples."""
    samples(root)
    words = [*HEARS, "well"]
    lines = [
        f"I saw number {i} today . __eou__ So {words[i % 7]} to hear of number {i} . __eou__"
        for i in range(rows)
    ]
    folder = root / "dailydialog_reccon"
    (folder / "dialogues_train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ids = (4, 5, 1, 2, 3, 6, 0)
    labels = "\n".join(f"0 {ids[i % 7]}" for i in range(rows))
    (folder / "dialogues_emotion_train.txt").write_text(labels + "\n", encoding="utf-8")
    return root


def test_each_adjacent_pair_comes_once_with_both_sides_answers(tmp_path):
    said = list(gather(POOLS["en-pairs"], samples(tmp_path), Problems()))
    pairs = [(pair.post, pair.reply) for pair in said if pair.corpus == "empathetic_dialogues"]
    assert pairs[:3] == [
        ("I baked bread, my first ever!", "How did it taste?"),
        ("How did it taste?", "A bit salty, but good."),
        ("A bit salty, but good.", "Well done!"),
    ]
    assert len(set(pairs)) == len(pairs) == 4
    assert all(pair.label is None for pair in said if pair.corpus == "empathetic_dialogues")
    assert Said("meld", "Sorry!", "You ate it?", Emotion("anger", "ekman")) in said


def test_own_turns_answer_nothing(tmp_path):
    said = list(gather(POOLS["zh-pairs"], samples(tmp_path), Problems("skip")))
    cped = [(pair.post, pair.reply) for pair in said if pair.corpus == "cped"]
    assert cped == [("你怎么才回来", "路上堵车了"), ("不过我买了蛋糕", "谢谢你")]


def test_a_corpus_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no split of dailydialog .* put one of train, valid"):
        list(gather(POOLS["en-pairs"], samples(tmp_path, "empathetic_dialogues"), Problems()))


def test_what_no_model_should_learn_from_is_left_out_and_counted():
    long = " ".join(["word"] * 31)
    kept = Said("a", "I am here", "so am i", None)
    said = [
        kept,
        kept._replace(post="I  AM here", reply="So am I"),  # the same again
        kept._replace(reply="see www.x.org"),
        kept._replace(post=long),
        kept._replace(reply=" ".join(["word"] * 26)),
        kept._replace(reply="yes"),
        kept._replace(reply="I am here!"),
        kept._replace(reply="?? !!"),
        kept._replace(post="你好"),
        kept._replace(post="Another", reply="so am i"),
    ]
    left_out: Counter[str] = Counter()
    assert list(sift(said, "en", left_out)) == [kept, said[-1]]
    assert left_out == {
        "the same pair again": 1,
        "a link or an account": 1,
        "a post of another length than 1 to 30 words": 1,
        "a reply of another length than 2 to 25 words": 2,
        "the reply copies the post": 1,
        "no word on a side": 2,
    }
    other: Counter[str] = Counter()
    assert not list(sift([kept], "zh", other))
    assert other == {"another language": 1}


def test_sides_have_their_shares_and_go_by_the_post_alone():
    sides = Counter(side(f"post {i}") for i in range(20_000))
    assert abs(sides["dev"] / 20_000 - 0.02) < 0.004
    assert abs(sides["test"] / 20_000 - 0.03) < 0.005
    assert side("Hello  THERE") == side("hello there")


def examples(*replies: str, emotion: str = "neutral", lang: str = "en") -> list[Example]:
    mixed = mix(Emotion(emotion, "ekman"))
    rows = enumerate(replies, 1)
    return [Example(f"a-{i}", Dialogue.of(f"post {i}"), mixed, r) for i, r in rows]


def test_a_generic_reply_stays_twenty_times():
    left_out: Counter[str] = Counter()
    train = examples(*["I see."] * 15, *["I see!"] * 15, *[f"See {i}" for i in range(9)])
    kept = thinned(train, POOLS["en-pairs"], 0, left_out)
    assert len(kept) == MOST_EQUAL_REPLIES + 9
    assert left_out == {"the reply is one of a few": 10}


def test_where_pairs_are_too_many_neutral_ones_go_first_by_seed():
    glad = examples(*[f"glad {i}" for i in range(10)], emotion="joy")
    train = [*examples(*[f"see {i}" for i in range(30)]), *glad]
    pool = replace(POOLS["en-pairs"], most=15)
    kept = thinned(train, pool, 1, Counter())
    assert len(kept) == 15
    assert kept[-10:] == glad
    assert kept == thinned(train, pool, 1, Counter()) != thinned(train, pool, 2, Counter())
    few = thinned(train, replace(pool, most=5), 1, Counter())
    assert {str(e.emotion) for e in few} == {"joy:100"}


def scores(label: str, chance: float, taxonomy: Taxonomy, **other: float) -> EmotionScores:
    rest = (1 - chance - sum(other.values())) / (len(taxonomy.labels) - 1 - len(other))
    chances = {**dict.fromkeys(taxonomy.labels, rest), **other, label: chance}
    return EmotionScores(label, chances)


def test_without_a_label_of_the_corpus_the_judge_must_be_sure():
    for chance, label in ((LEAST, "joy"), (LEAST - 0.01, "neutral")):
        assert settled(scores("joy", chance, EKMAN), None, EKMAN, {}) == label
    assert settled(scores("joy", 0.69, EKMAN), None, EKMAN, {"joy": 0.7}) == "neutral"


def test_with_one_both_must_agree():
    heard = scores("disgust", 0.8, NLPCC, anger=AGREE)
    assert settled(heard, Emotion("anger", "cped"), NLPCC, {}) == "anger"
    assert settled(heard, Emotion("happy", "cped"), NLPCC, {}) == "other"
    assert settled(heard, Emotion("neutral", "cped"), NLPCC, {}) == "other"


def test_a_label_that_the_corpus_cannot_give_is_the_judges():
    heard = scores("like", 0.8, NLPCC)
    assert settled(heard, DAILYDIALOG.parse("neutral"), NLPCC, {}) == "like"
    assert settled(heard, CPED.parse("neutral"), NLPCC, {}) == "other"
    unsure = scores("like", 0.4, NLPCC, happiness=0.2)
    assert settled(unsure, DAILYDIALOG.parse("happiness"), NLPCC, {}) == "happiness"


def test_judges_that_cannot_label_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no neutral label"):
        label_replies(["hi"], ["hello"], [None], Ears(EMPATHETIC), {})
    with pytest.raises(UsageError, match=r"ears-1 labels in nlpcc; name a judge .* in ekman"):
        pools.write("en-pairs", samples(tmp_path), Ears(NLPCC), tmp_path / "o")
    with pytest.raises(UnknownName, match="pool 'fr-pairs'"):
        pools.write("fr-pairs", tmp_path, Ears(), tmp_path / "o")


def test_emotion_words_are_heard_as_such():
    said = [f"{word} it is {i % 50}" for i in range(700) for word in [[*HEARS, "well"][i % 7]]]
    labels = [[*HEARS.values(), "neutral"][i % 7] for i in range(700)]
    # "teapot" comes with anger only, but nobody would call it angry
    said = [
        f"{text} teapot" if e == "anger" else text for text, e in zip(said, labels, strict=True)
    ]
    train = [
        Example(f"a-{i}", Dialogue.of(f"post {i}"), mix(Emotion(e, "ekman")), f"{text} {i}")
        for i, (text, e) in enumerate(zip(said, labels, strict=True))
    ]
    words = dict(zip(EKMAN.labels, emotion_words(train, Ears()), strict=True))
    assert words["anger"] == ("annoying",)
    assert words["joy"] == ("happy",)
    assert words["neutral"] == ()
    deaf = dict(zip(EKMAN.labels, emotion_words(train, Ears(sure=1 / 7)), strict=True))
    assert HEARD > 1
    assert set(deaf["anger"]) == {"teapot", "annoying"}


def test_a_pool_is_written_whole(tmp_path):
    facts = pools.write("en-pairs", many(tmp_path / "data"), Ears(), tmp_path / "out")
    files = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"train.jsonl", "dev.jsonl", "test.jsonl", "ememory.json", "pool.json"}
    assert json.loads(files["pool.json"].read_text("utf-8")) == facts
    for name, digest in facts["sha256"].items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
    rows = {split: list(read_file(files[f"{split}.jsonl"], Problems())) for split in pools.SPLITS}
    posts = {s: {text_key(e.dialogue.posts[-1].text) for e in rows[s]} for s in rows}
    assert not posts["train"] & (posts["dev"] | posts["test"])
    assert not posts["dev"] & posts["test"]
    for split, counts in facts["pairs"].items():
        assert sum(counts["all"].values()) == len(rows[split]) > 0
        assert counts["all"] == {
            e: sum(str(row.emotion) == f"{e}:100" for row in rows[split]) for e in EKMAN.labels
        }
    every = [e for split in rows.values() for e in split]
    assert len({e.id for e in every}) == len(every)
    assert all(len(e.dialogue.posts) == 1 and e.dialogue.posts[0].emotion is None for e in every)
    assert facts["judge"] == "ears-1"
    assert facts["licences"]["dailydialog"].startswith("CC BY-NC-SA")
    joys = [e.reply for e in every if str(e.emotion) == "joy:100"]
    assert joys
    assert all("happy" in str(reply) for reply in joys)


def test_a_pool_is_the_same_twice_and_does_not_outlive_a_failure(tmp_path):
    root = many(tmp_path / "data")
    first = pools.write("en-pairs", root, Ears(), tmp_path / "a")
    assert pools.write("en-pairs", root, Ears(), tmp_path / "b") == first
    (tmp_path / "a/dev.jsonl").unlink()
    (tmp_path / "a/dev.jsonl").mkdir()  # nothing can be written there
    with pytest.raises(DataError, match=r"dev\.jsonl"):
        pools.write("en-pairs", root, Ears(), tmp_path / "a")
    assert not (tmp_path / "a/pool.json").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot make"):
        pools.write("en-pairs", root, Ears(), tmp_path / "file")


def run(monkeypatch, *arguments: str) -> int:
    """Run a command and return its exit code."""
    monkeypatch.setattr("sys.argv", ["emotone", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_knows_the_pools():
    assert {*data_pools.POOLS} == {*POOLS, synthetic.NAME}
    assert not {*data_pools.POOLS} & {name.replace("_", "-") for name in corpora.names()}


def test_the_command_writes_a_pool(tmp_path, capsys, monkeypatch):
    out = tmp_path / "pairs"
    root = many(tmp_path / "data")
    assert run(monkeypatch, "data", "prepare", "en-pairs", "-o", str(out), "--from", str(root)) == 0
    said = capsys.readouterr().err
    assert "labelled by en-label-" in said
    assert f"pairs in {out}/train.jsonl: anger " in said
    assert "licence of meld: repository GPL-3.0" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["en-pairs", "--judge", "en-score"], "en-score is for results only; .* such as en-label"),
        (["zh-pairs", "--judge", "zh-score"], "zh-score is for results only; .* such as zh-label"),
        (["en-pairs", "--split", "train"], "leave --split out"),
        (["en-pairs", "--taxonomy", "nlpcc"], "leave --taxonomy out"),
        (["en-pairs", "--limit", "3"], "leave --limit out"),
        (["synthetic", "--judge", "en-label"], "made up; leave --from and --judge out"),
        (["synthetic", "--taxonomy", "x"], "taxonomy 'x'"),
        (["meld", "--judge", "en-label"], "keeps its own labels; leave --judge out"),
    ],
)
def test_what_a_pool_does_not_take_is_refused(tmp_path, capsys, monkeypatch, arguments, says):
    where = ["--from", str(tmp_path)] if arguments[0] != "synthetic" else []
    name, *rest = arguments
    assert (
        run(monkeypatch, "data", "prepare", name, "-o", str(tmp_path / "out"), *where, *rest) == 2
    )
    assert not (tmp_path / "out").exists()
    assert re.search(says, capsys.readouterr().err)


def test_a_pool_needs_corpora_and_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("EMOTONE_DATA", raising=False)
    assert run(monkeypatch, "data", "prepare", "en-pairs", "-o", str(tmp_path / "out")) == 2
    assert "name their folder with --from or in EMOTONE_DATA" in capsys.readouterr().err
    assert run(monkeypatch, "data", "prepare", "en-pairs", "-o", str(tmp_path / "out.jsonl")) == 2
    assert "name a folder instead of out.jsonl" in capsys.readouterr().err
