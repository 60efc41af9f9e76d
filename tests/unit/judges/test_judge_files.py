"""Judges in folders: written, read back, and refused when damaged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from emotone.emotions import EKMAN
from emotone.errors import CheckpointError, EmotoneError, ModelMissing, UnknownName
from emotone.judges import open_judge
from emotone.judges.card import CARD, WEIGHTS, Head, JudgeCard, read_card, write_card
from emotone.judges.grams import Grams
from emotone.judges.ngram import NgramJudge, ngram_settings, ngram_tensors, train_ngram_judge

ROWS = [
    (f"{frame} {word}", label)
    for label, words in {
        "joy": ("wonderful", "delighted", "sunshine"),
        "sadness": ("lonely", "grief", "crying"),
        "fear": ("afraid", "terror", "trembling"),
    }.items()
    for word in words
    for frame in ("so", "what", "feeling", "a day of", "nothing but", "always\nso")
]
TEXTS = ["wonderful sunshine", "grief and crying", "trembling", "", "😀 x", "w" * 3000]


@pytest.fixture(scope="module")
def judge() -> NgramJudge:
    grams = (Grams("word", 1, 2, 2), Grams("char", 2, 3, 2))
    return train_ngram_judge(ROWS, grams=grams, cap=None, balance=0.5)


@pytest.fixture
def folder(judge: NgramJudge, tmp_path: Path) -> Path:
    from safetensors.numpy import save_file

    place = tmp_path / "my-judge"
    place.mkdir()
    save_file(ngram_tensors(judge), place / WEIGHTS)
    weights = hashlib.sha256((place / WEIGHTS).read_bytes()).hexdigest()
    head = Head("ekman", judge.labels, 1.5)
    card = JudgeCard("my-judge", "ngram", "label", "en", 1, (head,), weights, ngram_settings(judge))
    write_card(place, card)
    return place


def test_what_was_written_judges_alike(judge: NgramJudge, folder: Path):
    loaded = open_judge(folder)
    assert isinstance(loaded, NgramJudge)
    assert loaded.temperature == 1.5
    assert loaded.name.startswith("my-judge-1-")
    for a, b in zip(judge.logits(TEXTS), loaded.logits(TEXTS), strict=True):
        assert a == pytest.approx(b, abs=2e-2)  # weights are kept in float16
    assert [s.label for s in loaded.classify(TEXTS[:3])] == ["joy", "sadness", "fear"]


def test_two_classes_are_judged_like_any_number():
    two = train_ngram_judge([r for r in ROWS if r[1] != "fear"])
    heard = two.classify(["wonderful", "grief"])
    assert [s.label for s in heard] == ["joy", "sadness"]
    assert all(sum(s.probabilities.values()) == pytest.approx(1.0) for s in heard)
    assert two.logits(["wonderful"]).shape == (1, 2)


def test_the_card_survives_its_file(folder: Path):
    card = read_card(folder)
    write_card(folder, card)
    assert read_card(folder) == card
    assert card.head(None)[1] is EKMAN


def test_a_foreign_label_set_is_refused(folder: Path):
    with pytest.raises(UnknownName, match="taxonomy of my-judge 'nlpcc'"):
        open_judge(folder, "nlpcc")


@pytest.mark.parametrize("at", [10, 200, -1])
def test_a_flipped_byte_of_the_weights_is_found(folder: Path, at: int):
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[at] ^= 1
    (folder / WEIGHTS).write_bytes(raw)
    with pytest.raises(CheckpointError, match="damaged"):
        open_judge(folder)


@pytest.mark.parametrize(
    "change", [{"format": 99}, {"kind": "oracle"}, {"heads": "none"}, {"settings": {}}]
)
def test_a_card_of_another_shape_is_refused(folder: Path, change: dict[str, object]):
    row = json.loads((folder / CARD).read_text(encoding="utf-8")) | change
    (folder / CARD).write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(EmotoneError, match=r"my-judge|kind|heads|grams"):
        open_judge(folder)


def test_without_the_zoo_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emotone.models.zoo._root", lambda: None)
    with pytest.raises(ModelMissing, match="emotone-zoo, which is not installed"):
        open_judge("en-score")


def test_an_unknown_judge_lists_the_known_ones():
    from emotone.judges import names

    if not names():
        pytest.skip("emotone-zoo is not installed; install it with `pip install -e zoo`")
    with pytest.raises(UnknownName, match="en-label"):
        open_judge("en-scare")


def test_the_name_changes_with_all_that_decides_on_labels(folder: Path):
    from dataclasses import replace

    from emotone.judges.identifier import IdentifierCard, TrainedIdentifier

    card = read_card(folder)
    (head,) = card.heads
    titles = {
        str(c.judge_name())
        for c in (
            card,
            replace(card, weights="0" * 64),
            replace(card, heads=(replace(head, temperature=head.temperature + 1),)),
            replace(card, settings={**card.settings, "max_tokens": 7}),
        )
    }
    assert len(titles) == 4
    assert all(t.startswith(f"{card.name}-1-") and len(t.split("-")[-1]) == 8 for t in titles)
    assert str(read_card(folder).judge_name()) == str(card.judge_name())
    heat = dict.fromkeys(("reaction", "interpretation", "exploration"), 1.0)
    first = IdentifierCard("e", 1, "score", (), heat, dict.fromkeys(heat, (0.0, 0.0, 0.0)), "ab")
    other = replace(first, offsets={**first.offsets, "reaction": (0.0, 0.5, 0.0)})
    # Only the name is asked for, so no network is needed.
    named = [object.__new__(TrainedIdentifier) for _ in range(2)]
    for identifier, about in zip(named, (first, other), strict=True):
        object.__setattr__(identifier, "card", about)
    assert named[0].name != named[1].name
    assert named[0].name.startswith("e-1-")
