"""What a table cannot show: asked against judged, intensity against effect, and distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from emotone.emotions import FULL, TAXONOMIES, Emotion
from emotone.errors import DataError
from emotone.evaluation.scores import NO_EMOTION, Confusion, DosePoint, Histogram, Number
from emotone.protocols import EmotionClassifier
from emotone.types import Example, Reply

Pair = tuple[Example, Reply]
Tokens = Callable[[str, str, str], list[str]]

#: Lower ends of the bins of length in tokens; the last bin is open.
_LENGTHS = (0, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500)
#: Lower ends of the bins of the share of repeated 4-grams.
_REPEATS = (0.0, 0.001, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def part(reply: Reply) -> str:
    """Name the part of a run that a reply belongs to: "joy", "joy:60", a mix, or "none"."""
    if reply.emotion is None:
        return NO_EMOTION
    at_full = reply.emotion.at_full
    return at_full.label if at_full else str(reply.emotion)


def in_order(names: Sequence[str]) -> list[str]:
    """Sort names of parts: "none" first, then emotions in their taxonomy's order, then mixes."""
    rank: dict[str, int] = {}
    for taxonomy in TAXONOMIES.values():
        for label in taxonomy.labels:
            rank.setdefault(label, len(rank))

    def place(name: str) -> tuple[int, int, int, float, str]:
        label, _, value = name.partition(":")
        mixed = " + " in name
        number = FULL if mixed or not value else float(value)
        return (name != NO_EMOTION, mixed, rank.get(label, len(rank)), number, name)

    return sorted(names, key=place)


def confusion(pairs: Sequence[Pair], judge: EmotionClassifier) -> Confusion | None:
    """Count how often replies asked for each emotion were judged as each label.

    Counted are replies asked for one emotion above 0 that the judge can say, and those asked for
    none in a row of their own. None where no reply counts.
    """
    from emotone.metrics.asked import one_taxonomy

    common = one_taxonomy(_asked_taxonomy(pairs, judge), judge.taxonomy)
    rows: list[tuple[str, str]] = []
    for _, reply in pairs:
        if reply.emotion is None:
            rows.append((NO_EMOTION, reply.text))
        elif (emotion := reply.emotion.only) and emotion.label not in common.unsaid:
            rows.append((emotion.label, reply.text))
    if not rows:
        return None
    made = judge.classify([text for _, text in rows])
    counts = Counter(
        (common.of_asked.get(asked, asked), common.of_judge[s.label])
        for (asked, _), s in zip(rows, made, strict=True)
    )
    asked = in_order(list({a for a, _ in counts}))
    judged = common.labels
    return Confusion(
        judge.name, tuple(asked), judged, tuple(tuple(counts[a, j] for j in judged) for a in asked)
    )


def _asked_taxonomy(pairs: Sequence[Pair], judge: EmotionClassifier) -> str:
    names = sorted({r.emotion.taxonomy for _, r in pairs if r.emotion is not None})
    if len(names) > 1:
        raise DataError(
            f"emotions of {' and '.join(names)} are asked in one run; score one taxonomy at a time"
        )
    return names[0] if names else judge.taxonomy.name


def dose(
    pairs: Sequence[Pair], judge: EmotionClassifier, *, rounds: int = 1000, seed: int = 0
) -> dict[str, tuple[DosePoint, ...]]:
    """Measure, for each emotion and intensity, how often the emotion is heard.

    Replies without an emotion stand at intensity 0 of every emotion. Emotions that the judge
    cannot say have no curve.

    Returns:
        Emotion -> points of rising intensity; only emotions that were asked alone.
    """
    from emotone.metrics.asked import one_taxonomy
    from emotone.metrics.base import mean_stats
    from emotone.metrics.significance import interval

    plain = [p for p in pairs if p[1].emotion is None]
    groups: dict[Emotion, dict[float, list[Pair]]] = {}
    for pair in pairs:
        mix = pair[1].emotion
        if mix is not None and len(mix.parts) == 1:
            ((emotion, intensity),) = mix.parts  # any intensity, negative ones too
            groups.setdefault(emotion, {}).setdefault(intensity, []).append(pair)

    def number(values: list[float], ids: list[str], share: bool) -> Number:
        stats = mean_stats(values, share=share)
        low, high = interval(stats, groups=ids, rounds=rounds, seed=seed)
        return Number(stats.value(), low, high, len(values), f"judge:{judge.name}")

    curves: dict[str, tuple[DosePoint, ...]] = {}
    for emotion, by_intensity in groups.items():
        common = one_taxonomy(emotion.taxonomy, judge.taxonomy)
        if emotion.label in common.unsaid:
            continue
        label, of_judge = common.of_asked[emotion.label], common.of_judge
        if plain:
            by_intensity.setdefault(0.0, []).extend(plain)
        points: list[DosePoint] = []
        for intensity, rows in sorted(by_intensity.items()):
            made = judge.classify([reply.text for _, reply in rows])
            ids = [example.id for example, _ in rows]
            heard = [float(of_judge[s.label] == label) for s in made]
            sure = [
                sum(p for name, p in s.probabilities.items() if of_judge[name] == label)
                for s in made
            ]
            points.append(DosePoint(intensity, number(heard, ids, True), number(sure, ids, False)))
        curves[emotion.label] = tuple(points)
    return {label: curves[label] for label in in_order(list(curves))}


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
    from bisect import bisect_right

    counts = Counter(bisect_right(lows, v) - 1 for v in values)
    return tuple(counts[i] for i in range(len(lows)))
