"""The comparison of the recurrent systems: what is read, what is compared, what pages say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from recipes.recurrent import everyday, names
from recipes.recurrent.contrasts import contrasts
from recipes.recurrent.evaluate import PEOPLE, Language, label, perplexities, read_rows, scored
from recipes.recurrent.findings import findings
from recipes.recurrent.folders import deal, find, neutral_of, one_each, replies
from recipes.recurrent.table import page

from emotone.emotions import NLPCC, EmotionMix
from emotone.errors import DataError, UsageError
from emotone.evaluation.likelihoods import write_likelihoods
from emotone.evaluation.records import reply_line
from emotone.evaluation.remember import remember_emotion
from emotone.metrics import Instruments
from emotone.types import Capabilities, Decoding, Dialogue, Example, Reply
from unit.evaluation.hearing import WordJudge
from unit.metrics.doubles import ShareReader, embed

TOPICS = ("cat", "dog", "ran", "sad", "you")
POSTS = [f"post number {i} about {TOPICS[i % 5]}" for i in range(12)]


class Toy:
    """Says the asked emotion and part of the post, and finds references as likely as told."""

    def __init__(self, system: str, run: str, *, feels: bool, nats: float) -> None:
        self.capabilities = Capabilities(NLPCC if feels else None)
        self.system, self.run, self.each = system, run, nats

    def reply(self, dialogues: Sequence[Dialogue], emotions: Sequence[Any], *, decoding: Decoding):
        return [
            Reply(self._say(d, m), m, self.system, self.run, decoding.seed + i, 3)
            for i, (d, m) in enumerate(zip(dialogues, emotions, strict=True))
        ]

    def _say(self, dialogue: Dialogue, mix: EmotionMix | None) -> str:
        text = dialogue.posts[-1].text
        return text if mix is None else f"{mix.parts[0][0].label} {text} {self.run[-1]}"

    def nats(self, dialogues: Any, emotions: Any, texts: Sequence[str]) -> list[tuple[float, int]]:
        return [(self.each * (len(t.split()) + i % 2), len(t.split())) for i, t in enumerate(texts)]


def examples() -> list[Example]:
    joy = EmotionMix.parse("happiness", NLPCC)
    return [
        Example(f"t{i}", Dialogue.of(p), joy, f"answer to {p} {'again ' * (i % 3)}".strip(), "zh")
        for i, p in enumerate(POSTS)
    ]


RUNS = {
    "zh-a_seq2seq-plain-s1": (False, 3.0, 500),
    "zh-a_seq2seq-plain-s2": (False, 3.1, 500),
    "zh-ecm-full-s1": (True, 2.5, 500),
    "zh-ecm-full-s2": (True, 2.6, 500),
    "zh-emo_seq-full-s1": (True, 2.0, 500),
    "zh-emo_seq-tag-s1": (True, 2.2, 500),
    "zh-ecm-full-10k-s1": (True, 2.7, 100),
    "zh-ecm-no_emb-10k-s1": (True, 2.8, 100),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for name, (feels, nats, pairs) in RUNS.items():
        folder = root / name
        system = Toy(name.split("-")[1], name, feels=feels, nats=nats)
        made = write_likelihoods(system, examples(), folder)
        assert made.n == len(POSTS)
        moods = [EmotionMix.parse(x, NLPCC) for x in NLPCC.labels] if feels else [None]
        for file in ("replies_default.jsonl", "everyday.jsonl"):
            lines = [
                reply_line(e, r)
                for mood in moods
                for e in examples()
                for r in system.reply([e.dialogue], [mood], decoding=Decoding())
            ]
            (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
        manifest = {"judges": ["zh-label-1-00000000"], "pairs": pairs, "parameters": 1234}
        manifest["training"] = {"best_step": 10 * int(name[-1]), "seconds": 90.0}
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (root / "notes").mkdir()
    return root


@pytest.fixture(scope="module")
def results(runs: Path) -> dict[str, Any]:
    language = opened(runs)
    pairs = read_rows(language, "replies_default.jsonl")
    found = find(runs)
    return {
        "manifest": {"judges": {"word-score": {}}},
        "langs": {
            "zh": {
                "runs": {r.folder.name: r.facts for r in found},
                "perplexity": perplexities(found, 100),
                "decodings": {"default": scored(language, pairs)},
            }
        },
    }


def opened(runs: Path) -> Language:
    judge = remember_emotion(WordJudge("word-score-1-00000000", NLPCC))
    instruments = Instruments(emotion=judge, sense=ShareReader(), embed=embed, embed_name="letters")
    return Language(tuple(find(runs)), instruments, {"word-score-1-00000000": {}}, 8, 100)


# -- what is read --------------------------------------------------------------------------------


def test_runs_are_known_by_their_names(runs: Path):
    found = find(runs)
    assert [r.folder.name for r in found] == sorted(RUNS)
    by_name = {r.folder.name: r for r in found}
    small = by_name["zh-ecm-full-10k-s1"]
    assert (small.row, small.plain, small.size) == ("ecm-full-10k", "full", "10k")
    assert (small.pairs, small.seed) == (100, 1)
    assert [str(judge) for judge in small.judges] == ["zh-label-1-00000000"]
    with pytest.raises(DataError, match="holds no run"):
        find(runs / "notes")


def test_posts_and_emotions_are_dealt_by_what_they_are(runs: Path):
    ids = [f"t{i}" for i in range(200)]
    assert deal(ids, 30) == deal(reversed(ids), 30)
    assert set(deal(ids, 30)) < set(deal(ids, 60))
    run = next(r for r in find(runs) if r.system == "ecm")
    pairs = replies(run, "replies_default.jsonl")
    kept = one_each(pairs)
    assert sorted(e.id for e, _ in kept) == sorted(f"t{i}" for i in range(12))
    assert len({str(r.emotion) for _, r in kept}) > 2
    assert {*map(str, one_each(pairs[::-1]))} == {*map(str, kept)}  # whatever the file's order
    assert neutral_of(pairs) == "other"
    assert replies(run, "nothing.jsonl") == []


def test_two_replies_to_one_post_in_one_emotion_are_refused(runs: Path, tmp_path: Path):
    run = find(runs)[0]
    line = (run.folder / "replies_default.jsonl").read_text(encoding="utf-8").split("\n")[0]
    other = json.dumps(json.loads(line) | {"seed": 99})
    (tmp_path / "twice.jsonl").write_text(f"{line}\n{other}\n", encoding="utf-8")
    with pytest.raises(DataError, match="answers 't0' twice in one emotion"):
        replies(dataclasses.replace(run, folder=tmp_path), "twice.jsonl")


def test_posts_that_not_every_run_of_a_size_answered_are_left_out(runs: Path, tmp_path: Path):
    run = find(runs)[0]
    lines = (run.folder / "replies_default.jsonl").read_text(encoding="utf-8").split("\n")
    other = dataclasses.replace(run, folder=tmp_path, seed=7)
    (tmp_path / "replies_default.jsonl").write_text("\n".join(lines[:5]), encoding="utf-8")
    language = dataclasses.replace(opened(runs), runs=(run, other))
    found = read_rows(language, "replies_default.jsonl")
    assert found[run.row].posts == [f"t{i}" for i in range(5)]
    assert [len(found[run.row].replies[s][0]) for s in (run.seed, 7)] == [5, 5]
    assert len(found[PEOPLE].pairs) == 5
    smaller = dataclasses.replace(other, variant="plain-10k")
    apart = read_rows(dataclasses.replace(language, runs=(smaller, run)), "replies_default.jsonl")
    assert {name: len(row.pairs) for name, row in apart.items()} == {
        "a_seq2seq-plain": 12,
        "a_seq2seq-plain-10k": 5,
        PEOPLE: 12,
    }


def test_a_judge_that_labelled_the_training_data_is_refused(runs: Path, monkeypatch):
    from recipes.recurrent import evaluate

    opener = evaluate.open_instruments(evaluate.Wanted(("bleu",)))
    found = dataclasses.replace(opener, judges={"zh-label-1-00000000": {}})
    monkeypatch.setattr(evaluate, "open_instruments", lambda wanted: found)
    with pytest.raises(UsageError, match="'zh-label' touched the training"):
        evaluate.opened(tuple(find(runs)), "zh", runs / ".labels", 5, 10)


# -- perplexity of the references -----------------------------------------------------------------


def test_perplexities_are_compared_on_the_same_references(runs: Path):
    made = perplexities(find(runs), 100)
    assert made["references"] == len(POSTS)
    number = made["rows"]["ecm-full"]["numbers"]["perplexity"]
    seeds = made["rows"]["ecm-full"]["by_seed"]["perplexity"]
    assert number["value"] == pytest.approx(sum(seeds.values()) / 2, rel=1e-5)
    between = made["differences"]["emo_seq-full - ecm-full"]["perplexity"]
    assert between["high"] < 0
    assert made["ratios"]["ecm-full / a_seq2seq-plain"]["perplexity"]["value"] < 1


# -- numbers and pages ---------------------------------------------------------------------------


def test_a_system_without_emotions_stands_at_chance(results: dict[str, Any]):
    rows = results["langs"]["zh"]["decodings"]["default"]["rows"]
    plain, ecm = (rows[r]["numbers"] for r in ("a_seq2seq-plain", "ecm-full"))
    assert plain["emotion_accuracy"]["value"] == pytest.approx(1 / 6, abs=1e-5)
    assert plain["emotion_accuracy_felt"]["value"] == 0  # every plain reply is heard as none
    assert ecm["emotion_accuracy"]["value"] == ecm["emotion_accuracy_felt"]["value"] == 1
    assert ecm["topic_reference"]["low"] > 0
    assert plain["repeated_4"]["value"] == 0
    assert plain["sense"]["value"] == 1  # its replies are the posts
    assert 0 < rows[PEOPLE]["numbers"]["sense"]["value"] < ecm["sense"]["value"] < 1
    assert rows["ecm-full"]["replies"] == 2 * 6 * 12
    assert set(rows["ecm-full"]["by_emotion"]) == set(NLPCC.labels)
    assert "emotion_accuracy" not in rows[PEOPLE]["numbers"]


def test_rows_of_as_many_pairs_are_compared(runs: Path):
    assert contrasts(find(runs)) == [
        ("ecm-full", "a_seq2seq-plain"),
        ("emo_seq-full", "a_seq2seq-plain"),
        ("emo_seq-full", "ecm-full"),
        ("emo_seq-tag", "a_seq2seq-plain"),
        ("ecm-no_emb-10k", "ecm-full-10k"),
        ("emo_seq-tag", "emo_seq-full"),
    ]


def test_labels_are_asked_for_once(runs: Path):
    language = opened(runs)
    pairs = read_rows(language, "replies_default.jsonl")
    label(language, pairs)
    judge: Any = language.instruments.emotion
    heard = list(judge.judge.seen)
    assert len(heard) == len(set(heard)) > 0
    scored(language, pairs)
    assert judge.judge.seen == heard


def test_the_page_says_what_the_numbers_say(results: dict[str, Any]):
    text = page(results)
    rows = [
        line for line in text.splitlines() if line.startswith("| ECM w/o Emb (10k)¹ | 100 | 1 |")
    ]
    assert len(rows) == 6
    assert "| ECM | 500 | 2 |" in text
    assert "| ECM | 500 | 2 | 1,234 | 15 | 1.5 |" in text
    assert "| A-Seq2Seq + tag¹ | 500 | 1 |" in text
    assert f"| {names.PEOPLE} |" in text
    assert "ECM / A-Seq2Seq" in text
    assert "| 0.905 |" in text
    assert "| 1.518 |" in text
    assert "nan" not in text.lower()
    number = results["langs"]["zh"]["decodings"]["default"]["rows"]["ecm-full"]["numbers"]
    assert f"{number['topic_reference']['value']:.4f} [" in text


def _synthetic(emo_less_ecm: tuple[float, float, float], accuracy: float) -> dict[str, Any]:
    def fact(system: str, plain: str) -> dict[str, Any]:
        row = f"{system}-{plain}"
        return {
            "row": row,
            "system": system,
            "variant": plain,
            "plain": plain,
            "size": "",
            "pairs": 9,
        }

    def number(value: float, low: float, high: float) -> dict[str, float]:
        return {"value": value, "low": low, "high": high}

    mains = {"a_seq2seq": "plain", "ecm": "full", "emo_seq": "full"}
    rows = {
        f"{s}-{v}": {
            "seeds": [1],
            "numbers": {
                "perplexity": number(9, 8, 10),
                "emotion_accuracy": number(accuracy, 0, 1),
                "topic_reference": number(0.1, -0.1, 0.3),
                "commonest_share": number(0.06, 0, 1),
            },
        }
        for s, v in mains.items()
    }
    differences = {
        "emo_seq-full - ecm-full": {"perplexity": number(*emo_less_ecm)},
        "ecm-full - a_seq2seq-plain": {"perplexity": number(-3, -4, -2)},
    }
    part = {"rows": rows, "differences": differences}
    return {
        "runs": {s: fact(s, v) for s, v in mains.items()},
        "perplexity": part,
        "decodings": {"default": part},
    }


@pytest.mark.parametrize(
    ("between", "said"),
    [
        ((-1.0, -2.0, -0.5), "holds: Emo-Seq is better than ECM (-1.00 [-2.00, -0.50])"),
        ((-1.0, -2.0, 0.5), "holds in the values, but not beyond their intervals: Emo-Seq is not"),
        ((1.0, 0.5, 2.0), "does not hold: Emo-Seq is worse than ECM"),
        ((1.0, -0.5, 2.0), "does not hold: Emo-Seq is not distinguishable from ECM"),
    ],
)
def test_the_sentence_on_the_ordering_follows_the_intervals(
    between: tuple[float, float, float], said: str
):
    found = _synthetic(between, 0.8)
    titles = {f["row"]: names.title(f) for f in found["runs"].values()}
    lines = findings(found, titles)
    assert any(said in line and "perplexity" in line for line in lines), lines


def test_goals_are_said_to_be_met_or_missed():
    found = _synthetic((-1, -2, -0.5), 0.76)
    titles = {f["row"]: names.title(f) for f in found["runs"].values()}
    text = "\n".join(findings(found, titles))
    assert "ECM, default decoding: emotion accuracy 0.760 misses the goal of 0.77" in text
    assert "A-Seq2Seq, default decoding: emotion accuracy 0.760 (chance)" in text
    assert "not shown to be on topic; commonest reply 6.0%, above the limit of 5%" in text


# -- everyday posts ------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_there_are_twenty_everyday_posts(lang: str):
    found = everyday.posts(lang)
    assert len(found) == len(set(found)) == 20
    assert all(p == p.strip() and len(p) > 5 for p in found)


def test_the_page_of_replies_shows_each_post_and_counts_what_is_given_twice():
    joy, anger = (EmotionMix.parse(x, NLPCC) for x in ("happiness", "anger"))
    other = EmotionMix.parse("other", NLPCC)

    def row(post: str, text: str, mix: EmotionMix | None) -> tuple[Example, Reply]:
        return Example(post, Dialogue.of(post), None, None, "zh"), Reply(text, mix, "s", "m", 0, 1)

    told_by = {
        "a_seq2seq": [row("one", "yes", None), row("two", "yes", None)],
        "ecm": [
            row("one", "happiness | *now*", joy),
            row("one", "no", anger),
            row("one", "mm", other),
            row("two", "anger", anger),
        ],
    }
    lines = everyday.section("Chinese", ["one", "two"], told_by, WordJudge("w", NLPCC))
    assert "- A-Seq2Seq: 2 replies, 1 of them different; 2 also given to another post;" in lines[3]
    assert "3 replies" in lines[4]
    assert "2 of 3 classified as the requested emotion" in lines[4]
    body = lines[-4:]
    assert body[0] == "| --- | --- | --- | --- |"
    assert body[1] == "| one | happiness | yes | happiness \\| \\*now\\* ✓ |"
    assert body[2] == "|  | anger |  | no |"
    assert body[3] == "| two | anger | yes | anger ✓ |"


def test_the_main_variant_with_the_most_pairs_is_shown(runs: Path):
    found = everyday.chosen(find(runs), "zh")
    assert {s: r.folder.name for s, r in found.items()} == {
        "a_seq2seq": "zh-a_seq2seq-plain-s1",
        "ecm": "zh-ecm-full-s1",
        "emo_seq": "zh-emo_seq-full-s1",
    }
    assert everyday.chosen(find(runs), "en") == {}
