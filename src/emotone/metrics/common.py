"""One taxonomy for requested and judged emotions, and what a judge has no label for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from emotone.emotions import MAPS, TAXONOMIES, Emotion, Taxonomy
from emotone.errors import DataError, unknown_name

#: A requested set with more than this many times the judge's labels is compared in the judge's.
FINER = 2


@dataclass(frozen=True)
class Common:
    """Requested and judged labels in one taxonomy.

    Args:
        labels: The common labels.
        of_asked: Requested label -> common label.
        of_judge: Judged label -> common label.
        unsaid: Requested labels that the judge has no label for, so that no reply could be right.
    """

    labels: tuple[str, ...]
    of_asked: dict[str, str]
    of_judge: dict[str, str]
    unsaid: frozenset[str]


def common_taxonomy(emotions: Iterable[Emotion], judge: Taxonomy) -> Common:
    """Bring requested emotions and a judge's labels into one taxonomy; see `one_taxonomy`.

    Raises:
        DataError: If the emotions are of several taxonomies.
        UnknownName: If no table joins the two label sets.
    """
    names = sorted({emotion.taxonomy for emotion in emotions})
    if len(names) > 1:
        raise DataError(
            f"emotions of {' and '.join(names)} are asked in one run; score one taxonomy at a time"
        )
    return one_taxonomy(names[0] if names else judge.name, judge)


def unsaid(emotions: Iterable[Emotion], judge: Taxonomy) -> tuple[str, ...]:
    """List the labels of requested emotions that a judge has no label for, in the order given.

    Raises:
        UnknownName: If there is no table between the taxonomies.
    """
    labels = [e.label for e in emotions if e.label in one_taxonomy(e.taxonomy, judge).unsaid]
    return tuple(dict.fromkeys(labels))


def one_taxonomy(asked: str, judge: Taxonomy) -> Common:
    """Bring requested and judged labels into one taxonomy.

    The judged label goes to the requested taxonomy, so that no two requested emotions become one.
    Where there is no table for that, or the requested set is more than twice as large as the
    judge's, the requested emotion goes to the judge's set.

    Args:
        asked: Name of the taxonomy of the requested emotions.
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
        # An emotion that the judge's set has no word for goes to neutral: judged neutral is no hit.
        lost = {
            label
            for label, common in table.items()
            if common not in judge.labels or (common == judge.neutral and label != known.neutral)
        }
        same = {label: label for label in judge.labels}
        return Common(judge.labels, table, same, frozenset(lost))
    table = _table(judge, known)
    same = {label: label for label in known.labels}
    return Common(known.labels, same, table, frozenset(same) - frozenset(table.values()))


def _table(source: Taxonomy, target: Taxonomy) -> dict[str, str]:
    return {emotion.label: source.map_to(emotion, target).label for emotion in source}
