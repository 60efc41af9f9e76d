"""Numbers over a corpus of replies; judges come in as arguments.

A file of this folder that offers `METRICS` (name -> a function from `Tools` to a `Metric`) is a
family of metrics; nothing is registered.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module

from emotone.errors import unknown_name
from emotone.metrics.tools import Tools
from emotone.protocols import Metric

__all__ = ["Tools", "build", "names"]

Builders = Mapping[str, Callable[[Tools], Metric]]


@cache
def _builders() -> Builders:
    found: dict[str, Callable[[Tools], Metric]] = {}
    for file in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        found.update(getattr(import_module(f"{__name__}.{file}"), "METRICS", {}))
    return found


def names() -> list[str]:
    """List the metrics of the files of this folder."""
    return sorted(_builders())


def build(name: str, tools: Tools) -> Metric:
    """Make a metric by name, or by dotted name for code from outside.

    `mylab.politeness` imports that module and takes `politeness` from its `METRICS`.

    Raises:
        UnknownName: If there is no such metric.
        Unsupported: If the metric needs a tool that is not given; the message says which.
    """
    plain = name.replace("-", "_")
    if plain in _builders():
        return _builders()[plain](tools)
    if "." not in name or name.startswith("."):
        raise unknown_name("metric", name, names(), advice="A dotted name loads your own module.")
    try:
        outside = import_module(name)
    except ImportError as error:
        raise unknown_name("metric", name, names(), advice=f"Importing it failed: {error}.") from (
            error
        )
    last = name.rpartition(".")[2]
    made: Builders = getattr(outside, "METRICS", {})
    if last not in made:
        advice = f"It is a module, but its METRICS hold no {last!r}."
        raise unknown_name("metric", name, names(), advice=advice)
    return made[last](tools)
