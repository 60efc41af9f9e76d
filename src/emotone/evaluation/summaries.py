"""What a table cannot show: requested against judged, intensity against effect, distributions."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from emotone.emotions import Emotion
from emotone.evaluation.groups import in_order
from emotone.evaluation.scores import NO_EMOTION, Confusion, DosePoint, Histogram, Number
from emotone.metrics import RunFacts
from emotone.metrics.base import Pair, mean_stats, replies_and_posts
from emotone.metrics.common import Common
from emotone.metrics.instruments import Tokens
from emotone.metrics.significance import interval
from emotone.protocols import EmotionClassifier
from emotone.types import EmotionScores

#: Lower ends of the bins of length in tokens; the last bin is open.
_LENGTHS = (0, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500)
#: Lower ends of the bins of the share of repeated 4-grams.
_REPEATS = (0.0, 0.001, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Judged:
    """The replies of a run with what the judge of emotion says of each.

    Args:
        judge: Name of the judge.
        common: Requested and judged labels in one taxonomy.
        pairs: Examples and replies.
        scores: The judge's scores of each reply.
    """

    judge: str
    common: Common
    pairs: Sequence[Pair]
    scores: Sequence[EmotionScores]


def judge_replies(
    pairs: Sequence[Pair], judge: EmotionClassifier | None, facts: RunFacts
) -> Judged | None:
    """Let the judge of emotion read every reply of a run; None where there is no judge."""
    if judge is None or facts.common is None:
        return None
    scores = judge.classify(*replies_and_posts(pairs))
    return Judged(judge.name, facts.common, pairs, scores)


def confusion(judged: Judged) -> Confusion | None:
    """Count how often replies asked for each emotion were judged as each label.

    Counted are replies asked for one emotion above 0 that the judge has a label for, and those
    asked for none in a row of their own. None where no reply counts.
    """
    common = judged.common
    counts: Counter[tuple[str, str]] = Counter()
    for (_, reply), scores in zip(judged.pairs, judged.scores, strict=True):
        if reply.emotion is None:
            counts[NO_EMOTION, common.of_judge[scores.label]] += 1
        elif (emotion := reply.emotion.only) and emotion.label not in common.unsaid:
            counts[common.of_asked[emotion.label], common.of_judge[scores.label]] += 1
    if not counts:
        return None
    rows = in_order({asked for asked, _ in counts})
    table = tuple(tuple(counts[asked, label] for label in common.labels) for asked in rows)
    return Confusion(judged.judge, tuple(rows), common.labels, table)


def dose(judged: Judged, *, rounds: int = 1000, seed: int = 0) -> dict[str, tuple[DosePoint, ...]]:
    """Measure, for each emotion and intensity, how often replies are judged as the emotion.

    Replies without an emotion stand at intensity 0 of every emotion. Emotions that the judge has
    no label for have no curve.

    Returns:
        Emotion -> points of rising intensity; only emotions that were asked for alone.
    """
    common = judged.common
    plain: list[int] = []
    places: dict[Emotion, dict[float, list[int]]] = {}
    for i, (_, reply) in enumerate(judged.pairs):
        if reply.emotion is None:
            plain.append(i)
        elif len(reply.emotion.parts) == 1:
            ((emotion, intensity),) = reply.emotion.parts  # any intensity, negative ones too
            places.setdefault(emotion, {}).setdefault(intensity, []).append(i)

    def number(values: Sequence[float], at: Sequence[int], share: bool) -> Number:
        stats = mean_stats(values, share=share)
        ids = [judged.pairs[i][0].id for i in at]
        low, high = interval(stats, groups=ids, rounds=rounds, seed=seed)
        return Number(stats.value(), low, high, len(values), f"judge:{judged.judge}")

    def point(label: str, intensity: float, at: Sequence[int]) -> DosePoint:
        scores = [judged.scores[i] for i in at]
        hits = [float(common.of_judge[s.label] == label) for s in scores]
        probabilities = [
            sum(p for name, p in s.probabilities.items() if common.of_judge[name] == label)
            for s in scores
        ]
        return DosePoint(intensity, number(hits, at, True), number(probabilities, at, False))

    curves: dict[str, tuple[DosePoint, ...]] = {}
    for emotion, by_intensity in places.items():
        if emotion.label in common.unsaid:
            continue
        if plain:
            by_intensity.setdefault(0.0, []).extend(plain)
        label = common.of_asked[emotion.label]
        curves[emotion.label] = tuple(
            point(label, intensity, at) for intensity, at in sorted(by_intensity.items())
        )
    return {label: curves[label] for label in in_order(curves)}


def distributions(pairs: Sequence[Pair], tokens: Tokens) -> dict[str, Histogram]:
    """Count replies by length and by share of repeated 4-grams.

    A reply without a 4-gram has no repeated one.
    """
    lengths: list[int] = []
    repeats: list[float] = []
    for example, reply in pairs:
        row = tokens(reply.text, example.lang, "word")
        grams = [tuple(row[i : i + 4]) for i in range(len(row) - 3)]
        lengths.append(len(row))
        repeats.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    top = max(lengths, default=0)
    edges = (*_LENGTHS, max(top + 1, 1000))
    return {
        "length": Histogram("words", tuple(map(float, edges)), _bins(lengths, _LENGTHS)),
        "repetition": Histogram(
            "share of repeated 4-grams", (*_REPEATS, 1.0), _bins(repeats, _REPEATS)
        ),
    }


def _bins(values: Sequence[float], lows: Sequence[float]) -> tuple[int, ...]:
    counts = Counter(bisect_right(lows, v) - 1 for v in values)
    return tuple(counts[i] for i in range(len(lows)))
