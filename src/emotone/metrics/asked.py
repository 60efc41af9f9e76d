"""Asked emotions beside judged ones, in one taxonomy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotone.emotions import MAPS, TAXONOMIES, Emotion, Taxonomy
from emotone.errors import DataError, unknown_name
from emotone.metrics.base import Pair
from emotone.metrics.tools import Tools
from emotone.protocols import EmotionClassifier
from emotone.types import Reply

#: An asked set with more than this many times the judge's labels is compared in the judge's.
FINER = 2


@dataclass(frozen=True)
class Asked:
    """Asked and judged emotions of replies.

    Args:
        labels: Labels of the taxonomy that both are compared in, L of them.
        weights: How much of each label was asked, [N, L]: one-hot; spread evenly over all asked
            emotions for a reply without one (`Tools.asked` "all"); zeros for one that is left out.
        judged: The judged label, one-hot, [N, L]; zeros where left out.
        probabilities: Judged probability of each label, [N, L]; zeros where left out.
    """

    labels: tuple[str, ...]
    weights: np.ndarray
    judged: np.ndarray
    probabilities: np.ndarray


def asked_emotion(reply: Reply) -> Emotion | None:
    """Return the emotion of a mix of one emotion above 0, at any intensity, else None."""
    if reply.emotion is None or len(reply.emotion.parts) != 1:
        return None
    emotion, intensity = reply.emotion.parts[0]
    return emotion if intensity > 0 else None


def by_emotion(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    """Return the places of the replies that were asked for each single emotion."""
    found: dict[str, list[int]] = {}
    for i, (_, reply) in enumerate(pairs):
        emotion = asked_emotion(reply)
        if emotion is not None:
            found.setdefault(emotion.label, []).append(i)
    return found


def read(pairs: Sequence[Pair], judge: EmotionClassifier, tools: Tools) -> Asked:
    """Judge the replies that count, and bring both sides into one taxonomy.

    The judged label goes to the asked taxonomy, so that no two asked emotions become one. Where
    there is no table for that, or the asked set is more than twice as large as the judge's, the
    asked emotion goes to the judge's set.

    Raises:
        DataError: If emotions of several taxonomies are asked.
        UnknownName: If there is no table between the taxonomies.
    """
    asked = [asked_emotion(reply) for _, reply in pairs]
    every = _every_asked(asked, judge, tools)
    names = sorted({e.taxonomy for e in (*asked, *every) if e is not None})
    if len(names) > 1:
        raise DataError(
            f"emotions of {' and '.join(names)} are asked in one run; score one taxonomy at a time"
        )
    common, of_asked, of_judge = _tables(names[0] if names else judge.taxonomy.name, judge.taxonomy)
    place = {label: i for i, label in enumerate(common)}
    weights = np.zeros((len(pairs), len(common)))
    for i, ((_, reply), emotion) in enumerate(zip(pairs, asked, strict=True)):
        if emotion is not None:
            weights[i, place[_mapped(of_asked, emotion.label)]] = 1.0
        elif reply.emotion is None and tools.asked == "all":
            for one in every:
                weights[i, place[_mapped(of_asked, one.label)]] += 1 / len(every)
    judged = np.zeros_like(weights)
    probabilities = np.zeros_like(weights)
    rows = np.flatnonzero(weights.any(axis=1))
    scores = judge.classify([pairs[int(i)][1].text for i in rows]) if len(rows) else []
    if len(scores) != len(rows):
        raise DataError(f"{judge.name} gave {len(scores)} scores for {len(rows)} texts")
    for i, given in zip(rows, scores, strict=True):
        judged[i, place[_mapped(of_judge, given.label)]] = 1.0
        for label, probability in given.probabilities.items():
            probabilities[i, place[_mapped(of_judge, label)]] += probability
    return Asked(common, weights, judged, probabilities)


def _every_asked(
    asked: Sequence[Emotion | None], judge: EmotionClassifier, tools: Tools
) -> tuple[Emotion, ...]:
    if tools.asked != "all":
        return ()
    if tools.asked_emotions:
        return tools.asked_emotions
    seen = tuple(dict.fromkeys(e for e in asked if e is not None))
    return seen or tuple(e for e in judge.taxonomy if e.label != judge.taxonomy.neutral)


def _tables(asked: str, judge: Taxonomy) -> tuple[tuple[str, ...], dict[str, str], dict[str, str]]:
    """Return the common labels, and for each side's labels the common one."""
    if asked == judge.name:
        # The judge may know fewer labels than its set has; what it lacks is never judged.
        labels = TAXONOMIES[asked].labels if asked in TAXONOMIES else judge.labels
        same = {label: label for label in labels}
        return labels, same, same
    known = TAXONOMIES.get(asked)
    if known is None:
        raise unknown_name("taxonomy of asked emotions", asked, TAXONOMIES)
    missing = (judge.name, asked) not in MAPS
    if (asked, judge.name) in MAPS and (missing or len(known.labels) > FINER * len(judge.labels)):
        return judge.labels, _table(known, judge), {label: label for label in judge.labels}
    return known.labels, {label: label for label in known.labels}, _table(judge, known)


def _table(source: Taxonomy, target: Taxonomy) -> dict[str, str]:
    return {emotion.label: source.map_to(emotion, target).label for emotion in source}


def _mapped(table: dict[str, str], label: str) -> str:
    if label not in table:
        raise unknown_name("emotion to compare", label, table)
    return table[label]
