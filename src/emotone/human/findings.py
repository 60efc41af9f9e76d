"""What a study found, as plain values: what `study.json` holds and reports show."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emotone import config
from emotone.data.reading import whole_text
from emotone.errors import ConfigError, DataError
from emotone.evaluation.scores import Number
from emotone.files import write_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Question:
    """A criterion as the report shows it; "both" is the asked emotion with the best content."""

    name: str
    title: str
    low: float
    high: float
    share: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean of one system; of pairs the share that prefers the first, neither counting half.

    Args:
        question: Name of the criterion.
        system: The system; of pairs the first.
        other: The second system of pairs; "" elsewhere.
        emotion: The emotion asked; "" for all.
        number: The mean, its interval over posts and raters, and the number of ratings.
    """

    question: str
    system: str
    other: str
    emotion: str
    number: Number


@dataclass(frozen=True, slots=True)
class Test:
    """Whether two systems differ.

    Args:
        question: Name of the criterion.
        system: One.
        other: The other.
        difference: Mean of the first less mean of the second, its interval over posts and raters,
            and the number of (post, emotion) that both were rated on.
        p: By random swaps of posts; None where it could not be made.
        holm: The same, corrected for all tests of the study.
    """

    question: str
    system: str
    other: str
    difference: Number
    p: float | None
    holm: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters agree on a criterion; `measure` is "fleiss", "cohen" or "alpha"."""

    question: str
    measure: str
    number: Number


@dataclass(frozen=True, slots=True)
class Bias:
    """How far a rater's values lie above those of the others on the same items, in the mean.

    Of pairs how far the share of preferences for the reply that stood first lies above a half.
    """

    question: str
    value: float | None


@dataclass(frozen=True, slots=True)
class RaterRow:
    """One rater.

    Args:
        name: Name.
        rated: Items rated, checks left aside.
        skipped: Items skipped.
        seconds: Median of an item; None where nobody measured.
        checks: Checks answered.
        failed: Of these, answered otherwise than they said.
        bias: One a criterion.
        flags: What is odd.
        excluded: Whether the figures leave the rater out.
    """

    name: str
    rated: int
    skipped: int
    seconds: float | None
    checks: int
    failed: int
    bias: tuple[Bias, ...]
    flags: tuple[str, ...]
    excluded: bool


@dataclass(frozen=True, slots=True)
class Correlation:
    """How far a judge goes with the raters; `measure` as in `emotone.human.judged.compared`."""

    question: str
    judge: str
    measure: str
    number: Number


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it.

    Args:
        title: Heading of the study's page.
        kind: "rating" or "pair".
        lang: Language of the items.
        seed: Of the study's draws.
        items_sha256: Digest of the items.
        created: When the study was made, in UTC.
        items: Items without checks.
        ratings: Ratings that the figures rest on.
        systems: Names, that of the lines by hand last.
        emotions: Emotions asked, in order.
        questions: The criteria.
        cells: Means.
        tests: Between systems.
        agreement: Of raters.
        raters: One a rater.
        judges: Correlations.
        notes: What a reader has to know.
        format: Of the file.
    """

    title: str
    kind: str
    lang: str
    seed: int
    items_sha256: str
    created: str
    items: int
    ratings: int
    systems: tuple[str, ...]
    emotions: tuple[str, ...]
    questions: tuple[Question, ...]
    cells: tuple[Cell, ...]
    tests: tuple[Test, ...]
    agreement: tuple[Agreement, ...]
    raters: tuple[RaterRow, ...]
    judges: tuple[Correlation, ...]
    notes: tuple[str, ...]
    format: int = FORMAT


def number(value: float, low: float, high: float, n: int) -> Number:
    """Make a number for a file, where NaN is nothing."""
    return Number(known(value), known(low), known(high), n)


def write_findings(found: Findings, path: Path) -> None:
    """Write `study.json`.

    Raises:
        DataError: If the place cannot be written.
    """
    write_json(path, asdict(found))


def read_findings(path: Path) -> Findings:
    """Read `study.json`.

    Raises:
        DataError: If it is not there, or not of this shape.
    """
    try:
        row: Any = json.loads(whole_text(path))
        if not isinstance(row, dict) or row.get("format") != FORMAT:
            raise ConfigError(f"the format is not {FORMAT}")
        return config.build(Findings, row, str(path))
    except (ValueError, RecursionError, ConfigError) as error:
        raise DataError(
            f"{path} is no result of a study ({error}); `emotone study report` writes one"
        ) from error


def known(value: float) -> float | None:
    """Return a value for a file, where NaN is nothing."""
    return None if math.isnan(value) else float(value)
