"""From replies to scores: parts, curves, pairs, remembered labels, the file."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given

from emotone.emotions import EKMAN, EMPATHETIC, NLPCC
from emotone.errors import DataError, Unsupported
from emotone.evaluation import instruments
from emotone.evaluation.compare import compare
from emotone.evaluation.facts import asked_emotions, by_system, plain_replies, run_facts
from emotone.evaluation.groups import emotion_key, in_order, in_part
from emotone.evaluation.instruments import Wanted, measurable, open_instruments
from emotone.evaluation.remember import remember_embed, remember_emotion, remember_empathy
from emotone.evaluation.score import score_run
from emotone.evaluation.scores import Scores, read_scores, scores_json, write_scores
from emotone.evaluation.summaries import Judged, confusion, distributions, dose, judge_replies
from emotone.metrics import Instruments, build
from emotone.metrics.significance import interval
from unit.evaluation.hearing import LengthIdentifier, WordJudge, pair, run
from unit.metrics.doubles import WordJudge as TellingJudge
from unit.metrics.doubles import corpora

NAMES = ("distinct_2", "length_words", "emotion_accuracy", "bleu")


def judged(rows, judge=None) -> Judged:
    judge = judge or WordJudge()
    made = judge_replies(rows, judge, run_facts(rows, judge))
    assert made is not None
    return made


def scored(rows=None, **options) -> Scores:
    return score_run(rows or run(), NAMES, Instruments(emotion=WordJudge()), rounds=50, **options)


# -- numbers ----------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_metrics_with_intervals_over_examples():
    rows, tools = run(), Instruments(emotion=WordJudge())
    made = score_run(rows, NAMES, tools, rounds=50, seed=3)
    assert (made.system, made.model, made.n) == ("one", "tiny", 30)
    for name in NAMES:
        metric = build(name, tools)
        stats = metric.stats(rows)
        number = made.metrics[name]
        low, high = interval(stats, groups=[e.id for e, _ in rows], rounds=50, seed=3)
        assert (number.value, number.low, number.high) == (stats.value(), low, high)
        assert number.signature == metric.signature


def test_each_part_is_scored_like_a_run_of_its_own():
    made = scored()
    assert list(made.per_emotion) == ["none", "joy", "sadness:50"]
    for label, rows in (("joy", [p for p in run() if emotion_key(p[1]) == "joy"]),):
        alone = scored(rows)
        assert made.per_emotion[label] == alone.metrics
        assert alone.per_emotion == {label: alone.metrics}
    assert math.isnan(made.per_emotion["none"]["emotion_accuracy"].value or 0)


def test_parts_stand_in_the_order_of_the_taxonomy():
    names = ["joy:60", "surprise", "joy + anger", "none", "joy:-20", "like", "anger", "joy"]
    assert in_order(names) == [
        "none", "anger", "joy:-20", "joy:60", "joy", "surprise", "like", "joy + anger"
    ]  # fmt: skip


def test_scores_of_two_systems_at_once_are_refused():
    with pytest.raises(DataError, match="2 systems came"):
        score_run([*run(), *run("two")], NAMES, Instruments())
    assert list(by_system([*run(), *run("two")])) == [("one", "tiny"), ("two", "tiny")]


def test_one_id_with_two_dialogues_is_refused():
    example, reply = pair(1, "hi")
    other = dataclasses.replace(example, dialogue=pair(2, "hi")[0].dialogue)
    with pytest.raises(DataError, match="example 'x1' has two different dialogues"):
        by_system([(example, reply), (other, reply)])


def test_a_system_without_emotions_stands_at_the_chance_of_what_was_asked():
    plain = [pair(i, "joy about it") for i in range(10)]
    asked = asked_emotions([pair(0, "", "joy"), pair(0, "", "fear"), pair(0, "", "joy:-5")])
    assert [e.label for e in asked] == ["fear", "joy"]
    judge = WordJudge()
    facts = run_facts(plain, judge, asked="all", emotions=asked)
    made = score_run(plain, ["emotion_accuracy"], Instruments(emotion=judge), facts, rounds=20)
    assert made.metrics["emotion_accuracy"].value == 0.5


def test_parts_of_the_ids_are_scored_apart():
    rows = [
        (dataclasses.replace(e, id=f"set-{'neutral' if i % 2 else 'emotional'}-{i}"), r)
        for i, (e, r) in enumerate(run())
    ]
    made = scored(rows, parts=["emotional", "neutral", "set"])
    assert made.per_part["neutral"] == scored(rows[1::2]).metrics
    assert made.per_part["set"] == made.metrics
    assert not in_part("unemotional-3", "emotional")
    assert not in_part("emotionally-3", "emotional")
    assert in_part("emotional", "emotional")
    with pytest.raises(DataError, match="no example id belongs to part 'neutra'"):
        scored([(dataclasses.replace(e, id="a"), r) for e, r in run()[:1]], parts=["neutra"])


def _rows(made):
    return zip(made.asked, made.counts, strict=True)


# -- summaries --------------------------------------------------------------------------------


def test_confusion_counts_asked_against_judged():
    made = confusion(judged(run(right=0.7)))
    assert made is not None
    assert made.asked == ("none", "joy", "sadness")
    rows = {a: dict(zip(made.judged, row, strict=True)) for a, row in _rows(made)}
    assert (rows["joy"]["joy"], rows["joy"]["neutral"]) == (7, 3)
    assert (rows["sadness"]["sadness"], rows["none"]["neutral"]) == (7, 10)
    assert sum(map(sum, made.counts)) == 30


@given(corpora())
def test_the_trace_of_the_confusion_is_the_accuracy(pairs):
    judge = TellingJudge()
    made = confusion(judged(pairs, judge))
    rows = [] if made is None else [(a, c) for a, c in _rows(made) if a != "none"]
    right = sum(counts[made.judged.index(asked)] for asked, counts in rows)
    total = sum(map(sum, (counts for _, counts in rows)))
    accuracy = build("emotion_accuracy", Instruments(emotion=judge)).stats(pairs).value()
    assert accuracy == pytest.approx(right / total) if total else math.isnan(accuracy)


def test_a_judge_of_other_labels_is_read_in_the_asked_ones():
    rows = [pair(0, "happiness", "joy"), pair(1, "like this", "joy"), pair(2, "anger", "joy")]
    made = confusion(judged(rows, WordJudge(taxonomy=NLPCC, name="zh")))
    assert made is not None
    assert dict(zip(made.judged, made.counts[0], strict=True))["joy"] == 2
    assert made.judged == EKMAN.labels


def test_summaries_follow_the_metrics_where_the_asked_set_is_much_finer():
    rows = [pair(i, "joy it is", "joyful", taxonomy=EMPATHETIC) for i in range(4)]
    made = confusion(judged(rows))
    assert made is not None
    assert (made.asked, made.judged) == (("joy",), EKMAN.labels)
    (point,) = dose(judged(rows), rounds=20)["joyful"]
    assert point.share.value == 1.0


def test_what_the_judge_cannot_say_is_no_miss_in_any_number():
    judge = WordJudge(taxonomy=NLPCC, name="zh")
    rows = [pair(i, "happiness", "joy") for i in range(3)] + [pair(9, "boo", "fear")]
    made = score_run(rows, ["emotion_accuracy"], Instruments(emotion=judge), rounds=20)
    found = made.metrics["emotion_accuracy"]
    assert (found.value, found.n) == (1.0, 3)
    assert "|without:fear|" in found.signature
    assert made.confusion is not None
    assert made.confusion.asked == ("joy",)
    assert list(made.dose) == ["joy"]


def test_dose_has_plain_replies_at_0_and_the_shares_of_each_intensity():
    rows = run(right=0.5) + [pair(i, "joy" if i < 9 else "-", "joy:50") for i in range(10)]
    made = dose(judged(rows), rounds=50)
    assert list(made) == ["joy", "sadness"]
    assert [(p.intensity, p.share.value, p.share.n) for p in made["joy"]] == [
        (0.0, 0.0, 10),
        (50.0, 0.9, 10),
        (100.0, 0.5, 10),
    ]
    for point in made["joy"]:
        assert point.share.low is not None
        assert point.share.high is not None
        assert point.share.low <= (point.share.value or 0) <= point.share.high
    assert made["joy"][1].probability.value == pytest.approx(0.9 * 0.8 + 0.1 * 0.2 / 6)


def test_histograms_count_every_reply_once():
    rows = [pair(0, ""), pair(1, "a b c"), pair(2, "a b c d " * 30), pair(3, "w " * 2000)]
    made = distributions(rows, lambda text, lang, unit: text.split())
    assert sum(made["length"].counts) == sum(made["repetition"].counts) == 4
    assert made["length"].counts[0] == 2
    assert made["length"].counts[-1] == 1
    assert made["length"].edges[-1] == 2001
    assert (made["repetition"].counts[0], made["repetition"].counts[-1]) == (2, 2)


# -- two systems ------------------------------------------------------------------------------


def test_a_difference_is_over_the_replies_that_both_gave():
    ours, theirs = run(right=1.0), run("two", right=0.2)[:-3]
    made = compare(ours, theirs, NAMES, Instruments(emotion=WordJudge()), rounds=500)
    assert (made.system, made.model) == ("two", "tiny")
    found = made.differences["emotion_accuracy"]
    assert found.n == 27
    assert found.difference == pytest.approx((found.value or 0) - (found.other or 0))
    assert found.value == 1.0
    assert found.low is not None
    assert found.low > 0
    assert (found.p or 0) < 0.05
    same = compare(ours, run("two"), NAMES, Instruments(emotion=WordJudge()), rounds=500)
    assert same.differences["emotion_accuracy"].p == 1.0


def test_a_system_without_emotions_is_paired_with_every_mood_only_when_told_so():
    moods = [p for p in run() if p[1].emotion is not None]
    plain = [pair(i, "joy, they say", system="two") for i in range(10)]
    with pytest.raises(DataError, match="--asked all"):
        compare(moods, plain, NAMES, Instruments(emotion=WordJudge()))
    words = Instruments(emotion=WordJudge())
    made = compare(moods, plain, NAMES, words, asked="all", rounds=100)
    found = made.differences["emotion_accuracy"]
    assert (found.n, found.value, found.other) == (20, 1.0, 0.5)
    # Plain replies of a system that takes emotions are no answers to an emotion.
    some = [p for p in run("two") if str(p[1].emotion) != "joy:100"]
    found = compare(moods, some, NAMES, words, asked="all", rounds=20).differences
    assert (found["emotion_accuracy"].n, found["emotion_accuracy"].other) == (10, 1.0)
    assert "distinct_2" in found


def test_the_variety_of_copies_is_not_compared():
    moods = [p for p in run() if p[1].emotion is not None]
    plain = [pair(i, f"joy, they say {i}", system="two") for i in range(10)]
    names = ("distinct_2", "commonest_share", "self_bleu", "length_words")
    made = compare(moods, plain, names, Instruments(), asked="all", rounds=20)
    assert list(made.differences) == ["length_words"]
    joys = [p for p in moods if str(p[1].emotion).startswith("joy")]
    once = compare(
        joys, plain, names, Instruments(), asked="all", rounds=20
    )  # each reply is used once
    assert {"distinct_2", "commonest_share"} <= set(once.differences)


def test_a_plain_run_stays_at_its_chance_beside_a_run_in_moods():
    rows = run()
    judge = WordJudge()
    facts = run_facts(rows, judge, asked="all", emotions=asked_emotions(rows))
    made = score_run(rows, ["emotion_accuracy"], Instruments(emotion=judge), facts, rounds=5)
    assert made.metrics["emotion_accuracy"].n == 20


def test_the_plain_reply_of_the_same_seed_is_the_neutral_one():
    rows = [pair(1, "b"), pair(1, "a"), pair(1, "joy", "joy")]
    seeds = (7, 3, 7)
    rows = [(e, dataclasses.replace(r, seed=s)) for (e, r), s in zip(rows, seeds, strict=True)]
    assert plain_replies(rows) == {"x1": {7: "b", 3: "a"}}
    assert plain_replies(rows[:2]) is None
    assert plain_replies(rows[2:]) is None


# -- judges -----------------------------------------------------------------------------------


def test_what_was_judged_is_not_judged_again(tmp_path: Path):
    folder = tmp_path / ".labels"
    first, second = WordJudge(), WordJudge()
    texts = ["joy", "fear", "joy", ""]
    made = remember_emotion(first, folder).classify(texts)
    again = remember_emotion(second, folder).classify([*texts, "anger"])
    assert sorted(first.seen) == ["", "fear", "joy"]
    assert second.seen == ["anger"]
    assert again[:4] == made
    other = WordJudge(name="other")
    remember_emotion(other, folder).classify(["joy"])
    assert other.seen == ["joy"]
    assert not any(t in p.read_text() for p in folder.iterdir() for t in ("fear is", "text"))


def test_a_label_file_that_was_cut_or_altered_costs_only_what_is_lost(tmp_path: Path):
    judge = remember_emotion(WordJudge(), tmp_path)
    judge.classify(["joy", "fear"])
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    for blob in (whole[:-5], whole + "\nnonsense\n[1]\n", whole.replace('"joy"', '"foy"')):
        path.write_text(blob)
        fresh = WordJudge()
        assert [s.label for s in remember_emotion(fresh, tmp_path).classify(["joy", "fear"])] == [
            "joy",
            "fear",
        ]
        last = WordJudge()
        remember_emotion(last, tmp_path).classify(["joy", "fear"])
        assert last.seen == []


def test_empathy_is_remembered_by_context_and_response(tmp_path: Path):
    first, second = LengthIdentifier(), LengthIdentifier()
    pairs = [("a b", "c"), ("a", "b c"), ("a b", "c")]
    made = remember_empathy(first, tmp_path).identify(pairs)
    assert first.seen == pairs[:2]
    assert made == LengthIdentifier().identify(pairs)
    assert remember_empathy(second, tmp_path).identify(pairs) == made
    assert second.seen == []


def test_texts_are_embedded_once():
    import numpy as np

    seen: list[str] = []

    def embed(texts):
        seen.extend(texts)
        return np.array([[len(t), 1.0] for t in texts]).reshape(-1, 2)

    remembered = remember_embed(embed)
    assert remembered(["a", "bb", "a"]).tolist() == [[1, 1], [2, 1], [1, 1]]
    assert remembered(["bb"]).tolist() == [[2, 1]]
    assert seen == ["a", "bb"]


def test_a_missing_library_is_not_a_missing_instrument(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(Unsupported, match="pip install rouge-score"):
        build("rouge_l")
    opened = open_instruments(Wanted(("rouge_l", "distinct_2")))
    can, left_out = measurable(("rouge_l", "distinct_2"), opened, run_facts(run(), None))
    assert can == ["distinct_2"]
    assert [(names, "rouge-score" in why) for why, names in left_out.items()] == [
        (["rouge_l"], True)
    ]
    assert opened.missing == {}


def test_replies_at_full_intensity_have_numbers_of_their_own():
    made = scored()
    assert made.at_full == made.per_emotion["joy"]  # sadness is asked at 50
    assert scored([p for p in run() if p[1].emotion is None]).at_full == {}


def test_metrics_without_their_instruments_are_left_out_with_a_reason(monkeypatch):
    from emotone.errors import ModelMissing

    def absent(wanted: Wanted):
        raise ModelMissing("the zoo is not here; install it")

    monkeypatch.setattr(instruments, "_emotion", absent)
    names = ("distinct_2", "emotion_accuracy", "ecm_perplexity")
    opened = open_instruments(Wanted(names))
    can, left_out = measurable(names, opened, run_facts(run(), None))
    assert can == ["distinct_2"]
    assert left_out["the zoo is not here; install it"] == ["emotion_accuracy"]
    assert sorted(n for names in left_out.values() for n in names) == [
        "ecm_perplexity",
        "emotion_accuracy",
    ]
    for strict in (Wanted(names, strict=True), Wanted(names, judge="en-score")):
        with pytest.raises(ModelMissing, match="install it"):
            open_instruments(strict)


def test_a_metric_that_needs_plain_replies_has_them_from_the_run():
    import numpy as np

    tools = Instruments(embed=lambda texts: np.ones((len(texts), 1)))
    made = score_run(run(), ["similarity_neutral"], tools, rounds=10)
    assert (made.metrics["similarity_neutral"].value, made.metrics["similarity_neutral"].n) == (
        1,
        20,
    )
    with pytest.raises(Unsupported):
        score_run([p for p in run() if p[1].emotion], ["similarity_neutral"], tools)


# -- the file ---------------------------------------------------------------------------------


def test_scores_come_back_as_they_were_and_nan_is_null(tmp_path: Path):
    against = compare(run(), run("two", 0.5), NAMES, Instruments(emotion=WordJudge()), rounds=20)
    made = dataclasses.replace(scored(), against=(against,), manifest={"python": "3"})
    path = tmp_path / "scores.json"
    write_scores(made, path)
    row = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert row["per_emotion"]["none"]["emotion_accuracy"]["value"] is None
    again = read_scores(path)
    assert scores_json(again) == path.read_text()
    assert again.metrics == made.metrics
    assert again.dose == made.dose
    assert again.confusion == made.confusion
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row.pop("system"),
        lambda row: row.update(format=2),
        lambda row: row.update(n="30"),
        lambda row: row.update(metrics=[]),
        lambda row: row["metrics"].update(bleu=3),
        lambda row: row["metrics"].update(bleu={"value": "3"}),
        lambda row: row["metrics"].update(bleu={"valeu": 3}),
        lambda row: row["confusion"].update(asked=["joy"]),
        lambda row: row["confusion"]["counts"][0].append("x"),
        lambda row: row["distributions"]["length"].update(edges=[0]),
        lambda row: row["dose"]["joy"][0].update(intensity="high"),
        lambda row: row.update(against=[{}]),
    ],
)
def test_a_file_of_another_shape_is_refused_by_name(tmp_path: Path, spoil):
    row = json.loads(scores_json(scored()))
    spoil(row)
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match=r"scores\.json is no scores file"):
        read_scores(path)


@pytest.mark.parametrize("blob", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path: Path, blob: bytes):
    path = tmp_path / "scores.json"
    path.write_bytes(blob)
    with pytest.raises(DataError, match="cannot read"):
        read_scores(path)


def test_chinese_replies_are_compared_by_the_word_vectors_of_the_zoo():
    from emotone.models import zoo

    if "zh-words" not in zoo.listed("vectors"):
        pytest.skip("emotone-zoo is not installed; install it with `pip install -e zoo`")
    opened = open_instruments(Wanted(("similarity_reference", "greedy_match"), "zh"))
    assert opened.instruments.embed_name.startswith("zh-words-1-")
    assert opened.instruments.embed is not None
    near = opened.instruments.embed(["我很难过", "我好伤心", "明天去爬山"])
    assert near[0] @ near[1] > near[0] @ near[2]
    assert set(opened.missing) == {"embed_tokens"}  # token states are of the English encoder
