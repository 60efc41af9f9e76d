"""Give intensity a meaning: a dose-response sweep for each emotion under a fluency ceiling."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotone.errors import SteeringError
from emotone.protocols import EmotionClassifier
from emotone.steering.curve import Curve
from emotone.steering.fluency import Embed, Fluency, distinct, known_share, repeated_share
from emotone.steering.fluency import words as words_of
from emotone.steering.vectors import EmotionVectors
from emotone.types import Dialogue

Answer = Callable[[Sequence[Dialogue], Sequence[Mapping[str, float]]], list[str]]
"""Dialogues and raw doses (label -> multiple of the direction) -> replies, in order."""

Likelihood = Callable[[str, Sequence[tuple[Dialogue, str]]], float]
"""Label, dialogues with replies -> perplexity under the unsteered model told the emotion."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What fluent means; see `emotone.steering.fluency.Fluency` for the measures.

    Defaults leave room for chance on a sweep of a few dozen replies.
    """

    perplexity: float = 1.0
    known: float = 0.975
    repeats: float = 0.02
    similarity: float = 0.8
    distinct: float = 0.8
    shortest: float = 0.4
    """Least mean length, as a ratio to unsteered replies."""


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """Which doses are tried.

    Args:
        doses: Rising multiples of the direction above 0.
        negative: Falling multiples below 0.
        limits: What fluent means.
    """

    doses: tuple[float, ...] = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.1, 1.3)
    negative: tuple[float, ...] = (-0.25, -0.5)
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Point:
    """What one dose of one emotion did.

    Args:
        dose: Multiple of the direction.
        probability: Mean judged probability of the emotion.
        heard: Share of replies judged as the emotion.
        fluency: See `Fluency`.
    """

    dose: float
    probability: float
    heard: float
    fluency: Fluency

    def fluent(self, limits: Limits, plain_words: float) -> bool:
        """Tell whether replies at this dose keep within the limits."""
        f = self.fluency
        return (
            not f.perplexity > limits.perplexity
            and f.known >= limits.known
            and f.repeats <= limits.repeats
            and f.similarity >= limits.similarity
            and f.distinct >= limits.distinct
            and f.words >= limits.shortest * plain_words
        )


def sweep(
    labels: Sequence[str],
    posts: Sequence[str],
    answer: Answer,
    judge: EmotionClassifier,
    *,
    embed: Embed,
    vocabulary: Collection[str],
    likelihood: Likelihood,
    human: Mapping[str, Sequence[tuple[Dialogue, str]]] | None = None,
    settings: SweepSettings | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Point]]:
    """Answer every post at every dose of every emotion and measure the replies.

    Args:
        labels: Emotions to sweep.
        posts: Posts to answer; use 20 or more, and none of those that report the result.
        answer: The system at raw doses.
        judge: Hears the emotion; shares no text with the vectors.
        embed: Text embedding, for similarity.
        vocabulary: Known words.
        likelihood: Perplexity under the unsteered model told the emotion.
        human: Human replies of each emotion, the 1 of the perplexity ratio; without them the
            ratio is not measured.
        settings: Which doses.
        checkpoint: JSON file that keeps finished doses, so that a killed sweep goes on.
        progress: Called with (doses done, doses in all).

    Returns:
        Label -> points in order of dose; dose 0 is among them.
    """
    settings = settings or SweepSettings()
    dialogues = [Dialogue.of(p) for p in posts]
    kept: dict[str, Any] = {}
    if checkpoint is not None and checkpoint.exists():
        kept = json.loads(checkpoint.read_text(encoding="utf-8"))
    doses = [*sorted(settings.negative), 0.0, *settings.doses]
    if "plain" not in kept:
        kept["plain"] = answer(dialogues, [{} for _ in dialogues])
        _keep(checkpoint, kept)
    plain: list[str] = kept["plain"]
    posts_at = embed(posts)
    plain_similarity = float((posts_at * embed(plain)).sum(-1).mean())
    plain_distinct = distinct(plain)
    points: dict[str, list[Point]] = {label: [] for label in labels}
    total = len(labels) * len(doses)
    # The 1 of the ratio is the same at every dose.
    people = {k: likelihood(k, pairs) for k, pairs in (human or {}).items() if pairs}
    for done, (label, dose) in enumerate(((la, d) for la in labels for d in doses), 1):
        key = f"{label}@{dose:g}"
        if key not in kept:
            if dose == 0:
                kept[key] = plain
            else:
                kept[key] = answer(dialogues, [{label: dose} for _ in dialogues])
            _keep(checkpoint, kept)
        replies: list[str] = kept[key]
        scores = judge.classify(replies)
        ratio = float("nan")
        if label in people:
            pairs = list(zip(dialogues, replies, strict=True))
            ratio = likelihood(label, pairs) / people[label]
        fluency = Fluency(
            perplexity=ratio,
            known=known_share(replies, vocabulary),
            repeats=repeated_share(replies),
            similarity=float((posts_at * embed(replies)).sum(-1).mean()) / plain_similarity,
            distinct=distinct(replies) / plain_distinct,
            words=float(np.mean([len(words_of(r)) for r in replies])),
        )
        points[label].append(
            Point(
                dose,
                float(np.mean([s.probabilities[label] for s in scores])),
                float(np.mean([s.label == label for s in scores])),
                fluency,
            )
        )
        if progress:
            progress(done, total)
    return points


def _keep(path: Path | None, kept: Mapping[str, Any]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)


def curve_of(points: Sequence[Point], limits: Limits) -> Curve:
    """Turn a sweep into the map from intensity to dose.

    Intensity 100 is the dose that is heard best among those that keep within the limits, as do
    all smaller ones; 25, 50 and 75 are where the judged probability has gone that part of its way
    from dose 0. Intensity -100 is the farthest fluent negative dose.

    Raises:
        SteeringError: If no positive dose is fluent, or none is heard more than dose 0.
    """
    from sklearn.isotonic import IsotonicRegression

    ordered = sorted(points, key=lambda p: p.dose)
    plain = next(p for p in ordered if p.dose == 0)
    rising: list[Point] = [plain]
    for point in (p for p in ordered if p.dose > 0):
        if not point.fluent(limits, plain.fluency.words):
            break
        rising.append(point)
    if len(rising) < 2:
        raise SteeringError(
            "no dose keeps within the fluency limits; extract better vectors or try smaller doses"
        )
    doses = np.array([p.dose for p in rising])
    smooth = IsotonicRegression().fit_transform(doses, [p.probability for p in rising])
    low, high = float(smooth[0]), float(smooth[-1])
    if high <= low:
        raise SteeringError("no dose is heard more than none; extract better vectors")
    # Beyond the best-heard dose, more push only costs fluency; a few dozen replies cannot tell
    # probabilities closer than this apart.
    top = int(np.argmax(smooth >= high - 0.02))
    knots: list[tuple[float, float]] = [(0.0, 0.0)]
    for intensity in (25.0, 50.0, 75.0):
        wanted = low + (high - low) * intensity / 100
        dose = float(np.interp(wanted, smooth[: top + 1], doses[: top + 1]))
        knots.append((intensity, dose))
    knots.append((100.0, float(doses[top])))
    return Curve(tuple([*_negative(ordered, plain, limits), *_rise(knots)]))


def _negative(ordered: Sequence[Point], plain: Point, limits: Limits) -> list[tuple[float, float]]:
    farthest = 0.0
    for point in sorted((p for p in ordered if p.dose < 0), key=lambda p: -p.dose):
        if not point.fluent(limits, plain.fluency.words):
            break
        farthest = point.dose
    if farthest == 0.0:
        # Not even the smallest negative dose is fluent: a fifth of it is a safe start.
        farthest = max((p.dose for p in ordered if p.dose < 0), default=-0.25) / 5
    return [(-100.0, farthest)]


def _rise(knots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Make doses strictly rising where the judged probability jumps between two doses."""
    top = knots[-1][1]
    out = [knots[0]]
    for intensity, dose in knots[1:]:
        least = out[-1][1] + 0.01 * top
        out.append((intensity, max(dose, least)))
    if out[-1][1] > top:  # the last step was pushed up: spread evenly instead
        return [(i, top * i / 100.0) for i, _ in knots]
    return out


def calibrated(
    vectors: EmotionVectors, points: Mapping[str, Sequence[Point]], limits: Limits, judge: str
) -> EmotionVectors:
    """Return the vectors with a dose curve for each swept emotion and the sweep in their card."""
    curves = dict(vectors.card.curves)
    measured = dict(vectors.card.measured)
    for label, row in points.items():
        try:
            curves[label] = curve_of(row, limits)
        except SteeringError as error:
            raise SteeringError(f"{label}: {error}") from error
        measured[label] = [_flat(p) for p in row]
    measured["judge"] = judge
    measured["limits"] = dataclasses.asdict(limits)
    card = dataclasses.replace(vectors.card, curves=curves, measured=measured)
    return dataclasses.replace(vectors, card=card)


def _flat(point: Point) -> dict[str, float | None]:
    values = {
        "dose": point.dose,
        "probability": point.probability,
        "heard": point.heard,
        **dataclasses.asdict(point.fluency),
    }
    return {k: None if v != v else round(float(v), 4) for k, v in values.items()}
