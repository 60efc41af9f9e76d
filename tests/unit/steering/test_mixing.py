"""Gram-corrected mixes: what each part reaches, and what never happens."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotone.steering.dose import Curve, mix_doses
from emotone.steering.mixing import MOST, reaching

LABELS = ("anger", "fear", "joy", "sadness", "surprise")
NORMS = (1.0, 4.0, 9.0)
SEEDS = st.integers(0, 10_000)
DOSE = st.floats(-2, 2).filter(lambda d: not d or abs(d) > 1e-3)


def drawn(seed: int, width: int = 200, shared: float = 0.5) -> dict[str, torch.Tensor]:
    """Draw directions of three blocks that share a part, each in units of its block."""
    draw = torch.Generator().manual_seed(seed)
    base = torch.randn(3, width, generator=draw) * shared
    scale = torch.tensor(NORMS)[:, None]
    return {k: (base + torch.randn(3, width, generator=draw)) * scale for k in LABELS}


def rests(directions: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What tells each emotion apart, in activation lengths."""
    mean = sum(directions.values()) / len(directions)
    return {k: ((v - mean) / torch.tensor(NORMS)[:, None]).flatten() for k, v in directions.items()}


def reached(doses: dict[str, float], directions: dict[str, torch.Tensor], label: str) -> float:
    """How far a mix goes along what tells one emotion apart, in doses of that emotion."""
    apart = rests(directions)
    total = sum(dose * apart[k] for k, dose in doses.items())
    return float(total @ apart[label] / apart[label].square().sum())


@given(SEEDS, st.sampled_from(LABELS), st.floats(-3, 3))
def test_one_emotion_is_itself_bit_for_bit(seed, label, dose):
    assert reaching({label: dose}, drawn(seed), NORMS) == {label: dose}
    beside = reaching({label: dose, "joy": 0.0} if label != "joy" else {label: dose}, drawn(seed))
    assert beside[label] == dose


@given(SEEDS, st.lists(st.sampled_from(LABELS), min_size=2, max_size=4, unique=True), st.data())
@settings(max_examples=50, deadline=None)
def test_each_part_reaches_what_it_would_alone(seed, labels, data):
    directions = drawn(seed)
    asked = {
        k: data.draw(st.floats(0.5, 1.0)) * data.draw(st.sampled_from([1, -1])) for k in labels
    }
    doses = reaching(asked, directions, NORMS)
    plain = max(abs(reached(asked, directions, k) - asked[k]) for k in labels)
    left = max(abs(reached(doses, directions, k) - asked[k]) for k in labels)
    assert list(doses) == labels
    # One part may ask for what another has to undo, beyond the bounds; never is it worse.
    assert left <= max(0.05, plain)
    if all(1.01 / MOST < doses[k] / asked[k] < 0.99 * MOST for k in labels):
        assert left < 0.05


def test_the_equation_by_hand():
    """Three directions in a plane at 120 degrees: C is -1/2, so a pair gets twice its dose."""
    turn = 2 * torch.pi / 3 * torch.arange(3)
    plane = torch.stack([turn.cos(), turn.sin()], 1)
    directions = dict(zip(("anger", "joy", "fear"), plane[:, None], strict=True))
    doses = reaching({"anger": 0.3, "joy": 0.3}, directions)
    assert doses == {"anger": pytest.approx(0.6, rel=0.02), "joy": pytest.approx(0.6, rel=0.02)}


@given(SEEDS, st.dictionaries(st.sampled_from(LABELS), DOSE, min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_no_part_turns_or_grows_beyond_its_bounds(seed, asked):
    doses = reaching(asked, drawn(seed, width=3), NORMS)  # few dimensions: strong overlap
    for label, dose in asked.items():
        low, high = sorted((dose / MOST, dose * MOST))
        assert low - 1e-9 <= doses[label] <= high + 1e-9


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_parallel_and_opposed_directions_do_not_explode(sign):
    one = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    far = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    directions = {"joy": one, "love": sign * one + 1e-6 * far, "fear": far}
    doses = reaching({"joy": 1.0, "love": 1.0}, directions)
    assert all(1 / MOST - 1e-9 <= dose <= MOST + 1e-9 for dose in doses.values())


def test_directions_that_are_one_are_summed():
    one = torch.ones(2, 4)
    assert reaching({"joy": 1.0, "fear": 0.5}, {"joy": one, "fear": one}) == {
        "joy": 1.0,
        "fear": 0.5,
    }


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_part_that_fades_away_leaves_the_others_as_without_it(seed):
    directions = drawn(seed, width=20)
    without = reaching({"joy": 1.0, "fear": 0.6}, directions, NORMS)
    beside = reaching({"joy": 1.0, "fear": 0.6, "anger": 1e-6}, directions, NORMS)
    assert beside["joy"] == pytest.approx(without["joy"], abs=1e-4)
    assert beside["fear"] == pytest.approx(without["fear"], abs=1e-4)


@given(SEEDS, st.dictionaries(st.sampled_from(LABELS), st.floats(-100, 100), min_size=1))
@settings(max_examples=50, deadline=None)
def test_the_cap_of_the_whole_holds(seed, intensities):
    curve = Curve(((-100.0, -0.5), (0.0, 0.0), (50.0, 0.4), (100.0, 1.2)))
    correct = partial(reaching, directions=drawn(seed, width=4), norms=NORMS)
    doses = mix_doses(intensities, dict.fromkeys(LABELS, curve), correct)
    ceilings = {k: curve.ceiling(i) for k, i in intensities.items()}
    assert sum((doses[k] / ceilings[k]) ** 2 for k in doses) <= 1 + 1e-9
    if sum(bool(i) for i in intensities.values()) < 2:
        assert doses == mix_doses(intensities, dict.fromkeys(LABELS, curve))
