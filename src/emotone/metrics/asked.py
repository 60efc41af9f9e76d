"""Asked emotions beside judged ones, in one taxonomy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
            emotions in a run without any (`Tools.asked` "all"); zeros for one that is left out.
        judged: The judged label, one-hot, [N, L]; zeros where left out.
        probabilities: Judged probability of each label, [N, L]; zeros where left out.
    """

    labels: tuple[str, ...]
    weights: np.ndarray
    judged: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Common:
    """Asked and judged labels in one taxonomy.

    Args:
        labels: The common labels.
        of_asked: Asked label -> common label.
        of_judge: Judged label -> common label.
        unsaid: Asked labels that the judge has no label for, so that no reply could be right.
    """

    labels: tuple[str, ...]
    of_asked: dict[str, str]
    of_judge: dict[str, str]
    unsaid: frozenset[str]


def asked_emotion(reply: Reply) -> Emotion | None:
    """Return the emotion of a mix of one emotion above 0, at any intensity, else None."""
    return None if reply.emotion is None else reply.emotion.only


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

    With `Tools.asked` "all", plain replies are compared with every asked emotion only where no
    reply of the run has an emotion: beside replies in a mood they were asked for none. Emotions
    that the judge cannot say (`unsaid`) are left out, as no reply could be right.

    Raises:
        DataError: If emotions of several taxonomies are asked.
        UnknownName: If there is no table between the taxonomies.
    """
    asked = [asked_emotion(reply) for _, reply in pairs]
    spread = tools.asked == "all" and all(reply.emotion is None for _, reply in pairs)
    every = _every_asked(judge, tools) if spread else ()
    names = sorted({e.taxonomy for e in (*asked, *every) if e is not None})
    if len(names) > 1:
        raise DataError(
            f"emotions of {' and '.join(names)} are asked in one run; score one taxonomy at a time"
        )
    common = one_taxonomy(names[0] if names else judge.taxonomy.name, judge.taxonomy)
    place = {label: i for i, label in enumerate(common.labels)}
    said = [e for e in every if e.label not in common.unsaid]
    weights = np.zeros((len(pairs), len(common.labels)))
    for i, emotion in enumerate(asked):
        if emotion is not None and emotion.label not in common.unsaid:
            weights[i, place[_mapped(common.of_asked, emotion.label)]] = 1.0
        for one in said:
            weights[i, place[_mapped(common.of_asked, one.label)]] += 1 / len(said)
    judged = np.zeros_like(weights)
    probabilities = np.zeros_like(weights)
    rows = np.flatnonzero(weights.any(axis=1))
    scores = judge.classify([pairs[int(i)][1].text for i in rows]) if len(rows) else []
    if len(scores) != len(rows):
        raise DataError(f"{judge.name} gave {len(scores)} scores for {len(rows)} texts")
    for i, given in zip(rows, scores, strict=True):
        judged[i, place[_mapped(common.of_judge, given.label)]] = 1.0
        for label, probability in given.probabilities.items():
            probabilities[i, place[_mapped(common.of_judge, label)]] += probability
    return Asked(common.labels, weights, judged, probabilities)


def unsaid(emotions: Iterable[Emotion], judge: Taxonomy) -> tuple[str, ...]:
    """List the labels of asked emotions that a judge cannot say, in the order given.

    Raises:
        UnknownName: If there is no table between the taxonomies.
    """
    found = [e.label for e in emotions if e.label in one_taxonomy(e.taxonomy, judge).unsaid]
    return tuple(dict.fromkeys(found))


def without(tools: Tools) -> str:
    """Write the asked emotions that the judge cannot say, for signatures; "" for none."""
    return f"|without:{'+'.join(tools.unsaid)}" if tools.unsaid else ""


def _every_asked(judge: EmotionClassifier, tools: Tools) -> tuple[Emotion, ...]:
    if tools.asked_emotions:
        return tools.asked_emotions
    return tuple(e for e in judge.taxonomy if e.label != judge.taxonomy.neutral)


def one_taxonomy(asked: str, judge: Taxonomy) -> Common:
    """Bring asked and judged labels into one taxonomy.

    The judged label goes to the asked taxonomy, so that no two asked emotions become one. Where
    there is no table for that, or the asked set is more than twice as large as the judge's, the
    asked emotion goes to the judge's set.

    Args:
        asked: Name of the taxonomy of the asked emotions.
        judge: Taxonomy of the judge.

    Raises:
        UnknownName: If no table joins the two label sets.
    """
    if asked == judge.name:
        # The judge may know fewer labels than its set has; what it lacks is never judged.
        labels = TAXONOMIES[asked].labels if asked in TAXONOMIES else judge.labels
        same = {label: label for label in labels}
        return Common(labels, same, same, frozenset(labels) - frozenset(judge.labels))
    known = TAXONOMIES.get(asked)
    if known is None:
        raise unknown_name("taxonomy of asked emotions", asked, TAXONOMIES)
    missing = (judge.name, asked) not in MAPS
    if (asked, judge.name) in MAPS and (missing or len(known.labels) > FINER * len(judge.labels)):
        table = _table(known, judge)
        # An emotion that the judge's set has no word for goes to neutral: hearing none is no hit.
        lost = {
            label
            for label, found in table.items()
            if found not in judge.labels or (found == judge.neutral and label != known.neutral)
        }
        same = {label: label for label in judge.labels}
        return Common(judge.labels, table, same, frozenset(lost))
    table = _table(judge, known)
    same = {label: label for label in known.labels}
    return Common(known.labels, same, table, frozenset(same) - frozenset(table.values()))


def _table(source: Taxonomy, target: Taxonomy) -> dict[str, str]:
    return {emotion.label: source.map_to(emotion, target).label for emotion in source}


def _mapped(table: dict[str, str], label: str) -> str:
    if label not in table:
        raise unknown_name("emotion to compare", label, table)
    return table[label]
