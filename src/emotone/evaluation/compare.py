"""Paired tests: two systems on the replies that both gave to the same posts and emotions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from emotone.emotions import Emotion
from emotone.errors import DataError, Unsupported
from emotone.evaluation.facts import by_system, plain_replies, run_facts
from emotone.evaluation.measure import Advance, key_of
from emotone.evaluation.scores import Against, Difference
from emotone.metrics import Instruments, build
from emotone.metrics.base import Pair, SumStats
from emotone.metrics.significance import paired_test

#: Random swaps of the paired test.
ROUNDS = 10_000


def compare(
    pairs: Sequence[Pair],
    others: Sequence[Pair],
    metrics: Sequence[str],
    instruments: Instruments,
    *,
    asked: str = "none",
    emotions: Sequence[Emotion] = (),
    rounds: int = ROUNDS,
    seed: int = 0,
    advance: Advance | None = None,
) -> Against:
    """Test whether two systems differ on the replies that both gave to the same posts and emotions.

    A reply goes with the other system's reply to the same example in the same emotion. With `asked`
    "all", a reply of a system that was asked for no emotion at all goes with each of the other's,
    and is compared with that emotion. Where a reply is so used more than once, only statistics that
    add up are compared, as a copy is a weight there; Distinct or the commonest share of copies
    would describe replies that no run gave.

    Args:
        pairs: Replies of one system.
        others: Replies of another.
        metrics: Names of metrics.
        instruments: For the metrics.
        asked: As in `RunFacts`.
        emotions: As in `RunFacts`.
        rounds: Random swaps.
        seed: Seed of the swaps.
        advance: Called with the name of each metric that is done.

    Raises:
        DataError: If the two share no reply, or one side is not of a single (system, model).
    """
    ours, theirs = list(by_system(pairs)), list(by_system(others))
    if len(ours) != 1 or len(theirs) != 1:
        raise DataError(
            f"{len(ours)} and {len(theirs)} systems came where one is compared with one; give"
            " replies of one system and one model to each side"
        )
    by_system([*pairs, *others])  # the same ids must mean the same dialogues
    left, right, copied = _aligned(pairs, others, both=asked == "all")
    ids = [example.id for example, _ in left]
    # Both sides answer to the same emotions; only the plain replies are each side's own.
    facts = run_facts(left, instruments.emotion, asked=asked, emotions=emotions)
    of_left = replace(facts, plain=plain_replies(pairs))
    of_right = replace(facts, plain=plain_replies(others))
    differences: dict[str, Difference] = {}
    for name in metrics:
        metric = build(name, instruments, of_left)
        a, b = metric.stats(left), build(name, instruments, of_right).stats(right)
        if copied and not (isinstance(a, SumStats) and isinstance(b, SumStats)):
            continue
        try:
            test = paired_test(a, b, rounds=rounds, seed=seed, groups=ids)
        except Unsupported:
            continue  # statistics that cannot be joined have no paired test
        differences[key_of(name, metric, of_replies=True)] = Difference(
            a.value(), b.value(), test.difference, test.low, test.high, test.p, len(left)
        )
        if advance:
            advance(name)
    return Against(*theirs[0], differences)


def _aligned(
    pairs: Sequence[Pair], others: Sequence[Pair], *, both: bool
) -> tuple[list[Pair], list[Pair], bool]:
    """Put replies side by side, and tell whether one of them is used more than once."""

    def by_key(rows: Sequence[Pair]) -> dict[tuple[str, str | None, int], Pair]:
        keyed: dict[tuple[str, str | None, int], Pair] = {}
        times: dict[tuple[str, str | None], int] = {}
        for example, reply in sorted(rows, key=lambda p: p[1].seed):
            key = (example.id, None if reply.emotion is None else str(reply.emotion))
            keyed[*key, times.get(key, 0)] = (example, reply)
            times[key] = times.get(key, 0) + 1
        return keyed

    ours, theirs = by_key(pairs), by_key(others)
    # Beside replies with an emotion, plain ones do not answer to one.
    mine_all, theirs_all = (
        both and all(reply.emotion is None for _, reply in rows) for rows in (pairs, others)
    )
    left: list[Pair] = []
    right: list[Pair] = []
    used: Counter[tuple[str, str | None, int]] = Counter()
    for key in sorted({*ours, *theirs}, key=lambda k: (k[0], k[1] or "", k[2])):
        plain = (key[0], None, key[2])
        mine = ours.get(key) or (ours.get(plain) if mine_all else None)
        other = theirs.get(key) or (theirs.get(plain) if theirs_all else None)
        if mine is None or other is None:
            continue
        used.update({key, plain} if key not in ours or key not in theirs else {key})
        emotion = mine[1].emotion or other[1].emotion
        left.append((mine[0], replace(mine[1], emotion=emotion)))
        right.append((other[0], replace(other[1], emotion=emotion)))
    if not left:
        raise DataError(
            "the two files share no example asked for the same emotion; answer the same examples"
            " in the same emotions, or add --asked all where one system takes no emotion"
        )
    return left, right, max(used.values()) > 1
