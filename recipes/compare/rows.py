"""The rows of a comparison: replies and likelihoods by training, and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emotone.emotions import Emotion
from emotone.evaluation.facts import run_facts
from emotone.evaluation.likelihoods import Likelihood
from emotone.metrics import Instruments, build
from emotone.metrics.base import Pair, SumStats
from emotone.metrics.perplexity import bits, sequence_weighted, token_weighted
from emotone.metrics.pooling import Sampled, by_training, estimate, sample
from emotone.metrics.significance import paired_test
from emotone.protocols import Stats
from emotone.types import Example, Reply

#: Metrics of references: likelihoods [N, 3] -> statistics.
LIKELIHOODS: Mapping[str, Callable[[np.ndarray], Stats]] = {
    "perplexity": token_weighted,
    "ecm_perplexity": sequence_weighted,
    "bits_per_character": bits,
}
#: How names of metrics begin whose values are from 0 to 1.
SHARES = ("emotion", "emp_", "sense", "distinct", "repeated", "commonest")


@dataclass(frozen=True, slots=True)
class Row:
    """What one system did in all its trainings.

    Args:
        replies: Seed of the training -> one list of replies a sampling.
        likelihoods: Seed of the training -> likelihood of each reference, by example id.
    """

    replies: Mapping[int, Sequence[list[Pair]]] = field(default_factory=dict[int, Any])
    likelihoods: Mapping[int, Mapping[str, Likelihood]] = field(default_factory=dict[int, Any])

    @property
    def pairs(self) -> list[Pair]:
        """All replies."""
        return [p for samplings in self.replies.values() for pairs in samplings for p in pairs]

    @property
    def posts(self) -> list[str]:
        """Ids of the posts that are answered, sorted."""
        return sorted({example.id for example, _ in self.pairs})

    def part(self, choose: Callable[[list[Pair]], list[Pair]]) -> Row:
        """Keep the chosen replies of each sampling."""
        chosen = {t: [choose(pairs) for pairs in many] for t, many in self.replies.items()}
        return Row(chosen, self.likelihoods)


def row_of_texts(examples: Iterable[Example], texts: Iterable[str], name: str) -> Row:
    """Make a row of replies that no model wrote."""
    pairs = [
        (example, Reply(text, None, name, "", 0, 0))
        for example, text in zip(examples, texts, strict=True)
    ]
    return Row({0: [pairs]})


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of one metric of one row.

    Args:
        signature: Of the metric.
        stats: Seed of the training -> one statistics a sampling.
        ids: The post of each reply, in the same shape.
    """

    signature: str
    stats: Mapping[int, Sequence[Stats]]
    ids: Mapping[int, Sequence[Sequence[str]]]

    def of(self, trainings: Sequence[int]) -> Statistics:
        """Keep some trainings."""
        stats = {t: self.stats[t] for t in trainings}
        return Statistics(self.signature, stats, {t: self.ids[t] for t in trainings})

    def sampled(self, posts: Sequence[str], rounds: int) -> Sampled:
        """Evaluate the metric over resamples of posts.

        A row of several trainings varies by training, each the mean of its samplings; a row of one
        varies by sampling.
        """
        pooled = sample(
            [one for samplings in self.stats.values() for one in samplings],
            [ids for samplings in self.ids.values() for ids in samplings],
            posts,
            rounds=rounds,
            signature=self.signature,
        )
        return by_training(pooled, [t for t, samplings in self.stats.items() for _ in samplings])


def of_replies(
    row: Row,
    metric: str,
    instruments: Instruments,
    emotions: Sequence[Emotion] | None = None,
) -> Statistics:
    """Measure the replies of a row once.

    Args:
        row: The row.
        metric: Name for `emotone.metrics.build`.
        instruments: For the metric.
        emotions: What replies of a system that takes no emotion are compared with; None leaves
            them out.
    """
    asked = "none" if emotions is None else "all"
    judge = instruments.emotion
    facts = run_facts(row.pairs, judge, asked=asked, emotions=emotions or ())
    built = build(metric, instruments, facts)
    return Statistics(
        built.signature,
        {t: [built.stats(pairs) for pairs in many] for t, many in row.replies.items()},
        {t: [[e.id for e, _ in pairs] for pairs in many] for t, many in row.replies.items()},
    )


def of_likelihoods(row: Row, metric: str, posts: Sequence[str], signature: str) -> Statistics:
    """Measure the likelihoods of the references of some posts."""
    finish = LIKELIHOODS[metric]
    counts = {
        training: np.array([known[post] for post in posts], np.float64).reshape(-1, 3)
        for training, known in row.likelihoods.items()
    }
    return Statistics(
        signature,
        {training: [finish(array)] for training, array in counts.items()},
        {training: [posts] for training in counts},
    )


def number(sampled: Sampled, metric: str) -> dict[str, Any]:
    """Return value and interval for JSON; that of a share ends at 0 and 1."""
    estimated = estimate(sampled)
    return (estimated.within(0.0, 1.0) if metric.startswith(SHARES) else estimated).row()


def p_value(first: Statistics, second: Statistics, rounds: int) -> float | None:
    """Probability of such a difference if it did not matter who replied, posts being swapped.

    Replies of all trainings and samplings are put together. None for statistics that do not add
    up, such as Distinct, and for rows of other sizes.
    """
    a, b = _joined(first), _joined(second)
    if a is None or b is None or len(a) != len(b):
        return None
    groups = [post for many in first.ids.values() for ids in many for post in ids]
    return paired_test(a, b, groups=groups, rounds=rounds).p


def _joined(statistics: Statistics) -> SumStats | None:
    joined: SumStats | None = None
    for one in (one for many in statistics.stats.values() for one in many):
        if not isinstance(one, SumStats):
            return None
        joined = one if joined is None else joined.join(one)
    return joined
