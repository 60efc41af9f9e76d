"""Batches: the plan of an epoch, and the tensors of a batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotone.data.batch import Batch, collate, plan
from emotone.data.pairs import Pair
from emotone.data.vocab import EOS, GO, PAD
from emotone.errors import DataError

#: Share of padding among the places of bucketed batches, and how much less than without buckets.
MOST_PADDING = 0.03
TIMES_LESS = 10


def lengths(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Post lengths, reply lengths and emotions, of which 0 is half and 5 is rare."""
    draw = np.random.default_rng(seed)
    emotions = draw.choice(6, size=rows, p=[0.5, 0.2, 0.1, 0.1, 0.08, 0.02])
    return draw.integers(1, 31, rows), draw.integers(2, 26, rows), emotions


def padding(batches: list[np.ndarray], of: np.ndarray) -> float:
    places = sum(len(rows) * int(of[rows].max()) for rows in batches)
    return 1 - sum(int(of[rows].sum()) for rows in batches) / places


@given(
    rows=st.integers(0, 400),
    batch=st.integers(1, 40),
    seed=st.integers(0, 2**31),
    homogeneous=st.booleans(),
)
def test_every_row_comes_once_an_epoch(rows, batch, seed, homogeneous):
    posts, replies, emotions = lengths(rows)
    batches = plan(posts, replies, batch, seed, 3, emotions=emotions, homogeneous=homogeneous)
    assert sorted(i for rows_ in batches for i in rows_.tolist()) == list(range(rows))
    assert all(1 <= len(rows_) <= batch for rows_ in batches)
    if homogeneous:
        assert all(len(set(emotions[rows_].tolist())) == 1 for rows_ in batches)
    else:
        assert len(batches) == -(-rows // batch)


def test_buckets_keep_padding_low():
    posts, replies, _ = lengths(20_000)
    order = np.random.default_rng(1).permutation(20_000)
    plain = [order[i : i + 64] for i in range(0, 20_000, 64)]
    bucketed = plan(posts, replies, 64, 0, 0)
    assert padding(bucketed, replies) < MOST_PADDING
    assert padding(bucketed, replies) * TIMES_LESS < padding(plain, replies)
    assert padding(bucketed, posts) < padding(plain, posts)


def test_batches_come_in_no_order_of_length():
    posts, replies, _ = lengths(20_000)
    means = [float(replies[rows].mean()) for rows in plan(posts, replies, 64, 0, 0)]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.15


def test_seed_and_epoch_decide_all():
    posts, replies, emotions = lengths(500)

    def order(seed: int, epoch: int, **options: bool) -> list[int]:
        batches = plan(posts, replies, 16, seed, epoch, emotions=emotions, **options)
        return np.concatenate(batches).tolist()

    for options in ({}, {"balanced": True}, {"homogeneous": True}):
        assert order(1, 2, **options) == order(1, 2, **options)
        assert order(1, 2, **options) != order(1, 3, **options)
        assert order(1, 2, **options) != order(2, 2, **options)


def test_planning_leaves_the_global_generators_alone():
    posts, replies, emotions = lengths(100)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()
    plan(posts, replies, 16, 0, 0, emotions=emotions, balanced=True)
    assert np.random.get_state()[1].tolist() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@given(rows=st.integers(6, 400), batch=st.integers(1, 40), seed=st.integers(0, 99))
def test_balanced_gives_each_emotion_an_equal_share(rows, batch, seed):
    posts, replies, emotions = lengths(rows)
    batches = plan(posts, replies, batch, seed, 0, emotions=emotions, balanced=True)
    drawn = np.concatenate(batches)
    counts = Counter(emotions[drawn].tolist())
    assert set(counts) == set(emotions.tolist())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(batches) == -(-rows // batch)
    assert len(drawn) == rows
    for emotion in counts:  # all rows of a class equally often, but for one time
        times = Counter(drawn[emotions[drawn] == emotion].tolist())
        often = [times[i] for i in np.flatnonzero(emotions == emotion).tolist()]
        assert max(often) - min(often) <= 1


@given(rows=st.integers(200, 400), batch=st.integers(1, 40), seed=st.integers(0, 99))
def test_balanced_batches_of_one_emotion(rows, batch, seed):
    posts, replies, emotions = lengths(rows)
    batches = plan(
        posts, replies, batch, seed, 0, emotions=emotions, balanced=True, homogeneous=True
    )
    assert len(batches) == -(-rows // batch)
    assert all(len(rows_) == batch for rows_ in batches)
    kinds = [set(emotions[rows_].tolist()) for rows_ in batches]
    assert all(len(kind) == 1 for kind in kinds)
    counts = Counter(kind.pop() for kind in kinds)
    shares = [counts[e] for e in set(emotions.tolist())]
    assert max(shares) - min(shares) <= 1


def test_plans_that_cannot_be_made_are_refused():
    posts, replies, emotions = lengths(10)
    with pytest.raises(DataError, match="batch is 0"):
        plan(posts, replies, 0, 0, 0)
    with pytest.raises(DataError, match="not equally many"):
        plan(posts[1:], replies, 2, 0, 0)
    with pytest.raises(DataError, match="label the pairs"):
        plan(posts, replies, 2, 0, 0, balanced=True)
    emotions[3] = -1
    with pytest.raises(DataError, match="label the pairs"):
        plan(posts, replies, 2, 0, 0, emotions=emotions, homogeneous=True)


PAIRS = (Pair((5, 6, 7), (8,), 2), Pair((9,), (5, 6), -1))


def test_collated_tensors():
    batch = collate(PAIRS)
    assert batch.source.tolist() == [[5, 6, 7], [9, PAD, PAD]]
    assert batch.source_lengths.tolist() == [3, 1]
    assert batch.target_in.tolist() == [[GO, 8, PAD], [GO, 5, 6]]
    assert batch.target_out.tolist() == [[8, EOS, PAD], [5, 6, EOS]]
    assert batch.target_lengths.tolist() == [2, 3]
    assert batch.emotion.tolist() == [2, -1]
    assert batch.real.tolist() == [0, 1, 3, 4, 5]
    assert all(tensor.dtype == torch.long for tensor in batch)


ids = st.lists(st.integers(1, 50), min_size=1, max_size=9).map(tuple)
pairs = st.lists(st.builds(Pair, ids, ids | st.just(()), st.integers(-1, 5)), min_size=1)


@given(pairs)
def test_kept_places_are_the_replies(rows):
    batch = collate(rows)
    flat = batch.target_out.flatten()[batch.real].tolist()
    assert flat == [i for pair in rows for i in (*pair.reply, EOS)]
    before = batch.target_in.flatten()[batch.real].tolist()
    assert before == [i for pair in rows for i in (GO, *pair.reply)]
    rest = torch.ones(batch.target_out.numel(), dtype=torch.bool)
    rest[batch.real] = False
    assert not batch.target_out.flatten()[rest].any()
    posts = [row[:n] for row, n in zip(batch.source.tolist(), batch.source_lengths, strict=True)]
    assert posts == [list(pair.post) for pair in rows]


def test_moving_leaves_the_lengths_on_the_cpu():
    moved = collate(PAIRS).to("meta")
    assert isinstance(moved, Batch)
    at_home = {name for name, tensor in moved._asdict().items() if tensor.device.type == "cpu"}
    assert at_home == {"source_lengths", "target_lengths"}


def test_empty_batches_and_posts_are_refused():
    with pytest.raises(DataError, match="without rows"):
        collate([])
    with pytest.raises(DataError, match="post has no word"):
        collate([Pair((), (5,))])
