"""Which judges touched the training of replies, and so may not score them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from emotone.errors import UsageError
from emotone.evaluation.manifest import beside, read_manifest
from emotone.metrics.base import Pair
from emotone.types import JudgeName, judge_names


def judges_beside(paths: Sequence[Path]) -> list[JudgeName]:
    """List the judges that the manifests beside replies files name.

    Raises:
        DataError: If a manifest cannot be read.
    """
    places = [place for path in paths for place in (beside(path), path.with_name("manifest.json"))]
    return [
        judge
        for place in places
        for judge in judge_names(read_manifest(place).get("judges"), str(place))
    ]


def check_judges(
    judges: Iterable[str], pairs: Iterable[Pair], *, trained: Iterable[JudgeName]
) -> None:
    """Refuse a judge that touched the training of the replies that it is to score.

    Args:
        judges: Names of the scoring judges.
        pairs: Replies, whose `applied` may list "judges" that touched training or calibration.
        trained: Judges that manifests beside the replies list.

    Raises:
        UsageError: If one is among them; `--same-judge` leaves this check out.
        DataError: If a reply lists its judges in another shape than `judge_names` reads.
    """
    touched = set(trained)
    for example, reply in pairs:
        touched |= {*judge_names(reply.applied.get("judges"), f"the reply to {example.id!r}")}
    for judge in map(JudgeName.parse, judges):
        if judge in touched:
            raise UsageError(
                f"judge {judge.plain!r} touched the training of these replies, so it would score"
                " what it taught; score with another one, or add --same-judge and say so"
            )
