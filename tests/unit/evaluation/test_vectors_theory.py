"""The recipe that measures the theory of emotion vectors: its measures against known cases."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from recipes.vectors_theory import measure as theory
from recipes.vectors_theory.page import page

from emotone.systems import steered

EMOTIONS = theory.EMOTIONS


class Scored:
    """A stand-in for a bench whose score is a given function of the doses."""

    def __init__(self, of):
        self.score = lambda label, doses: of(label, doses)


def test_a_line_is_found_where_there_is_one_and_its_end_is_seen():
    line = theory.linearity(Scored(lambda e, d: 0.5 + 2 * d.get(e, 0.0)), "joy")
    assert (line["slope"], line["r2_small"], line["r2_all"]) == (2.0, 1.0, 1.0)
    assert (line["rises_to"], line["lower_at_-1"]) == (4.0, True)
    bent = theory.linearity(Scored(lambda e, d: -((d.get(e, 0.0) - 1) ** 2)), "joy")
    assert bent["r2_all"] < bent["r2_small"] < 1.0
    assert bent["rises_to"] == 1.0


def test_mixes_that_add_up_have_no_gap_and_others_do():
    added = theory.additivity(Scored(lambda _e, d: 1.0 + sum(d.values())))
    assert added["0.5"]["slope"] == 1.0
    assert added["1"]["gap"] == 0.0
    assert len(added["1"]["effects"]) == 6
    full = theory.additivity(Scored(lambda _e, d: min(1.0, sum(d.values()))))
    assert full["0.5"]["gap"] == 0.0
    assert full["1"]["gap"] == pytest.approx(0.5)


@pytest.fixture(scope="module", params=["all", "last"])
def bench(request):
    system = steered.tiny()
    card = dataclasses.replace(system.vectors.card, positions=request.param, site="attn_out")
    vectors = dataclasses.replace(system.vectors, card=card)
    lines = [line for line in theory.everyday.lines("en", splits=["dev"]) if line.kind == "plain"]
    return theory.Bench(system._lm, vectors, lines[:3])


def test_the_gradient_is_that_of_the_likelihood_where_the_vectors_act(bench):
    step = 1e-2
    moved = [bench.loglik("fear", {"joy": a}) for a in (step, -step)]
    slope = float((theory.gradient(bench, "fear") * bench.vectors["joy"].double()).sum())
    assert slope == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=2e-2)
    row = theory.projections(bench)["joy"]
    assert row["chance"] == pytest.approx(96**-0.5, abs=1e-4)
    assert all(not p.grad for p in bench.lm.model.parameters() if p.grad is not None)


def test_whitened_states_have_no_covariance_and_fishers_direction_is_known():
    draw = np.random.default_rng(0)
    spread = np.diag([4.0, 1.0, 0.25])
    groups = [draw.normal(size=(20_000, 3)) @ spread + mean for mean in ([0, 0, 0], [1, 1, 1])]
    whiten = theory.whitener(groups)
    inside = np.concatenate([(rows - rows.mean(0)) @ whiten.T for rows in groups])
    assert np.allclose(np.cov(inside.T), np.eye(3), atol=0.05)
    known = np.array([1 / 16, 1.0, 16.0])
    assert theory.cosine(whiten @ whiten @ np.ones(3), known) == pytest.approx(1.0, abs=1e-3)


def test_vectors_along_the_difference_are_along_fishers_direction(bench):
    rows = theory.fisher(bench)
    assert set(rows) == set(EMOTIONS)
    assert all(-1 <= row["whitened"] <= 1 and 0 <= row["positive"] <= 1 for row in rows.values())
    prompts = bench.prompts()
    means = {
        label: theory.response_means(
            bench.lm.model,
            bench.lm.tokenizer,
            [(p, x.replies[label]) for p, x in zip(prompts, bench.lines, strict=True)],
            site="attn_out",
        ).means.mean(0)
        for label in (*EMOTIONS, "neutral")
    }
    along = {label: means[label] - means["neutral"] for label in EMOTIONS}
    own = dataclasses.replace(bench.vectors, directions=along)
    for row in theory.fisher(dataclasses.replace(bench, vectors=own)).values():
        assert row["raw"] == pytest.approx(1.0, abs=1e-3)
        assert row["whitened"] == pytest.approx(1.0, abs=1e-3)
        assert row["positive"] == 1.0


def test_the_page_says_which_claims_hold_where(bench):
    measured = theory.measure(bench, bench)
    held = {"r2_small": 0.99, "rises_to": 4.0, "lower_at_-1": True}
    linear = {e: {**row, **held} for e, row in measured["linear"].items()}
    linear["joy"] |= {"r2_small": 0.5}
    sets = {"ours": {"what": "of a test", **measured, "linear": linear}}
    text = page({"model": "tiny", "sets": sets})
    assert "| linear while small | R2 from -0.5 to 0.5 is 0.95 or more | 4: anger, disgust," in text
    assert "| rises as far as 4 | the score rises at each step from 0 to 4 | all of 5 |" in text
    assert "| ours | of a test | attn_out |" in text


def test_the_page_is_that_of_its_figures():
    docs = Path(__file__).parents[3] / "docs"
    figures = json.loads((docs / "results/vectors-theory.json").read_text(encoding="utf-8"))
    written = (docs / "systems/vectors-theory.md").read_text(encoding="utf-8")
    assert written == page(figures), "run python -m recipes.vectors_theory.make"


def test_what_was_read_before_is_not_read_again(bench, tmp_path, monkeypatch):
    kept = dataclasses.replace(bench, place=tmp_path / "known.json", known={})
    value = kept.loglik("joy", {"joy": 0.5})
    monkeypatch.setattr(theory, "Mood", None)
    again = dataclasses.replace(kept, known={})
    assert again.loglik("joy", {"joy": 0.5}) == value
    with pytest.raises(TypeError):
        again.loglik("joy", {"joy": 0.25})
