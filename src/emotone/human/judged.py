"""How far automatic judges go with raters: on the replies that both rated.

The judges' labels come from files that `emotone judge` wrote; no judge is loaded here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotone.data.reading import whole_text
from emotone.emotions import TAXONOMIES, EmotionMix, Taxonomy
from emotone.errors import DataError, EmotoneError
from emotone.evaluation.records import read_replies_files
from emotone.human.draw import Unit
from emotone.metrics.agreement import cohen
from emotone.metrics.base import SumStats

Key = tuple[str, str]
#: Criteria of raters beside what a judge of each kind says, the first that a study has.
BESIDE = {"emotion": ("emotion",), "sense": ("content", "relevance")}


@dataclass(frozen=True, slots=True)
class Labels:
    """What one judge said.

    Args:
        kind: "emotion" or "sense".
        judge: Its name.
        rows: (name of the example, reply) -> its line.
    """

    kind: str
    judge: str
    rows: Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True)
class RankStats:
    """Spearman's correlation of pairs, ranked anew under every weighting.

    Args:
        first: Values, [N].
        second: Values, [N].
    """

    first: np.ndarray
    second: np.ndarray

    def __len__(self) -> int:
        """Return the number of pairs, N."""
        return len(self.first)

    def value(self, weights: Sequence[float] | None = None) -> float:
        """Return the correlation with each pair counted `weights[i]` times."""
        given = np.ones(len(self)) if weights is None else np.asarray(weights, np.float64)
        return float(self.at_once(given[None])[0])

    def at_once(self, weights: np.ndarray) -> np.ndarray:
        """Return the correlation for each row of weights [R, N], as [R]."""
        ranks = [_ranks(column, weights) for column in (self.first, self.second)]
        total = weights.sum(1, keepdims=True)
        x, y = (r - (weights * r).sum(1, keepdims=True) / total for r in ranks)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
            return np.where(spread > 0, (weights * x * y).sum(1) / spread, np.nan)


def _ranks(column: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ranks under weights [R, N], equal values at the middle of theirs, [R, N]."""
    kinds, places = np.unique(column, return_inverse=True)
    sizes = weights @ np.eye(len(kinds))[places]
    return (np.cumsum(sizes, 1) - (sizes - 1) / 2)[:, places]


def pearson(first: np.ndarray, second: np.ndarray) -> SumStats:
    """Pearson's correlation of pairs."""
    x, y = first - first.mean(), second - second.mean()
    rows = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)

    def correlation(sums: np.ndarray) -> np.ndarray:
        n, sx, sy, xx, yy, xy = np.moveaxis(sums, -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt((n * xx - sx**2) * (n * yy - sy**2))
            return np.where(spread > 1e-12, (n * xy - sx * sy) / spread, np.nan)

    return SumStats(rows, correlation)


def read_labels(text: str) -> Labels:
    """Read what a judge said of replies: `FILE`, or `FILE=replies.jsonl`.

    Lines of `emotone judge emotion` hold the reply. Those of `emotone judge sense` do not; the
    replies file that was judged says it, line by line.

    Raises:
        DataError: If a file cannot be read, is of neither kind, or does not fit its replies.
    """
    name, _, of = text.partition("=")
    lines = [line for line in whole_text(Path(name)).split("\n") if line.strip()]
    replies = [(e.id, r.text) for e, r in read_replies_files([Path(of)])] if of else None
    if replies is not None and len(replies) != len(lines):
        raise DataError(
            f"{name} has {len(lines)} lines and {of} {len(replies)} replies; give the replies that"
            " were judged"
        )
    rows: dict[Key, Mapping[str, Any]] = {}
    kind, judge = "", ""
    for number, line in enumerate(lines):
        where = f"{name}, line {number + 1}"
        try:
            row = json.loads(line)
            kind = "emotion" if "label" in row else "sense" if "content" in row else ""
            judge = str(row["judge"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{where}: no label; `emotone judge` writes one a line") from error
        if not kind:
            raise DataError(
                f"{where}: neither a label nor content; give labels of emotion or sense"
            )
        if replies is not None:
            key = replies[number]
            if str(row.get("id")) != key[0]:
                raise DataError(f"{where}: {row.get('id')!r} is judged where {of} has {key[0]!r}")
        elif isinstance(row.get("text"), str):
            key = (str(row.get("id")), row["text"])
        else:
            raise DataError(f"{where}: no reply; give the replies too, as {name}=replies.jsonl")
        rows[key] = row
    if not rows:
        raise DataError(f"{name} holds no label; `emotone judge` writes one a line")
    return Labels(kind, judge, rows)


def compared(
    labels: Labels, criterion: str, means: Mapping[int, float], units: Mapping[int, Unit]
) -> tuple[list[int], dict[str, Any]]:
    """Put a judge beside the raters.

    Args:
        labels: What the judge said.
        criterion: What the raters were asked.
        means: Item -> mean of its raters.
        units: Item -> what it is.

    Returns:
        The items that both rated, and measure -> its statistics over them: "pearson" and "spearman"
        of the judge's number (probability of the asked emotion, or expected content) with the
        raters' mean, and "kappa" (quadratic weights) of its label with the raters' mean, rounded.
    """
    say: Callable[[Mapping[str, Any], Unit], tuple[float, float] | None]
    say = _emotion if labels.kind == "emotion" else _sense
    said: dict[int, tuple[float, float]] = {}
    for item in means:
        row = labels.rows.get((units[item].source, units[item].reply))
        heard = None if row is None else say(row, units[item])
        if heard is not None:
            said[item] = heard
    items = list(said)
    if len(items) < 2:
        return items, {}
    people = np.array([means[i] for i in items])
    numbers, answers = np.array([said[i] for i in items]).T
    measures: dict[str, Any] = {
        "pearson": pearson(people, numbers),
        "spearman": RankStats(people, numbers),
    }
    if criterion in ("emotion", "content"):
        both = np.stack([np.floor(people + 0.5), np.floor(answers + 0.5)], axis=1)
        measures["kappa"] = cohen(both, (0, 1, 2) if criterion == "content" else (0, 1))
    return items, measures


def _emotion(row: Mapping[str, Any], unit: Unit) -> tuple[float, float] | None:
    """Probability of the asked emotion, and whether it is the label; None where it has none."""
    scores = row.get("scores") or {}
    asked = _in_set(unit, [*scores] or [row["label"]])
    if asked is None:
        return None
    hit = float(row["label"] == asked)
    return float(scores.get(asked, hit)), hit


def _sense(row: Mapping[str, Any], _: Unit) -> tuple[float, float]:
    return float(row["content"]), float(row["content"])


def _in_set(unit: Unit, labels: Sequence[str]) -> str | None:
    """The asked emotion in a judge's labels."""
    own = TAXONOMIES.get(unit.taxonomy)
    if own is None:
        return None
    emotion = EmotionMix.parse(unit.asked, own).only
    if emotion is None or emotion.label in labels:
        return None if emotion is None else emotion.label
    judges: Taxonomy | None = next(
        (t for t in TAXONOMIES.values() if set(t.labels) == set(labels)), None
    )
    try:
        return None if judges is None else own.map_to(emotion, judges).label
    except EmotoneError:
        return None
