"""What every judge of the zoo keeps to."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from recipes.judges import sense_pairs

from emotone.data import everyday
from emotone.emotions import TAXONOMIES
from emotone.judges import names, open_judge, open_sense, sense_judges, trunk
from emotone.judges.card import read_card, read_texts, text_digest
from emotone.models import catalog, installed, zoo

pytestmark = pytest.mark.model

TEXTS = [
    "I am so happy that you came!",
    "He shouted at me and I hate him for it.",
    "我今天特别开心！",
    "他们太过分了，我很生气。",
    "",
    "😀",
    "word " * 500,
]
#: Judges of a whole language model, where a pass takes a second.
LARGE = ("zh-score",)
CASES = [
    pytest.param(name, head.taxonomy, marks=pytest.mark.slow if name in LARGE else ())
    for name in names()
    for head in read_card(zoo.folder("judges", name)).heads
]


@pytest.fixture(scope="module")
def opened():
    made = {}
    trunks = {}

    def open_once(name: str, taxonomy: str):
        card = read_card(zoo.folder("judges", name))
        if card.kind == "encoder" and card.settings["trunk"]["backbone"] not in installed():
            pytest.skip(f"{card.settings['trunk']['backbone']} is not in the cache")
        if (name, taxonomy) not in made:
            with pytest.MonkeyPatch.context() as patch:
                if name in trunks:  # seconds to load, and its change is merged into it already
                    patch.setattr(trunk, "open_trunk", lambda *_, **__: trunks[name])
                    patch.setattr(trunk, "merge", lambda *_: None)
                made[name, taxonomy] = open_judge(name, taxonomy)
            if card.kind == "encoder":
                trunks[name] = made[name, taxonomy].trunk
        return made[name, taxonomy]

    return open_once


def test_the_zoo_has_the_four_judges_of_the_house():
    if not names():
        pytest.skip("emotone-zoo is not installed; install it with `pip install -e zoo`")
    assert {"en-label", "en-score", "zh-label", "zh-score"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_roles_are_of_different_kinds_and_share_no_data(name: str):
    card = read_card(zoo.folder("judges", name))
    assert card.role == name.split("-")[1]
    assert card.lang == name.split("-")[0]
    other = read_card(
        zoo.folder("judges", f"{card.lang}-{'score' if card.role == 'label' else 'label'}")
    )
    assert card.kind != other.kind
    assert not set(card.data.values()) & set(other.data.values())
    assert (zoo.folder("judges", name) / "README.md").is_file()
    if card.kind == "encoder":
        assert card.settings["trunk"]["backbone"] in catalog.known()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_judges_of_different_roles_share_no_training_text(lang: str):
    here = [n for n in names() if n.startswith(lang)]
    folders = [zoo.folder("judges", name) for name in here]
    folders += [zoo.folder("sense", n) for n in sense_judges() if n.startswith(lang)]
    learnt = {(f.name, read_card(f).role, read_card(f).kind): read_texts(f) for f in folders}
    for (name, role, kind), texts in learnt.items():
        assert len(texts) > 1000, name
        for (other, its_role, its_kind), its_texts in learnt.items():
            if role != its_role and (kind == "sense") == (its_kind == "sense"):
                assert not texts & its_texts, f"{name} and {other} learnt from one text"


@pytest.mark.parametrize("name", names())
def test_no_judge_has_learnt_a_held_out_reply_of_everyday(name: str):
    texts = read_texts(zoo.folder("judges", name))
    lines = everyday.lines(read_card(zoo.folder("judges", name)).lang, splits=["test"])
    held_out = {text_digest(text) for line in lines for text in line.replies.values()}
    assert len(held_out & texts) <= 2, "short replies may be said twice"


@pytest.mark.parametrize(("name", "taxonomy"), CASES)
def test_every_text_gets_calibrated_probabilities_of_every_label(opened, name: str, taxonomy: str):
    judge = opened(name, taxonomy)
    assert judge.taxonomy.name == taxonomy
    for scores in judge.classify(TEXTS):
        assert tuple(scores.probabilities) == TAXONOMIES[taxonomy].labels
        assert sum(scores.probabilities.values()) == pytest.approx(1.0, abs=1e-6)
        assert scores.label == max(scores.probabilities, key=scores.probabilities.__getitem__)


@pytest.mark.parametrize(("name", "taxonomy"), CASES)
def test_company_and_order_change_nothing(opened, name: str, taxonomy: str):
    judge = opened(name, taxonomy)
    together = judge.classify(TEXTS)
    assert judge.classify([]) == []
    for text, scores in zip(TEXTS[::-1], judge.classify(TEXTS[::-1])[:3], strict=False):
        (alone,) = judge.classify([text])
        first = together[TEXTS.index(text)]
        for label, p in scores.probabilities.items():
            assert alone.probabilities[label] == pytest.approx(p, abs=1e-4)
            assert first.probabilities[label] == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize(("name", "taxonomy"), CASES)
def test_plain_feelings_are_heard(opened, name: str, taxonomy: str):
    judge = opened(name, taxonomy)
    joy, anger = TEXTS[:2] if name.startswith("en") else TEXTS[2:4]
    happy = {"nlpcc": "happiness", "smp2020": "happy"}.get(taxonomy, "joy")
    angry = {"smp2020": "angry"}.get(taxonomy, "anger")
    a, b = judge.classify([joy, anger])
    assert a.probabilities[happy] > b.probabilities[happy]
    assert b.probabilities[angry] > a.probabilities[angry]


@pytest.mark.slow
@pytest.mark.parametrize("name", sense_judges())
def test_sense_is_judged_by_post_and_reply_together(name: str):
    card = read_card(zoo.folder("sense", name))
    if card.settings["trunk"]["backbone"] not in installed():
        pytest.skip(f"{card.settings['trunk']['backbone']} is not in the cache")
    judge = open_sense(name)
    lines = everyday.lines(card.lang, kinds=["plain"], splits=["test"])[:24]
    own = [(line.post, line.replies["surprise"]) for line in lines]
    other = [
        (line.post, far.replies["surprise"])
        for line, far in zip(lines, lines[1:] + lines[:1], strict=True)
    ]
    space = "" if card.lang == "zh" else " "
    broken = [(p, space.join(reversed(sense_pairs.words(r, card.lang)))) for p, r in own]
    chances = judge.content(own)
    assert chances.shape == (24, 3)
    assert chances.sum(-1) == pytest.approx(np.ones(24))
    # One pair says little, as the page of readers shows: a judge of sense ranks many.
    assert chances[:, 2].mean() > judge.content(other)[:, 2].mean() + 0.05
    assert chances[:, 2].mean() > judge.content(broken)[:, 2].mean() + 0.2
    assert judge.content(own[::-1])[::-1] == pytest.approx(chances, abs=1e-4)
    assert judge.content([]).shape == (0, 3)
    assert 0 < judge.human_median < 1
    assert (zoo.folder("sense", name) / "README.md").is_file()


@pytest.mark.parametrize("name", names())
def test_a_name_says_which_card_and_with_it_which_weights(name: str):
    card = read_card(zoo.folder("judges", name))
    assert re.fullmatch(rf"{name}-{card.version}-[0-9a-f]{{8}}", str(card.judge_name()))
    assert str(replace(card, weights="0" * 64).judge_name()) != str(card.judge_name())
    warmer = tuple(replace(h, temperature=h.temperature + 0.5) for h in card.heads)
    assert str(replace(card, heads=warmer).judge_name()) != str(card.judge_name())


def test_the_identifiers_write_the_names_of_epitome(tmp_path):
    from emotone.cli.judge import empathy
    from emotone.judges import identifiers

    if not {"empathy-score", "empathy-reward"} <= set(identifiers()):
        pytest.skip("emotone-zoo is not installed; install it with `pip install -e zoo`")
    if "minilm" not in installed():
        pytest.skip("minilm is not in the cache")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        json.dumps({"context": "I lost my job.", "response": "I am so sorry. What happened?"}),
        encoding="utf-8",
    )
    for name in ("empathy-score", "empathy-reward"):
        empathy(str(pairs), str(tmp_path / "levels.jsonl"), name)
        row = json.loads((tmp_path / "levels.jsonl").read_text(encoding="utf-8"))
        levels = ("emotional_reactions", "interpretations", "explorations")
        assert list(row) == ["id", *levels, "scores", "judge"]
        assert row["emotional_reactions"] in (1, 2)
        assert row["explorations"] > 0
        assert all(sum(row["scores"][k]) == pytest.approx(1.0, abs=1e-5) for k in levels)
        assert row["judge"].startswith(f"{name}-1-")
