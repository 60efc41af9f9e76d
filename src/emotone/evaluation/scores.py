"""The shape of `scores.json`: what one system with one model scored, read and written.

A file holds one run, which is one (system, model), whatever the number of its replies files. NaN,
the value of a metric that is not defined for these replies, is null in the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from emotone import config
from emotone.encoding import read_text
from emotone.errors import ConfigError, DataError, kind_of_value
from emotone.files import replacing

FORMAT = 1

#: Name of the part of the replies that were asked without an emotion.
NO_EMOTION = "none"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Number:
    """A value with its 95 % interval.

    Args:
        value: The value; None where it is not defined.
        low: Lower end; None where it is not known.
        high: Upper end.
        n: Number of replies that it rests on.
        signature: Everything it depends on besides the replies.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each asked emotion was judged as each label.

    Args:
        judge: Name of the judge.
        asked: Rows.
        judged: Columns.
        counts: Replies, [asked, judged].
    """

    judge: str
    asked: tuple[str, ...]
    judged: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        """Check the shape."""
        sizes = {len(row) for row in self.counts}
        if len(self.counts) != len(self.asked) or sizes - {len(self.judged)}:
            raise DataError('"counts" of "confusion" has another shape than its labels')
        for row in self.counts:
            _check_counts(row, '"confusion"')


@dataclass(frozen=True, slots=True)
class DosePoint:
    """What one intensity of one emotion gave.

    Args:
        intensity: As asked; 0 stands for replies without an emotion.
        share: Share of replies judged as the emotion.
        probability: Mean probability that the judge gives the emotion.
    """

    intensity: float
    share: Number
    probability: Number


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between edges; the last bin holds everything beyond.

    Args:
        unit: What is counted, such as "words".
        edges: Lower ends of the bins, rising, then the upper end of the last one.
        counts: Replies a bin, one fewer than edges.
    """

    unit: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the shape."""
        if len(self.edges) != len(self.counts) + 1:
            raise DataError('a histogram needs one more of "edges" than of "counts"')
        _check_counts(self.counts, "a histogram")


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two systems on the same posts and emotions.

    Args:
        value: This system's value on the shared replies.
        other: The other's.
        difference: value - other.
        low: Lower end of the difference's 95 % interval.
        high: Upper end.
        p: Two-sided p-value by approximate randomisation.
        n: Number of shared replies.
    """

    value: float | None
    other: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Against:
    """A comparison with another run.

    Args:
        system: The other system.
        model: Its model.
        differences: One a metric.
    """

    system: str
    model: str
    differences: Mapping[str, Difference]


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything in one `scores.json`.

    Args:
        system: Name of the system.
        model: Name of its weights.
        n: Number of replies.
        metrics: The numbers over all replies.
        per_emotion: The same over the replies asked for each emotion; "none" without one.
        per_part: The same over named parts of the examples, such as "emotional" and "neutral".
        at_full: The same over the replies asked for one emotion at intensity 100, as published
            systems without intensities are; empty where there are none.
        confusion: Asked against judged; None without a judge of emotion.
        dose: Emotion -> points of rising intensity.
        distributions: Length and repetition.
        against: Comparisons with other runs.
        manifest: How and from what the numbers were made.
        format: Version of this shape.
    """

    system: str
    model: str
    n: int
    metrics: Mapping[str, Number]
    per_emotion: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    per_part: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    confusion: Confusion | None = None
    dose: Mapping[str, tuple[DosePoint, ...]] = field(default_factory=dict)
    distributions: Mapping[str, Histogram] = field(default_factory=dict)
    against: tuple[Against, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    at_full: Mapping[str, Number] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def title(self) -> str:
        """System and model, as one name."""
        return f"{self.system} ({self.model})" if self.model else self.system


def scores_json(scores: Scores) -> str:
    """Write scores as JSON text; NaN becomes null."""
    plain = _plain(asdict(scores))
    return json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_scores(scores: Scores, path: Path) -> None:
    """Write `scores.json`, whole or not at all.

    Raises:
        DataError: If the file cannot be written.
    """
    write_text(path, scores_json(scores))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        DataError: If the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_scores(path: Path) -> Scores:
    """Read and check `scores.json`.

    Raises:
        DataError: If it is not there, or not of this shape; the message names file and key.
    """
    try:
        row = json.loads(read_text(path, "scores file"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"cannot read {path} as scores ({error}); make it with `emotone score`"
        ) from error
    try:
        return _scores(row)
    except (
        ConfigError, DataError, KeyError, TypeError, AttributeError, ValueError, OverflowError
    ) as error:  # fmt: skip
        reason = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path} is no scores file ({reason}); make it again with `emotone score`"
        ) from error


def _scores(row: Any) -> Scores:
    if not isinstance(row, dict):
        raise DataError(f"{kind_of_value(row)} where a JSON object is needed")
    if row.get("format") != FORMAT:
        raise DataError(f'"format" is {row.get("format")!r}; this emotone reads {FORMAT}')
    for key, kind in (("system", str), ("model", str), ("n", int)):
        if type(row[key]) is not kind:
            raise DataError(f'"{key}" is {row[key]!r}; it must be a {kind.__name__}')
    confusion = row.get("confusion")
    return Scores(
        row["system"],
        row["model"],
        row["n"],
        _numbers(row["metrics"], "metrics"),
        _groups(row, "per_emotion"),
        _groups(row, "per_part"),
        None
        if confusion is None
        else Confusion(
            confusion["judge"],
            tuple(map(str, confusion["asked"])),
            tuple(map(str, confusion["judged"])),
            tuple(_checked(counts, int, "counts") for counts in confusion["counts"]),
        ),
        {
            label: tuple(
                DosePoint(
                    _checked([p["intensity"]], float, "intensity")[0],
                    config.build(Number, p["share"], f"dose: {label}"),
                    config.build(Number, p["probability"], f"dose: {label}"),
                )
                for p in points
            )
            for label, points in _object(row.get("dose", {}), "dose").items()
        },
        {
            name: Histogram(
                str(h["unit"]),
                _checked(h["edges"], float, "edges"),
                _checked(h["counts"], int, "counts"),
            )
            for name, h in _object(row.get("distributions", {}), "distributions").items()
        },
        tuple(
            Against(
                a["system"],
                a["model"],
                {
                    name: config.build(Difference, d, f"against: {name}")
                    for name, d in _object(a["differences"], "differences").items()
                },
            )
            for a in row.get("against", [])
        ),
        _object(row.get("manifest", {}), "manifest"),
        _numbers(row.get("at_full", {}), "at_full"),
    )


def _object(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f'"{key}" is {value!r}; it must be an object')
    return value


def _numbers(part: Any, key: str) -> dict[str, Number]:
    return {
        name: config.build(Number, number, f"{key}: {name}")
        for name, number in _object(part, key).items()
    }


def _groups(row: Mapping[str, Any], key: str) -> dict[str, dict[str, Number]]:
    return {
        name: _numbers(part, f"{key}: {name}")
        for name, part in _object(row.get(key, {}), key).items()
    }


def _check_counts(counts: Sequence[int], owner: str) -> None:
    if counts and min(counts) < 0:
        raise DataError(f'"counts" of {owner} holds {min(counts)}; a count is 0 or more')


def _checked(values: Iterable[Any], kind: type[T], key: str) -> tuple[T, ...]:
    kinds = (int, float) if kind is float else (int,)
    checked = tuple(values)
    for value in checked:
        if type(value) not in kinds or not math.isfinite(value):
            raise DataError(f'"{key}" holds {value!r}; it takes numbers')
    return tuple(kind(value) for value in checked)  # pyright: ignore[reportCallIssue]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
