"""How metrics are called in a report, and in which order they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotone import config, metrics
from emotone.errors import ConfigError
from emotone.metrics.spec import Display, undeclared
from emotone.report.gather import Run


@dataclass(frozen=True, slots=True)
class Names:
    """How each metric of some runs is shown; build it with `names_of`.

    Args:
        declared: Name in `scores.json` -> how its declaration shows it, in the order of reports.
    """

    declared: Mapping[str, Display]

    def __getitem__(self, name: str) -> Display:
        """Return how a metric is shown; one that declares nothing, by its own name."""
        return self.declared.get(name) or undeclared(name)

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Sort metrics as they are declared, others after them by name."""
        rank = {name: i for i, name in enumerate(self.declared)}
        return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))


def names_of(runs: Sequence[Run]) -> Names:
    """Read how metrics are shown: those of this package, and those that the runs declare."""
    outside = [one for run in runs for one in _outside(run.scores.manifest.get("metrics"))]
    return Names({**metrics.displays(), **{one.name: one for one in outside}})


def _outside(rows: Any) -> list[Display]:
    """Read what a manifest says of metrics from outside; what cannot be read is left out."""
    displays: list[Display] = []
    for row in rows.values() if isinstance(rows, dict) else ():
        try:
            displays.append(config.build(Display, row, "metrics"))
        except (ConfigError, AttributeError):
            continue
    return displays


def shown(value: float | None, digits: int) -> str:
    """Write a number with a fixed number of digits; "-" for one that is not defined."""
    if value is None or value != value:
        return "-"
    if abs(value) >= 1e16:  # three hundred digits would say no more
        return f"{value:.3g}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text  # no minus before a mere 0
