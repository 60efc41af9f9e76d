"""From replies to scores: metrics with intervals, parts, curves and paired tests.

Nothing is generated here and no model is loaded: judges and encoders come in as `Tools`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.emotions import Emotion
from emotone.errors import DataError, Unsupported, UsageError
from emotone.evaluation.scores import Against, Difference, Number, Scores
from emotone.evaluation.summaries import Pair, confusion, distributions, dose, in_order, part

if TYPE_CHECKING:
    from emotone.metrics import Tools
    from emotone.protocols import Metric, Stats

#: Draws of the bootstrap and of the paired test.
ROUNDS = 1000
PAIRED_ROUNDS = 10_000

Advance = Callable[[str], None]

_TOOLS = ("emotion", "empathy", "embed", "embed_tokens", "neutral", "perplexity")


def runs(pairs: Iterable[Pair]) -> dict[tuple[str, str], list[Pair]]:
    """Part replies by (system, model), each in the order of the file.

    Raises:
        DataError: If one id stands for two dialogues.
    """
    found: dict[tuple[str, str], list[Pair]] = {}
    dialogues: dict[str, Any] = {}
    for example, reply in pairs:
        said = tuple((p.speaker, p.text) for p in example.dialogue.posts)
        if dialogues.setdefault(example.id, said) != said:
            raise DataError(
                f"example {example.id!r} has two different dialogues; score files of one corpus"
            )
        found.setdefault((reply.system, reply.model), []).append((example, reply))
    return found


def asked_emotions(pairs: Iterable[Pair]) -> tuple[Emotion, ...]:
    """List the emotions that replies were asked for alone and above 0, in taxonomy order."""
    found = {
        reply.emotion.parts[0][0]
        for _, reply in pairs
        if reply.emotion is not None
        and len(reply.emotion.parts) == 1
        and reply.emotion.parts[0][1] > 0
    }
    names = in_order([e.label for e in found])
    return tuple(sorted(found, key=lambda e: (e.taxonomy, names.index(e.label))))


def needs(name: str) -> frozenset[str]:
    """Find which tools a metric cannot do without, by leaving out one at a time.

    Raises:
        UnknownName: If there is no such metric.
    """
    from emotone import metrics

    every = _everything()
    lacks: set[str] = set()
    for tool in _TOOLS:
        try:
            metrics.build(name, dataclasses.replace(every, **{tool: None}))
        except Unsupported:
            lacks.add(tool)
    return frozenset(lacks)


def check_judges(judges: Iterable[str], pairs: Iterable[Pair], *, trained: Iterable[str]) -> None:
    """Refuse a judge that touched the training of what it is to score.

    Args:
        judges: Names of the scoring judges.
        pairs: Replies, whose `applied` may list "judges" that touched training or calibration.
        trained: Judges that manifests beside the replies list.

    Raises:
        UsageError: If one is among them; `--same-judge` leaves this check out.
    """
    touched = {_stem(name) for name in trained}
    for _, reply in pairs:
        listed = reply.applied.get("judges", ())
        if isinstance(listed, list | tuple):
            touched |= {_stem(str(name)) for name in listed}
    for name in judges:
        if _stem(name) in touched:
            raise UsageError(
                f"judge {_stem(name)!r} touched the training of these replies, so it would hear"
                " what it taught; score with another one, or add --same-judge and say so"
            )


def score(
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    tools: Tools,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    manifest: Mapping[str, Any] | None = None,
    advance: Advance | None = None,
) -> Scores:
    """Score the replies of one system with one model.

    Intervals resample example ids, as replies to one post are not independent.

    Args:
        pairs: Examples and replies of one (system, model).
        metrics: Names for `emotone.metrics.build`.
        tools: Judges, encoders and segmenters; "neutral" is filled from the replies themselves.
        rounds: Draws of the bootstrap.
        seed: Seed of the draws.
        manifest: Goes into the result.
        advance: Called with the name of each metric that is done.

    Raises:
        DataError: If there is no reply or more than one (system, model).
        Unsupported: If a metric needs a tool that is None.
    """
    found = list(runs(pairs))
    if len(found) != 1:
        raise DataError(f"{len(found)} systems came where one is scored; part them with `runs`")
    tools = with_neutral(tools, pairs)
    places: dict[str, list[int]] = {}
    for i, (_, reply) in enumerate(pairs):
        places.setdefault(part(reply), []).append(i)
    total: dict[str, Number] = {}
    parts: dict[str, dict[str, Number]] = {name: {} for name in in_order(list(places))}
    from emotone.metrics import build

    for name in metrics:
        metric = build(name, tools)
        stats = metric.stats(pairs)
        total[metric.name] = _number(metric, stats, pairs, rounds, seed)
        for label, rows in places.items() if len(places) > 1 else ():
            chosen = [pairs[i] for i in rows]
            parts[label][metric.name] = _number(
                metric, _some(metric, stats, rows, chosen), chosen, rounds, seed
            )
        if len(places) == 1:
            parts[next(iter(places))][metric.name] = total[metric.name]
        if advance:
            advance(metric.name)
    heard = tools.emotion is not None
    return Scores(
        *found[0],
        len(pairs),
        total,
        parts,
        confusion(pairs, tools.emotion) if tools.emotion is not None else None,
        dose(pairs, tools.emotion, rounds=rounds, seed=seed) if heard and tools.emotion else {},
        distributions(pairs, tools.tokens),
        manifest=dict(manifest or {}),
    )


def compare(
    pairs: Sequence[Pair],
    others: Sequence[Pair],
    metrics: Sequence[str],
    tools: Tools,
    *,
    rounds: int = PAIRED_ROUNDS,
    seed: int = 0,
    advance: Advance | None = None,
) -> Against:
    """Test whether two systems differ on the replies that both gave to the same posts and moods.

    A reply goes with the other system's reply to the same example in the same emotion. With
    `tools.asked` "all", a reply without an emotion goes with each of the other's, and is compared
    with that emotion.

    Args:
        pairs: Replies of one system.
        others: Replies of another.
        metrics: Names of metrics.
        tools: As for `score`.
        rounds: Random swaps.
        seed: Seed of the swaps.
        advance: Called with the name of each metric that is done.

    Raises:
        DataError: If the two share no reply, or one is no single (system, model).
    """
    from emotone.metrics import build
    from emotone.metrics.significance import paired_test

    ours, theirs = list(runs(pairs)), list(runs(others))
    if len(ours) != 1 or len(theirs) != 1:
        raise DataError(
            f"{len(ours)} and {len(theirs)} systems came where one is compared with one; give"
            " replies of one system and one model to each side"
        )
    runs([*pairs, *others])  # the same ids must mean the same dialogues
    left, right = _aligned(pairs, others, both=tools.asked == "all")
    ids = [example.id for example, _ in left]
    made: dict[str, Difference] = {}
    for name in metrics:
        mine = build(name, with_neutral(tools, pairs))
        other = build(name, with_neutral(tools, others))
        a, b = mine.stats(left), other.stats(right)
        try:
            test = paired_test(a, b, rounds=rounds, seed=seed, groups=ids)
        except Unsupported:
            continue  # statistics that cannot be joined have no paired test
        made[mine.name] = Difference(
            a.value(), b.value(), test.difference, test.low, test.high, test.p, len(left)
        )
        if advance:
            advance(name)
    return Against(*theirs[0], made)


def with_neutral(tools: Tools, pairs: Sequence[Pair]) -> Tools:
    """Fill in each example's reply without an emotion, where the run has some."""
    plain = {example.id: reply.text for example, reply in pairs if reply.emotion is None}
    moods = any(reply.emotion is not None for _, reply in pairs)
    return dataclasses.replace(tools, neutral=plain if plain and moods else None)


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


def _aligned(
    pairs: Sequence[Pair], others: Sequence[Pair], *, both: bool
) -> tuple[list[Pair], list[Pair]]:
    def by_key(rows: Sequence[Pair]) -> dict[tuple[str, str | None, int], Pair]:
        made: dict[tuple[str, str | None, int], Pair] = {}
        times: dict[tuple[str, str | None], int] = {}
        for example, reply in sorted(rows, key=lambda p: p[1].seed):
            key = (example.id, None if reply.emotion is None else str(reply.emotion))
            made[*key, times.get(key, 0)] = (example, reply)
            times[key] = times.get(key, 0) + 1
        return made

    ours, theirs = by_key(pairs), by_key(others)
    left: list[Pair] = []
    right: list[Pair] = []
    for key in sorted({*ours, *theirs}, key=lambda k: (k[0], k[1] or "", k[2])):
        plain = (key[0], None, key[2])
        mine = ours.get(key) or (ours.get(plain) if both else None)
        other = theirs.get(key) or (theirs.get(plain) if both else None)
        if mine is None or other is None:
            continue
        mood = mine[1].emotion or other[1].emotion
        left.append((mine[0], dataclasses.replace(mine[1], emotion=mood)))
        right.append((other[0], dataclasses.replace(other[1], emotion=mood)))
    if not left:
        raise DataError(
            "the two files share no example asked for the same emotion; answer the same examples"
            " in the same emotions, or add --asked all where one system takes no emotion"
        )
    return left, right


def _stem(judge: str) -> str:
    """Name of a judge without label set, version and checksum: "en-score-1-0a1b2c3d:ekman"."""
    return re.sub(r"-\d+-[0-9a-f]{8}$", "", judge.split(":")[0].split(" ")[0])


def _everything() -> Tools:
    """Tools that are all there and never used: what a metric says when it is built."""
    from emotone.emotions import EKMAN
    from emotone.metrics import Tools

    def unused(*_: Any) -> Any:
        raise DataError("this tool stands for another one and measures nothing")

    @dataclasses.dataclass(frozen=True)
    class Judge:
        name: str = "any"
        taxonomy: Any = EKMAN
        classify: Any = unused
        identify: Any = unused

    judge: Any = Judge()
    return Tools(
        emotion=judge,
        empathy=judge,
        embed=unused,
        embed_tokens=unused,
        neutral={},
        perplexity=unused,
    )


def cache_folder(output: Path) -> Path:
    """Return where judges' labels are kept for scores that are written to `output`."""
    return output.parent / ".labels"
