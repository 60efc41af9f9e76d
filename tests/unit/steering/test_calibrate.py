from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from emotone.emotions import EKMAN
from emotone.errors import CheckpointError, ConfigError, SteeringError
from emotone.steering.calibrate import (
    DosePoint,
    Limits,
    SweepSettings,
    calibrated,
    curve_of,
    sweep,
)
from emotone.steering.fluency import (
    Fluency,
    distinct,
    known_share,
    repeated_share,
    tokenizer_words,
    words,
)
from emotone.systems import steered
from emotone.types import EmotionScores
from unit.steering.test_vectors import toy

GOOD = Fluency(0.8, 1.0, 0.0, 1.0, 1.0, 12.0)


def rising(d: float) -> float:
    return 0.1 + 0.8 / (1 + math.exp(-8 * (d - 0.6))) if d > 0 else 0.1 + 0.05 * d


def points(limit: float = 9.0) -> list[DosePoint]:
    doses = (-0.5, -0.25, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
    bad = dataclasses.replace(GOOD, repeats=0.5)
    return [DosePoint(d, rising(d), rising(d), GOOD if abs(d) <= limit else bad) for d in doses]


def test_fifty_is_half_way_in_judged_probability():
    curve = curve_of(points(), Limits())
    low, high = rising(0.0), rising(curve.dose(100))
    assert rising(curve.dose(50)) == pytest.approx((low + high) / 2, abs=0.05)
    assert rising(curve.dose(25)) == pytest.approx(low + (high - low) / 4, abs=0.05)
    assert curve.dose(-100) == -0.5


def test_the_fluency_limit_is_the_ceiling():
    assert curve_of(points(limit=0.8), Limits()).dose(100) == pytest.approx(0.8)
    assert curve_of(points(limit=0.3), Limits()).dose(-100) == -0.25


def test_a_fluent_dose_beyond_a_collapsed_one_does_not_count():
    row = points()
    row[6] = dataclasses.replace(row[6], fluency=dataclasses.replace(GOOD, known=0.5))
    assert curve_of(row, Limits()).dose(100) == pytest.approx(0.6)


def test_a_dose_that_is_no_more_effective_is_not_used():
    flat = [DosePoint(d, min(0.9, 0.1 + 2 * d), 1.0, GOOD) for d in (0.0, 0.2, 0.4, 0.8, 1.2)]
    assert curve_of(flat, Limits()).dose(100) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("change", "fluent"),
    [
        ({}, True),
        ({"perplexity": 1.5}, False),
        ({"perplexity": math.nan}, True),  # not measured is not failed
        ({"known": 0.9}, False),
        ({"repeats": 0.1}, False),
        ({"similarity": 0.5}, False),
        ({"distinct": 0.5}, False),
        ({"words": 2.0}, False),
    ],
)
def test_each_limit_bites(change, fluent):
    point = DosePoint(1.0, 0.9, 0.9, dataclasses.replace(GOOD, **change))
    assert point.fluent(Limits(), 12.0) is fluent


def test_no_fluent_or_no_effective_dose_raises():
    with pytest.raises(SteeringError, match="no dose keeps within"):
        curve_of(points(limit=0.1), Limits())
    deaf = [DosePoint(d, 0.1, 0.0, GOOD) for d in (0.0, 0.5, 1.0)]
    with pytest.raises(SteeringError, match="no dose raises the judged"):
        curve_of(deaf, Limits())


class Ear:
    """Hears joy by the share of the word joy."""

    name = "ear"
    taxonomy = EKMAN

    def classify(self, texts, posts=None):
        out = []
        for t in texts:
            p = words(t).count("joy") / max(1, len(words(t)))
            rest = dict.fromkeys(EKMAN.labels, 0.0) | {"joy": p, "neutral": 1 - p}
            out.append(EmotionScores(max(rest, key=rest.get), rest))
        return out


def answer(dialogues, raw):
    replies = []
    for i, (d, dose) in enumerate(zip(dialogues, raw, strict=True)):
        share = min(10, max(0, round(10 * dose.get("joy", 0.0))))
        other = [f"w{chr(97 + (i * 7 + j) % 26)}{chr(97 + j)}" for j in range(10 - share)]
        replies.append(" ".join(["joy"] * share + other) + " " + d.posts[-1].text)
    return replies


def embed(texts):
    rows = np.array([[1.0, len(t) / 100] for t in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_sweep_is_resumed_and_its_result_is_kept_in_the_card(tmp_path):
    calls = []

    def counted(dialogues, raw):
        calls.append(raw[0])
        return answer(dialogues, raw)

    posts = [f"post number {c}" for c in "abcdefghijkl"]
    vocabulary = {w for r in answer([_d(p) for p in posts], [{}] * 12) for w in words(r)} | {"joy"}
    kwargs = {
        "embed": embed,
        "vocabulary": vocabulary,
        "perplexity": lambda *_: 1.0,
        "settings": SweepSettings(doses=(0.2, 0.4), negative=(-0.2,), limits=Limits(repeats=1.0)),
        "checkpoint": tmp_path / "s.json",
    }
    first = sweep(["joy"], posts, counted, Ear(), **kwargs)
    answered = len(calls)
    again = sweep(["joy"], posts, counted, Ear(), **kwargs)
    assert len(calls) == answered  # everything came from the checkpoint
    assert repr(first) == repr(again)
    with pytest.raises(ConfigError, match=r"s\.json was begun with other posts"):
        sweep(["joy"], posts, counted, Ear(), depends_on={"posts": "x"}, **kwargs)
    (tmp_path / "s.json").write_text('{"plain": [', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"s\.json does not hold the replies of a sweep"):
        sweep(["joy"], posts, counted, Ear(), **kwargs)
    rates = [p.probability for p in first["joy"]]
    assert rates == sorted(rates)
    limits = Limits(repeats=1.0, distinct=0.1)
    card = calibrated(toy(curves=False), first, limits, "ear").card
    assert card.measured["judge"] == "ear"
    assert card.curves["joy"].dose(100) == pytest.approx(0.4)
    assert len(card.measured["joy"]) == 4


def test_an_emotion_that_fails_leaves_the_others_calibrated_and_is_named():
    flat = [DosePoint(d, 0.1 + 0.015 * (d > 0), 0.0, GOOD) for d in (-0.5, 0.0, 0.5, 1.0)]
    card = calibrated(toy(curves=False), {"joy": points(), "anger": flat}, Limits(), "ear").card
    assert set(card.curves) == {"joy"}
    assert card.measured["uncalibrated"] == {
        "anger": "no dose raises the judged probability; extract better vectors"
    }
    assert len(card.measured["anger"]) == 4
    with pytest.raises(SteeringError, match="anger: no dose raises"):
        calibrated(toy(curves=False), {"anger": flat}, Limits(), "ear")


def test_a_calibration_does_not_go_on_from_another(tmp_path):
    system = steered.tiny()
    settings = SweepSettings(doses=(0.5,), negative=(), limits=Limits(repeats=1.0))

    def calibrate(*posts, candidates=1, factor=1.0):
        steered.calibrate_vectors(
            system._lm,
            factor * system.vectors.only("joy"),
            posts,
            Ear(),
            embed=embed,
            config=steered.Config(candidates=candidates),
            settings=settings,
            checkpoint=tmp_path / "v.sweep.json",
        )

    with pytest.raises(SteeringError, match="joy: no dose"):  # a random model has no fluent dose
        calibrate("What now?", "Why?")
    with pytest.raises(ConfigError, match=r"begun with other posts; .* or remove it"):
        calibrate("What now?", "Where?")
    with pytest.raises(ConfigError, match="with other system;"):
        calibrate("What now?", "Why?", candidates=2)
    with pytest.raises(ConfigError, match="with other vectors;"):
        calibrate("What now?", "Why?", factor=2.0)


def _d(text):
    from emotone.types import Dialogue

    return Dialogue.of(text)


def test_small_measures_by_hand():
    assert words("I'm 2 glad, isn't it?") == ["i'm", "glad", "isn't", "it"]
    assert known_share(["the cat sqrmbl"], {"the", "cat"}) == pytest.approx(2 / 3)
    assert known_share([""], {"a"}) == 1.0
    assert known_share(["the dog's"], {"the", "dog"}) == 1.0
    assert repeated_share(["a b c d a b c d"]) == pytest.approx(1 / 5)
    assert repeated_share(["a b c d", "a b c d"]) == 0.0  # within a reply only
    assert distinct(["a b a b"]) == pytest.approx(2 / 3)
    assert distinct([]) == 0.0


def test_token_nats_are_those_of_the_models_own_loss():
    import torch

    from emotone.lm.chat import prompt_ids
    from emotone.lm.likelihood import token_nats
    from emotone.models.tiny import tiny_causal_lm

    lm = tiny_causal_lm()
    head = prompt_ids(lm.tokenizer, _d("Hello"), None)
    rows = [(head, "Good day"), (head, "No")]
    ours = token_nats(lm.model, lm.tokenizer, rows)
    for (prompt, text), values in zip(rows, ours, strict=True):
        tail = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[*prompt, *tail]])
        labels = torch.tensor([[-100] * len(prompt) + tail])
        with torch.inference_mode():
            loss = lm.model(input_ids=ids, labels=labels).loss
        assert float(values.mean()) == pytest.approx(float(loss), abs=1e-5)
    assert "a" not in tokenizer_words(lm.tokenizer)  # bytes without a blank before are no words
