"""What a metric declares, once: its name, what it needs, how it is made, shown and explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, get_args

from emotone.errors import unknown_name
from emotone.metrics.instruments import Instruments, Need, RunFacts
from emotone.protocols import Metric

#: Headings of the metrics, in the order of reports and of the docs; others come after them.
GROUPS = ("Emotion", "Sense", "Empathy", "Fluency", "Diversity", "Overlap", "Form")
EMOTION, SENSE, EMPATHY, FLUENCY, DIVERSITY, OVERLAP, FORM = GROUPS

Make = Callable[[Instruments, RunFacts], Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """How a report shows a metric.

    Args:
        name: Name in `scores.json`, such as "distinct_2".
        title: Name for people.
        group: Heading that it stands under; one of `GROUPS`, or one of your own.
        better: Which way is better; "" where neither is.
        digits: Digits after the point.
        share: Whether it lies in [0, 1], so that a bar has a natural end.
    """

    name: str
    title: str
    group: str = "Other"
    better: Literal["up", "down", ""] = "up"
    digits: int = 3
    share: bool = False


def undeclared(name: str) -> Display:
    """Return how a metric is shown that declares nothing."""
    return Display(name=name, title=name.replace("_", " "), better="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Display):
    """One metric, declared in its file; report, docs and contract tests read it.

    Args:
        make: Makes the metric for a run from instruments and facts; see `Instruments`, `RunFacts`.
        needs: The instruments and facts that it cannot do without.
        measures: What the value is, for the table of the docs; metrics with equal words share a
            row.
        range: Where values lie, such as "0 to 100"; "" for a share is "0 to 1".
        source: Where the definition comes from.
        misleads: When a reader may draw a wrong conclusion.
        of_replies: How it is called and shown where it is measured of replies, if its own name is
            for references.
    """

    make: Make
    needs: tuple[Need, ...] = ()
    measures: str = ""
    range: str = ""
    source: str = "own"
    misleads: str = ""
    of_replies: Display | None = None

    def __post_init__(self) -> None:
        """Check what it needs."""
        for need in self.needs:
            if need not in get_args(Need):
                raise unknown_name(f"need of metric {self.name}", need, get_args(Need))

    def display(self) -> Display:
        """Return what a report needs of it."""
        return Display(**{f.name: getattr(self, f.name) for f in fields(Display)})
