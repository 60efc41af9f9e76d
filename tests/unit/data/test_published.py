"""The readers on the published files: as many examples as their authors count.

The counts are those of the copies that `EMOTONE_DATA` names; without it the tests are skipped.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from emotone.data import corpora
from emotone.data.corpora import emotionquery, epitome, goemotions
from emotone.data.reading import Problems
from emotone.data.stats import collect
from emotone.emotions import EKMAN, GOEMOTIONS

#: (corpus, folder, split, examples, bad lines)
COUNTS = [
    # 40.2 thousand and 5.73 thousand pairs of context and listener's reply
    ("empathetic_dialogues", "empatheticdialogues", "train", 40276, 0),
    ("empathetic_dialogues", "empatheticdialogues", "valid", 5730, 0),
    # every turn of a listener, 46,006 in 22,311 conversations
    ("empathetic_intents", "empatheticdialogues", "all", 46006, 0),
    ("epitome", "epitome", "reddit", 2625, 0),
    ("emotionquery", "emotionquery", "queries", 500, 0),
    ("emotionquery", "emotionquery", "plus", 400, 0),
    ("goemotions", "goemotions", "train", 43410, 0),
    ("goemotions", "goemotions", "dev", 5426, 0),
    ("goemotions", "goemotions", "ekman-train", 43410, 0),
    ("meld", "meld", "dev", 783, 0),
    ("emorynlp", "meld", "dev", 773, 0),
    # 8,206 utterances in 834 dialogues, 493 in 47
    ("dailydialog", "dailydialog_reccon", "train", 8206 - 834, 0),
    ("dailydialog", "dailydialog_reccon", "valid", 493 - 47, 0),
    ("esconv", "esconv", "failed", 1908, 0),
    # of 2,985 and 2,775 lines; those whose response goes on with the supporter's are one
    ("esconv_tsv", "esconv", "dev", 2460, 0),
    ("esconv_tsv", "esconv", "test", 2264, 0),
    # two of 27,768 weibos are empty
    ("smp2020_ewect", "smp2020_ewect", "usual-train", 27766, 2),
    ("smp2020_ewect", "smp2020_ewect", "usual-eval", 2000, 0),
    ("smp2020_ewect", "smp2020_ewect", "virus-train", 8606, 0),
    ("smp2020_ewect", "smp2020_ewect", "virus-eval", 2000, 0),
    ("nlpcc_emotion", "nlpcc_emotion", "train", 26396, 0),
    ("nlpcc_emotion", "nlpcc_emotion", "dev", 1464, 0),
    # one of 13,248 sentences is empty
    ("nlpcc_emotion", "nlpcc_emotion", "xml-2013", 13247, 1),
    ("nlpcc_emotion", "nlpcc_emotion", "xml-2014-sample", 3454, 0),
    ("nlpcc_emotion", "nlpcc_emotion", "xml-2014-test", 15693, 0),
    ("ecm", "ecm", "train", 173, 0),
    ("ecg", "ecm", "dev", 2009, 0),
    ("ecm_sentences", "ecm", "all", 40133, 0),
    ("cped", "cped", "valid", 2699, 0),
    # about 20.1 thousand neighbours; six of the extra thousand dialogues have other lengths
    ("xdailydialog", "xdailydialog", "zh-dev", 7030, 0),
    ("xdailydialog", "xdailydialog", "zh-test", 6720, 0),
    ("xdailydialog", "xdailydialog", "zh-more", 6330, 6),
    ("xdailydialog", "xdailydialog", "en", 20080, 6),
    ("lccc", "lccc_toy", "train", 10000, 0),
    ("lccc", "lccc_toy", "all", 3704, 0),
    ("chatterbot", "chatterbot_corpus", "english", 2306, 1),
    ("chatterbot", "chatterbot_corpus", "chinese", 552, 0),
]


@pytest.mark.parametrize(
    ("name", "folder", "split", "count", "bad"), COUNTS, ids=[f"{c[0]}-{c[2]}" for c in COUNTS]
)
def test_the_published_files_give_the_published_counts(
    data: Path, name: str, folder: str, split: str, count: int, bad: int
):
    problems = Problems("skip")
    stats = collect(corpora.module(name).read(data / folder, problems, split=split))
    assert (stats.examples, problems.count) == (count, bad), problems.places
    assert stats.same_ids == 0


def test_the_levels_of_epitome_add_up(data: Path):
    stats = collect(epitome.read(data / "epitome", Problems()))
    assert stats.empathy == {
        "reaction": [1754, 745, 126],
        "interpretation": [1388, 96, 1141],
        "exploration": [2213, 87, 325],
    }


def test_rationales_are_in_the_responses_that_show_a_mechanism(data: Path):
    inside = total = 0
    for rated in epitome.read_rated(data / "epitome", Problems()):
        assert rated.example.empathy is not None
        for mechanism, spans in rated.rationales.items():
            if getattr(rated.example.empathy, mechanism) == 0:
                continue
            total += len(spans)
            inside += sum(span.strip() in (rated.example.reply or "") for span in spans)
    assert total > 2000
    assert inside / total > 0.98  # a few responses were edited after they were rated


def test_the_map_to_ekman_is_that_of_the_authors_of_goemotions(data: Path):
    fine = goemotions.read(data / "goemotions", Problems(), split="train")
    ekman = goemotions.read(data / "goemotions", Problems(), split="ekman-train")
    checked = Counter[str]()
    for one, other in zip(fine, ekman, strict=True):
        label, theirs = one.dialogue.posts[0].emotion, other.dialogue.posts[0].emotion
        assert one.dialogue.posts[0].text == other.dialogue.posts[0].text
        if label is not None:
            assert GOEMOTIONS.map_to(label, EKMAN) == theirs, one.id
            checked[label.label] += 1
    assert set(checked) == set(GOEMOTIONS.labels)


def test_the_emotional_questions_of_plus_have_the_labels_of_emotionquery(data: Path):
    made = list(emotionquery.read(data / "emotionquery", Problems()))
    known = {
        (e.dialogue.posts[0].text, e.dialogue.posts[0].emotion)
        for e in made
        if e.id.startswith("queries")
    }
    plus = [e.dialogue.posts[0] for e in made if e.id.startswith("plus-emotional")]
    assert len(plus) == 250
    assert sum((post.text, post.emotion) in known for post in plus) >= 240
