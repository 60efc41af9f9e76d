"""The rows that are compared: replies of trained stages by training and sampling, and floors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotone.evaluation.records import read_replies_files
from emotone.metrics import Tools, build
from emotone.metrics.base import Pair, SumStats
from emotone.metrics.perplexity import bits, token_weighted
from emotone.metrics.significance import paired_test
from emotone.protocols import Stats
from emotone.types import Example, Reply
from recipes.emprl.answer import replies_file
from recipes.emprl.runs import Stage
from recipes.recurrent.likelihoods import FILE, Nats
from recipes.recurrent.likelihoods import read as read_nats
from recipes.recurrent.pooling import Sampled, sample

#: Rows without a model: people's own replies, those dealt to other dialogues, and one for all.
PEOPLE, SHUFFLED, CONSTANT = "people", "people-shuffled", "constant"
SAME_FOR_ALL = "I'm so sorry to hear that. What happened?"

LIKELIHOODS: Mapping[str, Callable[[np.ndarray], Stats]] = {
    "perplexity": token_weighted,
    "bits_per_character": bits,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Replies of one row.

    Args:
        replies: Seed of the training -> one list of replies a sampling.
        nats: Seed of the training -> likelihood of each reference.
    """

    replies: Mapping[int, list[list[Pair]]]
    nats: Mapping[int, Mapping[str, Nats]]


def rows_of(stages: Sequence[Stage], out: Path, samplings: int) -> dict[str, Row]:
    """Read the rows of the stages that were answered."""
    replies: dict[str, dict[int, list[list[Pair]]]] = {}
    nats: dict[str, dict[int, Mapping[str, Nats]]] = {}
    for stage in stages:
        folder = out / stage.title
        files = [folder / replies_file(k) for k in range(1, samplings + 1)]
        if not all(path.is_file() for path in (*files, folder / FILE)):
            print(f"{stage.title} is not answered yet; it is left out")
            continue
        replies.setdefault(stage.row, {})[stage.seed] = [read_replies_files([f]) for f in files]
        nats.setdefault(stage.row, {})[stage.seed] = read_nats(folder / FILE)
    return {name: Row(replies[name], nats[name]) for name in replies}


def floors(examples: Sequence[Example]) -> dict[str, Row]:
    """Rows that no model made."""
    said = [e.reply or "" for e in examples]
    told = {
        PEOPLE: said,
        # Each reply goes to the dialogue half a list away, so none stays where it was.
        SHUFFLED: said[len(said) // 2 :] + said[: len(said) // 2],
        CONSTANT: [SAME_FOR_ALL] * len(said),
    }
    return {
        name: Row(
            {
                0: [
                    [
                        (example, Reply(text, None, name, "", 0, 0))
                        for example, text in zip(examples, texts, strict=True)
                    ]
                ]
            },
            {},
        )
        for name, texts in told.items()
    }


@dataclass(frozen=True, slots=True)
class Stated:
    """Statistics of one metric of one row.

    Args:
        signature: Of the metric.
        stats: Seed of the training -> one statistics a sampling.
        ids: Dialogues of the replies, in the same shape.
    """

    signature: str
    stats: Mapping[int, list[Stats]]
    ids: Mapping[int, list[list[str]]]

    def of(self, seeds: Sequence[int]) -> Stated:
        """Keep some trainings."""
        return Stated(
            self.signature, {s: self.stats[s] for s in seeds}, {s: self.ids[s] for s in seeds}
        )


def stated(row: Row, metric: str, tools: Tools, posts: Sequence[str]) -> Stated:
    """Read the replies of a row, or its likelihoods, once."""
    if metric in LIKELIHOODS:
        finish = LIKELIHOODS[metric]
        return Stated(
            f"name:{metric}|of:references|v:1",
            {seed: [finish(_array(nats, posts))] for seed, nats in row.nats.items()},
            {seed: [list(posts)] for seed in row.nats},
        )
    built = build(metric, tools)
    return Stated(
        built.signature,
        {seed: [built.stats(pairs) for pairs in many] for seed, many in row.replies.items()},
        {seed: [[e.id for e, _ in pairs] for pairs in many] for seed, many in row.replies.items()},
    )


def sampled(found: Stated, posts: Sequence[str], rounds: int) -> Sampled:
    """Evaluate a metric over resamples of dialogues.

    A row of several trainings varies by training, each the mean of its samplings; a row of one
    varies by sampling.
    """
    sets = [(seed, i) for seed, many in found.stats.items() for i in range(len(many))]
    made = sample(
        [found.stats[seed][i] for seed, i in sets],
        [found.ids[seed][i] for seed, i in sets],
        posts,
        rounds=rounds,
        signature=found.signature,
    )
    return _by_training(made, [seed for seed, _ in sets])


def _array(nats: Mapping[str, Nats], posts: Sequence[str]) -> np.ndarray:
    return np.array([nats[post] for post in posts], np.float64).reshape(-1, 3)


def _by_training(found: Sampled, seeds: Sequence[int]) -> Sampled:
    if len(set(seeds)) < 2:
        return found
    at = [[i for i, s in enumerate(seeds) if s == seed] for seed in dict.fromkeys(seeds)]
    return Sampled(
        np.array([found.values[rows].mean() for rows in at]),
        np.stack([found.resampled[rows].mean(axis=0) for rows in at]),
        found.scale,
        found.signature,
        found.n,
    )


def paired(first: Sampled, second: Sampled) -> Sampled | None:
    """First less second, training by training; None where they are not of the same trainings.

    A reinforced model begins at the supervised one of its own seed, so their seeds go in pairs.
    """
    if len(first.values) != len(second.values) or len(first.resampled) != len(second.resampled):
        return None
    return Sampled(
        first.values - second.values,
        first.resampled - second.resampled,
        first.scale,
        first.signature,
        min(first.n, second.n),
    )


def p_value(first: Stated, second: Stated, rounds: int) -> float | None:
    """Probability of such a difference if it did not matter who replied, dialogues being swapped.

    Replies of all trainings and samplings are put together. None for statistics that do not add
    up, such as Distinct, and for rows of other sizes.
    """
    a, b = _joined(first), _joined(second)
    if a is None or b is None or len(a) != len(b):
        return None
    groups = [name for many in first.ids.values() for ids in many for name in ids]
    return paired_test(a, b, groups=groups, rounds=rounds).p


def _joined(found: Stated) -> SumStats | None:
    joined: Any = None
    for one in (one for many in found.stats.values() for one in many):
        if not isinstance(one, SumStats):
            return None
        joined = one if joined is None else joined.join(one)
    return joined
