"""Temperature scaling and calibration error, against what is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.judges.calibration import calibration_error, fit_temperature, softmax


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(heat: float):
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(20_000, 4)) * 3
    chances = softmax(logits, heat)
    gold = (chances.cumsum(-1) > draw.random((len(logits), 1))).argmax(-1)
    assert fit_temperature(logits, gold) == pytest.approx(heat, rel=0.05)
    assert calibration_error(chances, gold) < 0.02
    assert calibration_error(softmax(logits, heat / 4), gold) > 0.05


def test_calibration_error_by_hand():
    # Two bins of two: .9 sure and half right, .6 sure and all right.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    gold = np.array([0, 1, 0, 0])
    assert calibration_error(probabilities, gold, bins=10) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.floats(0.05, 20))
def test_softmax_sums_to_one_and_keeps_the_order(logits: list[float], heat: float):
    row = softmax(np.array([logits]), heat)[0]
    assert row.sum() == pytest.approx(1.0, abs=1e-12)
    assert row.argmax() in np.flatnonzero(np.isclose(row, row.max()))
    assert row[int(np.argmax(logits))] == pytest.approx(row.max(), rel=1e-12)
