"""Vectors made of what comes with the package, and moods that a user defines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emotone.emotions import EVERYDAY, EmotionMix
from emotone.errors import DataError, UsageError
from emotone.models import CausalLM
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.companion import Exchange
from emotone.steering.dose import Curve
from emotone.steering.find import open_vectors, own_place, vectors_fitting, vectors_of
from emotone.steering.make import (
    MakeSettings,
    contrast,
    define,
    expected_seconds,
    make_vectors,
    nearest,
    with_moods,
)
from emotone.steering.tiny import tiny_vectors
from emotone.steering.vector_file import WITH_ADAPTERS
from emotone.steering.vectors import EmotionVectors
from emotone.systems.steered import Config, Steered
from emotone.types import Dialogue

FEW = MakeSettings(steps=2, posts=2)
GRUMPY = [f"Leave me alone with your {thing}." for thing in (
    "coffee", "cat", "train", "boss", "birthday", "phone", "garden", "soup", "match", "exam",
    "neighbour", "car", "rent", "holiday",
)]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small_listener() -> Iterator[None]:
    """Teach listeners on eight lines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emotone.steering.make._TAUGHT", 8)
        yield


@pytest.fixture(scope="module")
def made() -> EmotionVectors:
    return make_vectors(tiny_causal_lm(), settings=FEW)


def test_every_emotion_and_mood_gets_a_direction_and_the_model_stays(made: EmotionVectors):
    lm = tiny_causal_lm()
    assert made.labels == tuple(e for e in EVERYDAY.labels if e != EVERYDAY.neutral)
    assert all(direction.any() for direction in made.directions.values())
    assert made.listener is not None
    assert len(made.listener.labels) >= 8
    before = [p.clone() for p in lm.model.parameters()]
    again = make_vectors(lm, settings=FEW)
    assert again.digest() == made.digest()
    for p, old in zip(lm.model.parameters(), before, strict=True):
        assert torch.equal(p, old)
        assert p.requires_grad


def test_a_killed_run_goes_on_and_ends_the_same(made: EmotionVectors, tmp_path: Path):
    class Killed(Exception):
        pass

    def kill(step: int, steps: int) -> None:
        if step == steps:
            raise Killed

    saves = replace(FEW, save_every=1)
    with pytest.raises(Killed):
        make_vectors(tiny_causal_lm(), settings=saves, checkpoint=tmp_path / "fit", progress=kill)
    on = make_vectors(tiny_causal_lm(), settings=saves, checkpoint=tmp_path / "fit")
    assert on.digest() == made.digest()


def test_progress_rises_through_reading_and_fitting():
    calls: list[tuple[int, int]] = []
    make_vectors(tiny_causal_lm(), settings=FEW, progress=lambda *call: calls.append(call))
    total = calls[0][1]
    assert {last for _, last in calls} == {total}
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1] == (total, total)


def test_the_time_told_in_advance_grows_with_the_steps(monkeypatch: pytest.MonkeyPatch):
    ticks = iter([0.0, 1.0] * 2)
    monkeypatch.setattr("emotone.steering.make.time.perf_counter", lambda: next(ticks))
    lm = tiny_causal_lm()
    few, more = (expected_seconds(lm, settings=replace(FEW, steps=n)) for n in (2, 20))
    assert 0 < few < more


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_contrast_set_holds_nothing_that_the_labelling_judge_was_taught(lang):
    lines = contrast(lang)
    assert {line.split for line in lines} <= {"train-a", "train-c"}
    assert {line.lang for line in lines} == {lang}
    exchanges = [Exchange(line.dialogue, line.replies) for line in lines]
    labels = {label for e in exchanges for label in e.replies}
    assert labels == set(EVERYDAY.labels)
    assert not any(line.kind == "moods" for line in contrast(lang, moods=False))


def test_moods_take_the_others_median_dose():
    lm = tiny_causal_lm()
    vectors = tiny_vectors(lm.model)
    curves = {"joy": Curve(((-100.0, -0.2), (0.0, 0.0), (100.0, 0.8)))}
    directions = {"joy": vectors["joy"], "calm": vectors["fear"]}
    card = replace(vectors.card, curves=curves)
    both = with_moods(EmotionVectors(directions, card))
    assert both.card.curves["calm"].dose(100) == 0.8
    assert both.card.curves["calm"].dose(50) == 0.4
    assert both.card.measured["not heard"] == ["calm"]
    assert both.card.curves["joy"] == curves["joy"]


def test_the_nearest_other_direction_is_named():
    one, other = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)), torch.ones(2, 4)
    table = nearest({"a": one, "b": one * 3, "c": other}, torch.ones(2))
    assert table["a"] == "b 1.00"
    assert table["b"] == "a 1.00"


def nats_of(lm: CausalLM, mood: EmotionVectors, replies: list[str]) -> float:
    """Return the nats of replies in a mood at dose 1."""
    curve = Curve(((-100.0, -1.0), (0.0, 0.0), (100.0, 1.0)))
    card = replace(mood.card, curves=dict.fromkeys(mood.labels, curve))
    system = Steered(lm, replace(mood, card=card), Config())
    mix = EmotionMix.of(dict.fromkeys(mood.labels, 100.0), mood.taxonomy)
    posts = [Dialogue.of("How was your day?")] * len(replies)
    return sum(nats for nats, _ in system.nats(posts, [mix] * len(replies), replies))


def test_a_defined_mood_makes_replies_like_its_texts_likelier():
    lm = tiny_causal_lm()
    vectors = tiny_vectors(lm.model)
    alone, judge = define(lm, vectors, "grumpy", GRUMPY)
    assert alone.labels == ("grumpy",)
    plain = replace(alone, directions={"grumpy": torch.zeros_like(alone["grumpy"])})
    unread = ["Leave me alone with your dog.", "Leave me alone with your wedding."]
    assert nats_of(lm, alone, unread) < nats_of(lm, plain, unread)
    scores = judge.classify([*GRUMPY[:3], "It is on Monday."])
    assert {s.label for s in scores[:3]} == {"grumpy"}
    merged = vectors.merged(alone)
    assert merged.taxonomy.parse("grumpy").label == "grumpy"


@pytest.mark.parametrize(
    ("name", "texts", "error", "words"),
    [
        ("grumpy", GRUMPY[:3], DataError, "3 texts came; give 12 or more"),
        ("joy", GRUMPY, UsageError, "is an emotion already"),
        ("happy", GRUMPY, UsageError, "is an emotion already"),
        ("joy:60", GRUMPY, UsageError, "cannot be a mood"),
        ("Grumpy", GRUMPY, UsageError, "cannot be a mood"),
    ],
)
def test_what_cannot_be_a_mood_is_told(name: str, texts: list[str], error, words: str):
    lm = tiny_causal_lm()
    with pytest.raises(error, match=words):
        define(lm, tiny_vectors(lm.model), name, texts)


def test_what_was_made_here_is_found_by_name_and_by_weights(tmp_path: Path):
    lm = tiny_causal_lm()
    vectors = tiny_vectors(lm.model)
    assert vectors_of("org/tiny") == ""
    assert vectors_fitting(lm.model) is None
    vectors.save(own_place("org/tiny") / WITH_ADAPTERS)
    assert open_vectors(vectors_of("org/tiny")).labels == vectors.labels
    fitting = vectors_fitting(lm.model)
    assert fitting is not None
    assert fitting.digest() == open_vectors(vectors_of("org/tiny")).digest()


def test_a_companion_goes_before_vectors_made_for_the_model_below_it():
    lm = tiny_causal_lm()
    vectors = tiny_vectors(lm.model)
    vectors.save(own_place("smollm2") / WITH_ADAPTERS)
    assert vectors_of("smollm2") == "smollm2-companion"
    assert vectors_of("smollm2", companion=False) == str(own_place("smollm2"))
    with_adapters = replace(vectors, card=replace(vectors.card, adapters="abc"))
    with_adapters.save(own_place("smollm2") / WITH_ADAPTERS)
    assert vectors_of("smollm2") == str(own_place("smollm2"))
