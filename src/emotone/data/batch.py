"""Batches of pairs: which rows go together, and the tensors they become.

Rows of like length share a batch, so that little of it is padding. All is decided by (seed, epoch)
before an epoch begins; a run that stopped in the middle can go on with the batch it came to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from emotone.data.pairs import Pair
from emotone.data.vocab import EOS, GO, PAD
from emotone.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

#: Batches' worth of rows that are taken together and then sorted by length.
POOL = 50


class Batch(NamedTuple):
    """B pairs as tensors.

    Args:
        source: Posts, [B, S] long, padded with `PAD` on the right.
        source_lengths: Words of each post, [B] long, always on the CPU.
        target_in: `GO` and reply, [B, T] long, padded with `PAD`.
        target_out: Reply and `EOS`, [B, T] long, padded with `PAD`.
        target_lengths: Words of each reply and its `EOS`, [B] long, always on the CPU.
        emotion: Place of each reply's emotion, [B] long; -1 for none.
        real: Flat indices b * T + t of the N places of `target_out` that are not padding, [N] long,
            row after row.
    """

    source: Tensor
    source_lengths: Tensor
    target_in: Tensor
    target_out: Tensor
    target_lengths: Tensor
    emotion: Tensor
    real: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Move all but the lengths, which packing and Python loops read on the CPU."""
        return self._replace(
            source=self.source.to(device, non_blocking=True),
            target_in=self.target_in.to(device, non_blocking=True),
            target_out=self.target_out.to(device, non_blocking=True),
            emotion=self.emotion.to(device, non_blocking=True),
            real=self.real.to(device, non_blocking=True),
        )


def collate(pairs: Sequence[Pair]) -> Batch:
    """Make the tensors of some pairs, in their order.

    Raises:
        DataError: If there is no pair, or a post without a word.
    """
    import numpy as np
    import torch

    if not pairs:
        raise DataError("a batch without rows; give one pair or more")
    if not all(pair.post for pair in pairs):
        raise DataError("a post has no word; leave its pair out")
    post_lengths = np.array([len(pair.post) for pair in pairs])
    target_lengths = np.array([len(pair.reply) + 1 for pair in pairs])
    source = np.full((len(pairs), post_lengths.max()), PAD)
    target_in = np.full((len(pairs), target_lengths.max()), PAD)
    target_out = target_in.copy()
    for row, pair in enumerate(pairs):
        source[row, : len(pair.post)] = pair.post
        target_in[row, : len(pair.reply) + 1] = (GO, *pair.reply)
        target_out[row, : len(pair.reply) + 1] = (*pair.reply, EOS)
    real = np.arange(target_in.shape[1]) < target_lengths[:, None]
    return Batch(
        torch.from_numpy(source),
        torch.from_numpy(post_lengths),
        torch.from_numpy(target_in),
        torch.from_numpy(target_out),
        torch.from_numpy(target_lengths),
        torch.tensor([pair.emotion for pair in pairs], dtype=torch.long),
        torch.from_numpy(np.flatnonzero(real)),
    )


def plan(
    post_lengths: np.ndarray,
    reply_lengths: np.ndarray,
    batch: int,
    seed: int,
    epoch: int,
    *,
    emotions: np.ndarray | None = None,
    balanced: bool = False,
    homogeneous: bool = False,
) -> list[np.ndarray]:
    """Say which rows make each batch of an epoch.

    Rows are shuffled, sorted by reply and then post length within pools of `POOL` batches, cut into
    batches, and the batches shuffled. Each row comes once, unless `balanced`: then each emotion
    that occurs gets an equal share of as many rows as there are, a frequent one leaving some out
    and a rare one repeating all its rows equally often, but for one time.

    Args:
        post_lengths: Words of each post, [N].
        reply_lengths: Words of each reply, [N].
        batch: Rows of a batch, B; only the last of a pool may have fewer.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
        emotions: Emotion of each row, [N]; needed by the two options.
        balanced: Sample emotions equally often, as ECM's code samples the class of a batch.
        homogeneous: All rows of a batch have one emotion, as in ECM's code. With `balanced`, every
            batch is full and each emotion has an equal number of batches, but for one.

    Returns:
        Row indices of each batch, [B] int64.

    Raises:
        DataError: If lengths and emotions do not fit together, a size is below 1, or a row to be
            balanced has no emotion.

    Source: Zhou et al. 2018 (ECM), whose released code samples a class, then a batch of its pairs.
    """
    import numpy as np

    rows = len(reply_lengths)
    if len(post_lengths) != rows or (emotions is not None and len(emotions) != rows):
        raise DataError("posts, replies and emotions are not equally many; give one of each a row")
    if batch < 1:
        raise DataError(f"batch is {batch}; use 1 or more rows")
    if (balanced or homogeneous) and (emotions is None or (rows and emotions.min() < 0)):
        raise DataError("a row has no emotion, so that none can be sampled; label the pairs first")
    generator = np.random.default_rng([seed, epoch])
    if not rows:
        return []
    groups = [np.arange(rows)]
    if emotions is not None and (balanced or homogeneous):
        groups = [np.flatnonzero(emotions == e) for e in np.unique(emotions)]
    if balanced:
        groups = _balanced(groups, rows, batch if homogeneous else 1, generator)
    if not homogeneous:
        groups = [np.concatenate(groups)]
    batches: list[np.ndarray] = []
    for group in groups:
        group = generator.permutation(group)
        for start in range(0, len(group), POOL * batch):
            pool = group[start : start + POOL * batch]
            # Stable, so that rows of one length stay shuffled.
            pool = pool[np.lexsort((post_lengths[pool], reply_lengths[pool]))]
            batches += [pool[i : i + batch] for i in range(0, len(pool), batch)]
    return [batches[i] for i in generator.permutation(len(batches))]


def plan_as_released(
    post_lengths: np.ndarray,
    reply_lengths: np.ndarray,
    emotions: np.ndarray,
    batch: int,
    seed: int,
    epoch: int,
    edges: Sequence[int],
) -> list[np.ndarray]:
    """Say which rows make each batch of an epoch as ECM's released code draws them.

    A batch is of one padded length, drawn by its share of all rows, and of one emotion, drawn
    evenly; its rows are drawn with replacement. An emotion without a row of that length is not
    drawn, where the code would look for one for ever. An epoch is as many batches as hold all rows.

    Args:
        post_lengths: Words of each post, [N].
        reply_lengths: Words of each reply, its end not counted, [N].
        emotions: Emotion of each row, [N].
        batch: Rows of a batch.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
        edges: Padded lengths, rising; a row has the first that is above its post and above its
            reply with its end.

    Returns:
        Row indices of each batch, [B] int64.

    Source: Zhou et al. 2018 (ECM), released code.
    """
    import numpy as np

    rows = len(emotions)
    if not rows:
        return []
    longest = np.maximum(post_lengths, reply_lengths + 1)
    place = np.minimum(np.searchsorted(edges, longest, side="right"), len(edges) - 1)
    groups = [
        [np.flatnonzero((place == k) & (emotions == e)) for e in np.unique(emotions[place == k])]
        for k in range(len(edges))
    ]
    generator = np.random.default_rng([seed, epoch, 2])
    batches: list[np.ndarray] = []
    for _ in range(-(-rows // batch)):
        of_length = groups[place[generator.integers(rows)]]
        batches.append(generator.choice(of_length[generator.integers(len(of_length))], batch))
    return batches


def _balanced(
    groups: list[np.ndarray], rows: int, unit: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Draw from each group an equal number of units of rows; `rows` in all, rounded up."""
    import numpy as np

    units = -(-rows // unit)
    shares = np.full(len(groups), units // len(groups))
    shares[generator.permutation(len(groups))[: units % len(groups)]] += 1
    return [
        passes(group, int(share) * unit, generator)
        for group, share in zip(groups, shares, strict=True)
    ]


def passes(rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw `count` rows in whole shuffled passes over all of them, and a part of one."""
    import numpy as np

    whole = [generator.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(whole or [rows[:0]])[:count]
