"""What a report is made of: scores files of run folders, and the replies that they rest on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotone.emotions import TAXONOMIES
from emotone.encoding import decode
from emotone.errors import DataError
from emotone.evaluation.records import read_replies
from emotone.evaluation.scores import Scores, read_scores
from emotone.types import Example, Reply

_PATTERNS = ("scores*.json", "perplexity*.json")


@dataclass(frozen=True, slots=True)
class Run:
    """One system with one model, as the report shows it.

    Args:
        title: A name that no other run of the report has.
        scores: Its numbers.
        replies: Its replies, where the files are still there unchanged.
        notes: What a reader has to know, such as that a file is gone.
    """

    title: str
    scores: Scores
    replies: tuple[tuple[Example, Reply], ...] = ()
    notes: tuple[str, ...] = ()


def gather(places: Sequence[Path]) -> list[Run]:
    """Read the runs of folders, in order.

    A folder holds `scores*.json` (and `perplexity*.json`), or folders that do. Scores of one
    system and model whose metrics differ, such as those of `emotone score` and `emotone
    perplexity`, become one run.

    Raises:
        DataError: If a place holds no scores, or a file is damaged.
    """
    scored: list[tuple[Path, Scores]] = []
    for place in places:
        paths = _files(place)
        if not paths:
            raise DataError(
                f"{place} holds no scores.json; make one with `emotone score --output"
                f" {place}/scores.json`"
            )
        scored += [(path, read_scores(path)) for path in paths]
    return _titled(_merged(scored))


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    for prefix in ("", "*/"):
        here = sorted(p for pattern in _PATTERNS for p in place.glob(prefix + pattern))
        if here:
            return here
    return []


def _merged(scored: Sequence[tuple[Path, Scores]]) -> list[tuple[list[Path], Scores]]:
    merged: list[tuple[list[Path], Scores]] = []
    for path, scores in scored:
        for i, (paths, other) in enumerate(merged):
            same = (scores.system, scores.model) == (other.system, other.model)
            if same and not set(scores.metrics) & set(other.metrics):
                merged[i] = ([*paths, path], _joined(other, scores))
                break
        else:
            merged.append(([path], scores))
    return merged


def _joined(first: Scores, second: Scores) -> Scores:
    def groups(name: str) -> dict[str, Any]:
        a, b = getattr(first, name), getattr(second, name)
        return {
            key: {**a.get(key, {}), **b.get(key, {})} for key in [*a, *(k for k in b if k not in a)]
        }

    main, other = (first, second) if first.distributions else (second, first)
    return dataclasses.replace(
        main,
        metrics={**first.metrics, **second.metrics},
        at_full={**first.at_full, **second.at_full},
        per_emotion=groups("per_emotion"),
        per_part=groups("per_part"),
        manifest={**main.manifest, "also": dict(other.manifest)},
    )


def _titled(found: Sequence[tuple[list[Path], Scores]]) -> list[Run]:
    times = Counter(scores.title for _, scores in found)
    runs: list[Run] = []
    taken: set[str] = set()
    for paths, scores in found:
        title = scores.title
        if times[title] > 1:
            title = f"{title}, {paths[0].resolve().parent.name}"
        while title in taken:
            title += "'"
        taken.add(title)
        replies, notes = _replies(paths, scores)
        runs.append(Run(title, scores, tuple(replies), tuple(notes)))
    return runs


def _replies(
    paths: Sequence[Path], scores: Scores
) -> tuple[list[tuple[Example, Reply]], list[str]]:
    """Read the replies that the scores name, if they are beside them and unchanged."""
    replies: list[tuple[Example, Reply]] = []
    notes: list[str] = []
    for facts in scores.manifest.get("inputs", ()):
        name = facts.get("name") if isinstance(facts, dict) else None
        if not isinstance(name, str) or Path(name).name != name:
            continue
        file = next((p.parent / name for p in paths if (p.parent / name).is_file()), None)
        if file is None:
            notes.append(f"{name} is not beside the scores, so its replies are not shown.")
            continue
        blob = file.read_bytes()
        if hashlib.sha256(blob).hexdigest() != facts.get("sha256"):
            notes.append(f"{name} has changed since it was scored, so its replies are not shown.")
            continue
        lines = decode(blob).split("\n")
        labels = TAXONOMIES.get(str(scores.manifest.get("settings", {}).get("taxonomy")))
        replies += [
            (e, r)
            for e, r in read_replies(lines, name, labels)
            if (r.system, r.model) == (scores.system, scores.model)
        ]
    return replies, notes
