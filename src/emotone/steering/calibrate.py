"""Give intensity a meaning: measure what each dose does, and fit the curve from intensity to dose.

`sweep` answers every post at every dose and has the replies classified; `curve_of` makes the curve
of an emotion from that; `calibrated` puts the curves on the vectors. All three in one call:
`emotone.systems.steered.calibrate_vectors`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from emotone.data.text import Lang
from emotone.errors import CheckpointError, SteeringError
from emotone.files import write_json
from emotone.identity import check_same
from emotone.protocols import EmotionClassifier
from emotone.steering.dose import Curve
from emotone.steering.fluency import Embed, Fluency, distinct, known_share, repeated_share
from emotone.steering.fluency import words as words_of
from emotone.steering.moods import AnyMoods
from emotone.types import Dialogue

#: A few dozen replies cannot tell judged probabilities closer than this apart.
_TOLD_APART = 0.02

Answer = Callable[[Sequence[Dialogue], Sequence[Mapping[str, float]]], list[str]]
"""Dialogues and raw doses (label -> multiple of the direction) -> replies, in order."""

Perplexity = Callable[[str, Sequence[tuple[Dialogue, str]]], float]
"""Label, dialogues with replies -> perplexity unsteered, with the emotion in the system prompt."""


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
class DosePoint:
    """What one dose of one emotion did.

    Args:
        dose: Multiple of the direction.
        probability: Mean probability of the emotion that the judge gives the replies.
        share: Share of replies that the judge classifies as the emotion.
        fluency: See `Fluency`.
    """

    dose: float
    probability: float
    share: float
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
    perplexity: Perplexity,
    human: Mapping[str, Sequence[tuple[Dialogue, str]]] | None = None,
    settings: SweepSettings | None = None,
    checkpoint: Path | None = None,
    depends_on: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[DosePoint]]:
    """Answer every post at every dose of every emotion and measure the replies.

    Args:
        labels: Emotions to sweep.
        posts: Posts to answer; use 20 or more, and none of those that report the result.
        answer: The system at raw doses.
        judge: Classifies the replies; shares no text with the vectors.
        embed: Text embedding, for similarity.
        vocabulary: Known words.
        perplexity: Of replies under the unsteered model prompted for the emotion.
        human: Human replies of each emotion, the 1 of the perplexity ratio; without them the
            ratio is not measured.
        settings: Which doses.
        checkpoint: JSON file that keeps the replies of finished doses, so that a killed sweep
            goes on.
        depends_on: What the replies depend on besides emotion and dose, by name, such as digests;
            a checkpoint made with another is refused.
        progress: Called with (doses done, doses in all).

    Returns:
        Label -> points in order of dose; dose 0 is among them.

    Raises:
        ConfigError: If the checkpoint holds replies that depend on something else.
        CheckpointError: If it cannot be read.
    """
    settings = settings or SweepSettings()
    dialogues = [Dialogue.of(p) for p in posts]
    replies = _Replies(checkpoint, dict(depends_on or {}))
    plain = replies.of("plain", lambda: answer(dialogues, [{} for _ in dialogues]))
    post_vectors = embed(posts)
    plain_similarity = float((post_vectors * embed(plain)).sum(-1).mean())
    plain_distinct = distinct(plain)
    # The 1 of the ratio is the same at every dose.
    people = {k: perplexity(k, pairs) for k, pairs in (human or {}).items() if pairs}

    def measure(label: str, dose: float) -> DosePoint:
        doses = [{label: dose} for _ in dialogues]
        texts = replies.of(
            f"{label}@{dose:g}", lambda: plain if dose == 0 else answer(dialogues, doses)
        )
        scores = judge.classify(texts, posts)
        ratio = float("nan")
        if label in people:
            ratio = perplexity(label, list(zip(dialogues, texts, strict=True))) / people[label]
        return DosePoint(
            dose,
            float(np.mean([s.probabilities[label] for s in scores])),
            float(np.mean([s.label == label for s in scores])),
            Fluency(
                perplexity=ratio,
                known=known_share(texts, vocabulary),
                repeats=repeated_share(texts),
                similarity=float((post_vectors * embed(texts)).sum(-1).mean()) / plain_similarity,
                distinct=distinct(texts) / plain_distinct,
                words=float(np.mean([len(words_of(t)) for t in texts])),
            ),
        )

    doses = [*sorted(settings.negative), 0.0, *settings.doses]
    points: dict[str, list[DosePoint]] = {label: [] for label in labels}
    for done, (label, dose) in enumerate(((la, d) for la in labels for d in doses), 1):
        points[label].append(measure(label, dose))
        if progress:
            progress(done, len(labels) * len(doses))
    return points


class _Replies:
    """Replies by key, kept in a JSON file if there is one, each key written when it is made."""

    def __init__(self, path: Path | None, depends_on: Mapping[str, Any]) -> None:
        self._path = path
        self._rows: dict[str, Any] = {"depends on": depends_on}
        if path is not None and path.exists():
            self._rows = _read_replies(path, depends_on)

    def of(self, key: str, make: Callable[[], list[str]]) -> list[str]:
        """Return the replies of a key; make them where they are not there yet."""
        if key not in self._rows:
            self._rows[key] = make()
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._path, self._rows, indent=None)
        return self._rows[key]


def _read_replies(path: Path, depends_on: Mapping[str, Any]) -> dict[str, Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        before = dict(rows.get("depends on", {}))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not hold the replies of a sweep ({error}); remove it to sweep anew"
        ) from error
    check_same(before, depends_on, path, "remove it to sweep anew")
    return rows


def shipped_posts(lang: Lang = "en") -> list[str]:
    """Return twenty posts of a language to calibrate on; no vectors are made from them."""
    name = "posts.txt" if lang == "en" else f"posts-{lang}.txt"
    return (files("emotone.steering") / "shipped" / name).read_text(encoding="utf-8").splitlines()


def curve_of(points: Sequence[DosePoint], limits: Limits) -> Curve:
    """Turn a sweep into the map from intensity to dose.

    Intensity 100 is the smallest of the most effective doses: those at which the emotion is most
    probable to the judge, among the doses that keep within the limits, as do all smaller ones. 25,
    50 and 75 are where that probability has gone this part of its way from dose 0. Intensity -100
    is the farthest fluent negative dose.

    Raises:
        SteeringError: If no positive dose is fluent, or none is more effective than dose 0.
    """
    from sklearn.isotonic import IsotonicRegression

    ordered = sorted(points, key=lambda p: p.dose)
    plain = next(p for p in ordered if p.dose == 0)
    rising: list[DosePoint] = [plain]
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
    if high - low <= _TOLD_APART:
        raise SteeringError("no dose raises the judged probability; extract better vectors")
    # Beyond the most effective dose, more only costs fluency.
    top = int(np.argmax(smooth >= high - _TOLD_APART))
    knots: list[tuple[float, float]] = [(0.0, 0.0)]
    for intensity in (25.0, 50.0, 75.0):
        wanted = low + (high - low) * intensity / 100
        dose = float(np.interp(wanted, smooth[: top + 1], doses[: top + 1]))
        knots.append((intensity, dose))
    knots.append((100.0, float(doses[top])))
    return Curve(tuple([*_negative(ordered, plain, limits), *_rise(knots)]))


def _negative(
    ordered: Sequence[DosePoint], plain: DosePoint, limits: Limits
) -> list[tuple[float, float]]:
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
    vectors: AnyMoods, points: Mapping[str, Sequence[DosePoint]], limits: Limits, judge: str
) -> AnyMoods:
    """Return the vectors with a dose curve for each swept emotion and the sweep in their card.

    An emotion without a curve leaves the others theirs; `measured["uncalibrated"]` says why.

    Raises:
        SteeringError: If no emotion has a curve.
    """
    curves = {k: curve for k, curve in vectors.card.curves.items() if k not in points}
    measured = dict(vectors.card.measured)
    failures: dict[str, str] = {}
    for label, row in points.items():
        measured[label] = [_flat(p) for p in row]
        try:
            curves[label] = curve_of(row, limits)
        except SteeringError as error:
            failures[label] = str(error)
    if failures and not curves:
        raise SteeringError("; ".join(f"{label}: {reason}" for label, reason in failures.items()))
    measured["uncalibrated"] = failures
    measured["judge"] = judge
    measured["limits"] = dataclasses.asdict(limits)
    card = dataclasses.replace(vectors.card, curves=curves, measured=measured)
    return dataclasses.replace(vectors, card=card)


def _flat(point: DosePoint) -> dict[str, float | None]:
    values = {
        "dose": point.dose,
        "probability": point.probability,
        "heard": point.share,  # as vector files name it
        **dataclasses.asdict(point.fluency),
    }
    return {k: None if v != v else round(float(v), 4) for k, v in values.items()}
