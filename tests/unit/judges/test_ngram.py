"""The judge by words and letters, trained from labelled texts in seconds."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest

from emotone.emotions import EKMAN, NLPCC
from emotone.errors import DataError
from emotone.judges.ngram import NgramJudge, read_labelled, train_ngram_judge

WORDS = {
    "joy": ("wonderful", "delighted", "laughing", "celebrate", "sunshine"),
    "sadness": ("crying", "lonely", "grief", "heartbroken", "mourning"),
    "anger": ("furious", "outrage", "hateful", "shouting", "revenge"),
}
FRAMES = ("I am {} and {} today", "what a {} and {} thing", "so {}, so {}", "{} or {} again")


def toy() -> list[tuple[str, str]]:
    return [
        (frame.format(a, b), label)
        for label, words in WORDS.items()
        for a in words
        for b in words
        for frame in FRAMES
        if a != b
    ]


@pytest.fixture(scope="module")
def judge() -> NgramJudge:
    return train_ngram_judge(toy())


def test_it_learns_what_is_obvious(judge: NgramJudge):
    # Frames that it has not read, so that only the words can tell.
    heard = judge.classify([f"the {w} of my neighbour" for ws in WORDS.values() for w in ws])
    assert [s.label for s in heard] == [label for label in WORDS for _ in range(5)]
    assert all(s.probabilities[s.label] > 0.5 for s in heard)


def test_it_reads_letters_too(judge: NgramJudge):
    assert judge.classify(["furiously"])[0].label == "anger"


def test_probabilities_sum_to_1_over_all_labels_and_unseen_ones_have_none(judge: NgramJudge):
    texts = ["wonderful", "grief and revenge", "", "zzz", "悲伤 😀", "a" * 5000]
    for scores in judge.classify(texts):
        assert tuple(scores.probabilities) == EKMAN.labels
        assert sum(scores.probabilities.values()) == pytest.approx(1.0, abs=1e-9)
        assert all(0.0 <= p <= 1.0 for p in scores.probabilities.values())
        assert scores.probabilities[scores.label] == max(scores.probabilities.values())
        assert all(scores.probabilities[e] == 0.0 for e in set(EKMAN.labels) - set(WORDS))


def test_each_text_is_scored_for_itself_and_in_order(judge: NgramJudge):
    texts = ["wonderful", "grief", "revenge"]
    assert judge.classify(texts) == [judge.classify([t])[0] for t in texts]
    assert judge.classify([]) == []


@pytest.mark.parametrize("cap", [2500, 20])
def test_the_order_of_rows_and_repeated_rows_change_nothing(cap: int):
    rows = toy()
    first = train_ngram_judge(rows, cap=cap)
    random.Random(1).shuffle(rows)
    second = train_ngram_judge([*rows, *rows[:50]], cap=cap)
    assert second.name == first.name
    texts = ["a wonderful day", "crying or furious", "shouting"]
    assert second.classify(texts) == first.classify(texts)


def test_the_order_of_sets_in_a_process_changes_nothing():
    """A process with another order of sets than this one trains the same judge."""
    words = [f"word{i}" for i in range(40)]
    order = f"print([*{{*{words}}}]); "
    script = (
        order + "from emotone.judges.ngram import train_ngram_judge as t\n"
        "rows = [(f'word{i % 40} text', l) for i in range(40) for l in ('joy', 'fear', 'anger')]\n"
        "print(t(rows, cap=20).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "4321"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs, name = done.stdout.splitlines()
    assert theirs != str([*{*words}])
    labels = ("joy", "fear", "anger")
    rows = [(f"word{i % 40} text", label) for i in range(40) for label in labels]
    assert name == train_ngram_judge(rows, cap=20).name
    assert name.startswith("ngram-")


def test_the_name_tells_the_data(judge: NgramJudge):
    assert judge.name.startswith("ngram-")
    assert train_ngram_judge(toy()[:-1]).name != judge.name
    assert train_ngram_judge(toy(), cap=20).name != judge.name


def test_no_more_texts_of_a_label_than_the_cap_are_used():
    rows = toy()
    few = [(t, label) for t, label in rows if label != "joy"][::8]
    joyful = [row for row in rows if row[1] == "joy"]
    capped = train_ngram_judge([*few, *joyful], cap=12)
    flat = train_ngram_judge([*few, *joyful])
    assert capped.name != flat.name
    text = ["today"]
    assert capped.classify(text) != flat.classify(text)


def test_a_label_outside_the_set_is_refused_with_the_set():
    with pytest.raises(DataError) as caught:
        train_ngram_judge([*toy(), ("good", "happiness")])
    assert "label 'happiness' is not in ekman; use anger, disgust, fear" in str(caught.value)
    with pytest.raises(DataError, match="'joy' is not in nlpcc"):
        train_ngram_judge([("good", "joy"), ("bad", "anger")], NLPCC)


def test_other_label_sets_are_scored_over_their_own_labels():
    rows = [(t, {"joy": "happiness"}.get(label, label)) for t, label in toy()]
    (scores,) = train_ngram_judge(rows, NLPCC).classify(["wonderful"])
    assert tuple(scores.probabilities) == NLPCC.labels
    assert scores.label == "happiness"


@pytest.mark.parametrize("rows", [[], [("a", "joy")], [("good", "joy"), ("fine", "joy")]])
def test_fewer_than_two_labels_are_refused(rows: list[tuple[str, str]]):
    with pytest.raises(DataError, match="two labels or more"):
        train_ngram_judge(rows)


@pytest.mark.parametrize(
    "rows", [[("one", "joy"), ("two", "fear")], [("!", "joy"), ("?", "joy"), ("", "fear")]]
)
def test_texts_that_teach_nothing_are_refused(rows: list[tuple[str, str]]):
    with pytest.raises(DataError, match="give more labelled texts"):
        train_ngram_judge(rows)


# -- its texts --------------------------------------------------------------------------------


def test_labelled_lines_are_read_and_empty_ones_skipped():
    lines = ['{"text": "a", "label": "joy", "x": 1}\n', "\n", '{"text": "", "label": "fear"}']
    assert read_labelled(lines, "texts.jsonl") == [("a", "joy"), ("", "fear")]


@pytest.mark.parametrize(
    "line",
    [
        "oops",
        "[]",
        "3",
        "null",
        '"text"',
        "{}",
        '{"text": "a"}',
        '{"label": "joy"}',
        '{"text": 3, "label": "joy"}',
        '{"text": "a", "label": null}',
        '{"text": ["a"], "label": "joy"}',
    ],
)
def test_a_malformed_labelled_line_is_refused_with_file_and_line(line: str):
    good = json.dumps({"text": "a", "label": "joy"})
    with pytest.raises(DataError, match=r"^texts\.jsonl, line 3: "):
        read_labelled([good, "", line, good], "texts.jsonl")
