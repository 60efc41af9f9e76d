"""Metrics over all replies of a run and over groups of them, each with its interval."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from emotone.errors import DataError
from emotone.evaluation.scores import Number
from emotone.evaluation.summaries import Pair, in_order, part

if TYPE_CHECKING:
    from emotone.metrics import Tools
    from emotone.protocols import Metric, Stats

#: Samples of the bootstrap.
ROUNDS = 1000

Advance = Callable[[str], None]


def in_part(name: str, part: str) -> bool:
    """Tell whether an example id belongs to a part: it has it whole, between signs or ends.

    "emotional" holds "emotional-17" and "queries-emotional-17", not "unemotional-17" or
    "emotionally-17".
    """
    inside = rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])"
    return re.search(inside, name) is not None


Numbers = dict[str, Number]


def numbers(
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    tools: Tools,
    *,
    parts: Sequence[str] = (),
    rounds: int = ROUNDS,
    seed: int = 0,
    names: Mapping[str, str] | None = None,
    advance: Advance | None = None,
) -> tuple[Numbers, dict[str, Numbers], dict[str, Numbers], Numbers]:
    """Measure all replies, those of each emotion, of each named part, and of one emotion at 100.

    Arguments are those of `score_run`; `names` gives metrics other names in the result.

    Raises:
        DataError: If no id belongs to a part.
        Unsupported: If a metric needs a tool that is None.
    """
    from emotone.metrics import build

    moods: dict[str, list[int]] = {}
    for i, (_, reply) in enumerate(pairs):
        moods.setdefault(part(reply), []).append(i)
    places = {name: [i for i, (e, _) in enumerate(pairs) if in_part(e.id, name)] for name in parts}
    for name, rows in places.items():
        if not rows:
            raise DataError(f"no example id belongs to part {name!r}; name parts that ids carry")
    total: dict[str, Number] = {}
    per_emotion: dict[str, dict[str, Number]] = {name: {} for name in in_order(list(moods))}
    per_part: dict[str, dict[str, Number]] = {name: {} for name in parts}
    at_100 = [i for i, (_, r) in enumerate(pairs) if r.emotion is not None and r.emotion.at_full]
    whole = {"100": at_100} if at_100 else {}
    full: dict[str, dict[str, Number]] = {"100": {}}
    for name in metrics:
        metric = build(name, tools)
        key = (names or {}).get(metric.name, metric.name)
        stats = metric.stats(pairs)
        total[key] = _number(metric, stats, pairs, rounds, seed)
        groups_of = ((moods, per_emotion), (places, per_part), (whole, full))
        for groups, into in groups_of:
            for label, rows in groups.items():
                chosen = [pairs[i] for i in rows]
                into[label][key] = (
                    total[key]
                    if len(rows) == len(pairs)
                    else _number(metric, _some(metric, stats, rows, chosen), chosen, rounds, seed)
                )
        if advance:
            advance(key)
    return total, per_emotion, per_part, full["100"]


def _number(metric: Metric, stats: Stats, pairs: Sequence[Pair], rounds: int, seed: int) -> Number:
    from emotone.metrics.significance import score as scored

    ids = [example.id for example, _ in pairs]
    made = scored(metric, stats, groups=ids, rounds=rounds, seed=seed)
    return Number(made.value, made.low, made.high, made.n, made.signature)


def _some(metric: Metric, stats: Stats, rows: Sequence[int], pairs: Sequence[Pair]) -> Stats:
    """Return the statistics of some replies, without reading texts again where they add up."""
    from emotone.metrics.base import SumStats

    if isinstance(stats, SumStats):
        return dataclasses.replace(stats, rows=stats.rows[list(rows)])
    return metric.stats(pairs)
