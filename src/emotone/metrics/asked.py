"""Requested emotions beside judged ones, in one taxonomy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from emotone.emotions import Emotion, Taxonomy
from emotone.errors import DataError, unknown_name
from emotone.metrics.base import Measure, Pair, SumStats, replies_and_posts
from emotone.metrics.common import common_taxonomy
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import Make
from emotone.protocols import EmotionClassifier, Metric
from emotone.types import Reply


@dataclass(frozen=True)
class Asked:
    """Requested and judged emotions of replies.

    Args:
        labels: Labels of the taxonomy that both are compared in, L of them.
        weights: How much of each label was requested, [N, L]: one-hot; spread evenly over all
            requested emotions in a run without any (`RunFacts.asked` "all"); zeros for a reply
            that is left out.
        judged: The judged label, one-hot, [N, L]; zeros where left out.
        probabilities: Judged probability of each label, [N, L]; zeros where left out.
    """

    labels: tuple[str, ...]
    weights: np.ndarray
    judged: np.ndarray
    probabilities: np.ndarray


def asked_emotion(reply: Reply) -> Emotion | None:
    """Return the emotion of a mix of one emotion above 0, at any intensity, else None."""
    return None if reply.emotion is None else reply.emotion.only


def read_asked(pairs: Sequence[Pair], judge: EmotionClassifier, facts: RunFacts) -> Asked:
    """Judge the replies that count, and bring both sides into one taxonomy.

    With `RunFacts.asked` "all", plain replies are compared with every requested emotion only where
    no reply of the run has an emotion: beside replies with one, none was requested of them.
    Emotions that the judge has no label for (`unsaid`) are left out, as no reply could be right.

    Raises:
        DataError: If emotions of several taxonomies are requested.
        UnknownName: If there is no table between the taxonomies.
    """
    asked = [asked_emotion(reply) for _, reply in pairs]
    spread = facts.asked == "all" and all(reply.emotion is None for _, reply in pairs)
    every = (facts.emotions or _felt(judge.taxonomy)) if spread else ()
    common = facts.common
    if common is None or spread:
        common = common_taxonomy((e for e in (*asked, *every) if e is not None), judge.taxonomy)
    place = {label: i for i, label in enumerate(common.labels)}
    compared = [e for e in every if e.label not in common.unsaid]
    weights = np.zeros((len(pairs), len(common.labels)))
    for i, emotion in enumerate(asked):
        if emotion is not None and emotion.label not in common.unsaid:
            weights[i, place[_mapped(common.of_asked, emotion.label)]] = 1.0
        for one in compared:
            weights[i, place[_mapped(common.of_asked, one.label)]] += 1 / len(compared)
    judged = np.zeros_like(weights)
    probabilities = np.zeros_like(weights)
    rows = np.flatnonzero(weights.any(axis=1))
    scores = judge.classify(*replies_and_posts([pairs[int(i)] for i in rows])) if len(rows) else []
    if len(scores) != len(rows):
        raise DataError(f"{judge.name} gave {len(scores)} scores for {len(rows)} texts")
    for i, given in zip(rows, scores, strict=True):
        judged[i, place[_mapped(common.of_judge, given.label)]] = 1.0
        for label, probability in given.probabilities.items():
            probabilities[i, place[_mapped(common.of_judge, label)]] += probability
    return Asked(common.labels, weights, judged, probabilities)


def of_asked(name: str, finish: Callable[[Asked], SumStats], settings: str = "") -> Make:
    """Return what makes a metric of requested beside judged emotions.

    Args:
        name: Name of the metric.
        finish: What the metric keeps of them.
        settings: More of its signature, such as "|labels:asked".
    """

    def make(instruments: Instruments, facts: RunFacts) -> Metric:
        judge = need(instruments.emotion)
        without = f"|without:{'+'.join(facts.unsaid)}" if facts.unsaid else ""
        signature = f"name:{name}|judge:{judge.name}|asked:{facts.asked}{settings}{without}|v:1"
        return Measure(name, signature, lambda pairs: finish(read_asked(pairs, judge, facts)))

    return make


def _felt(taxonomy: Taxonomy) -> tuple[Emotion, ...]:
    return tuple(e for e in taxonomy if e.label != taxonomy.neutral)


def _mapped(table: dict[str, str], label: str) -> str:
    if label not in table:
        raise unknown_name("emotion to compare", label, table)
    return table[label]
