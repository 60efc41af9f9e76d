"""Running moments: as of all scores at once, over steps and over processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotone.rl.moments import Moments, update
from unit.rl.batches import in_processes

scores = st.lists(st.floats(-3, 3).map(lambda x: round(x, 3)), min_size=1, max_size=9)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(scores, min_size=1, max_size=5))
def test_after_each_step_they_are_those_of_all_scores_so_far(steps):
    moments, seen = Moments(), []
    for step in steps:
        moments = update(moments, tensor(step))
        seen += step
        assert moments.mean == pytest.approx(np.mean(seen), abs=1e-9)
        assert moments.var == pytest.approx(np.var(seen), abs=1e-9)
        want = np.std(seen, ddof=1) if len(seen) > 1 else 1.0
        assert moments.std == pytest.approx(want, abs=1e-6)
        assert moments.count == len(seen)


@settings(max_examples=20)
@given(scores, scores)
def test_processes_know_what_one_knows(first, second):
    both = tensor(first + second)
    before = Moments(0.3, 2.0, 10)
    parts = [slice(0, len(first)), slice(len(first), None)]
    told = in_processes(parts, lambda r, sum_over: update(before, both[r], sum_over=sum_over))
    want = update(before, both)
    assert told[0] == told[1]
    assert told[0].mean == pytest.approx(want.mean)
    assert told[0].var == pytest.approx(want.var)


def test_a_process_without_rows_takes_part():
    both = tensor([1.0, 2.0, 4.0])
    parts = [slice(0, 3), slice(3, 3)]
    told = in_processes(parts, lambda r, s: update(Moments(), both[r], sum_over=s))
    assert told == [update(Moments(), both)] * 2


def test_nothing_begins_at_mean_0_and_deviation_1_and_no_scores_change_nothing():
    assert (Moments().mean, Moments().std) == (0, 1)
    assert update(Moments(), tensor([])) == Moments()


def test_small_spreads_far_from_0_are_kept():
    moments = Moments()
    for _ in range(3):
        moments = update(moments, tensor([1e6, 1e6 + 0.001]))
    assert moments.var == pytest.approx(2.5e-7, rel=1e-3)
