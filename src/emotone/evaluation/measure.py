"""Metrics over all replies of a run and over groups of them, each with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from emotone.evaluation.groups import groups_of
from emotone.evaluation.scores import Number
from emotone.metrics import Instruments, RunFacts, build, spec
from emotone.metrics.base import Pair, SumStats
from emotone.metrics.significance import with_interval
from emotone.protocols import Metric, Stats

#: Samples of the bootstrap.
ROUNDS = 1000

Advance = Callable[[str], None]
Numbers = Mapping[str, Number]


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers of a run, each by the name of its metric.

    Args:
        total: Over all replies.
        per_emotion: Over the replies asked for each emotion.
        per_part: Over named parts of the examples.
        at_full: Over the replies asked for one emotion at intensity 100.
    """

    total: Numbers
    per_emotion: Mapping[str, Numbers]
    per_part: Mapping[str, Numbers]
    at_full: Numbers


def measure_all(
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    instruments: Instruments,
    facts: RunFacts,
    *,
    parts: Sequence[str] = (),
    rounds: int = ROUNDS,
    seed: int = 0,
    of_replies: bool = True,
    advance: Advance | None = None,
) -> Measured:
    """Measure all replies, and those of each group.

    Args:
        pairs: Examples and replies.
        metrics: Names for `emotone.metrics.build`.
        instruments: For the metrics.
        facts: Of the run.
        parts: Names of parts of the examples; see `groups.in_part`.
        rounds: Samples of the bootstrap, of example ids.
        seed: Seed of the samples.
        of_replies: Whether the texts are a system's replies and not references; see `key_of`.
        advance: Called with the name of each metric that is done.

    Raises:
        DataError: If no id belongs to a part.
        Unsupported: If a metric needs what is not given.
    """
    groups = groups_of(pairs, parts)
    total: dict[str, Number] = {}
    at_full: dict[str, Number] = {}
    per_emotion: dict[str, dict[str, Number]] = {key: {} for key in groups.per_emotion}
    per_part: dict[str, dict[str, Number]] = {part: {} for part in groups.per_part}
    tables = [(places, per_emotion[key]) for key, places in groups.per_emotion.items()]
    tables += [(places, per_part[part]) for part, places in groups.per_part.items()]
    if groups.at_full:
        tables.append((groups.at_full, at_full))
    for name in metrics:
        metric = build(name, instruments, facts)
        key = key_of(name, metric, of_replies=of_replies)
        stats = metric.stats(pairs)
        total[key] = _number(metric, stats, pairs, rounds, seed)
        for places, numbers in tables:
            group = [pairs[i] for i in places]
            numbers[key] = (
                total[key]
                if len(group) == len(pairs)
                else _number(metric, _stats_of(metric, stats, places, group), group, rounds, seed)
            )
        if advance:
            advance(key)
    return Measured(total, per_emotion, per_part, at_full)


def key_of(name: str, metric: Metric, *, of_replies: bool) -> str:
    """Name a metric in `scores.json`.

    "perplexity" is that of references under the system itself (`emotone perplexity`); that of
    replies under another model has a name of its own.
    """
    own = spec(name).of_replies if of_replies else None
    return metric.name if own is None else own.name


def _number(metric: Metric, stats: Stats, pairs: Sequence[Pair], rounds: int, seed: int) -> Number:
    ids = [example.id for example, _ in pairs]
    score = with_interval(metric, stats, groups=ids, rounds=rounds, seed=seed)
    return Number(score.value, score.low, score.high, score.n, score.signature)


def _stats_of(metric: Metric, stats: Stats, places: Sequence[int], group: Sequence[Pair]) -> Stats:
    """Return the statistics of some replies, without reading texts again where they add up."""
    if isinstance(stats, SumStats):
        return dataclasses.replace(stats, rows=stats.rows[list(places)])
    return metric.stats(group)
