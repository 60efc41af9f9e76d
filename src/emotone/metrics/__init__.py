"""Numbers over a corpus of replies; judges come in as arguments.

A file of this folder that offers `METRICS`, a tuple of `Spec`, is a family of metrics: name, needs,
title and docs are declared there and nowhere else, and nothing is registered.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from importlib import import_module
from typing import Any

from emotone.errors import Unsupported, unknown_name
from emotone.metrics.instruments import NEEDS, Instruments, RunFacts, lacking
from emotone.metrics.spec import GROUPS, Display, Spec, undeclared
from emotone.outside import outside_module
from emotone.protocols import Metric

__all__ = [
    "Display",
    "Instruments",
    "RunFacts",
    "Spec",
    "build",
    "displays",
    "names",
    "spec",
    "specs",
]


@cache
def specs() -> Mapping[str, Spec]:
    """Return the metrics of the files of this folder by name, in the order of reports.

    That is by group, then by file, then as the file has them.
    """
    files = sorted(m.name for m in pkgutil.iter_modules(__path__))
    declared = [
        one for file in files for one in getattr(import_module(f"{__name__}.{file}"), "METRICS", ())
    ]
    groups = [*GROUPS, *(one.group for one in declared)]
    return {one.name: one for one in sorted(declared, key=lambda one: groups.index(one.group))}


def names() -> list[str]:
    """List the metrics of the files of this folder."""
    return sorted(specs())


def displays() -> Mapping[str, Display]:
    """Return how each name in `scores.json` is shown, in the order of reports."""
    both = [d for one in specs().values() for d in (one.display(), one.of_replies)]
    return {display.name: display for display in both if display is not None}


def spec(name: str) -> Spec:
    """Find a metric by name, or by dotted name for code from outside.

    `mylab.politeness` imports that module and takes `politeness` from its `METRICS`: a tuple of
    `Spec`, or a mapping of names to functions from `Instruments` to a metric.

    Raises:
        UnknownName: If there is no such metric.
    """
    plain = name.replace("-", "_")
    if plain in specs():
        return specs()[plain]
    outside = outside_module("metric", name, names())
    last = name.rpartition(".")[2]
    declared = _from_outside(getattr(outside, "METRICS", ()))
    if last not in declared:
        advice = f"It is a module, but its METRICS hold no {last!r}."
        raise unknown_name("metric", name, names(), advice=advice)
    return declared[last]


def _from_outside(declared: Any) -> dict[str, Spec]:
    if not isinstance(declared, Mapping):
        return {one.name: one for one in declared}

    def plain(name: str, make: Callable[[Instruments], Metric]) -> Spec:
        return Spec(**asdict(undeclared(name)), make=lambda instruments, _: make(instruments))

    return {name: plain(name, make) for name, make in declared.items()}


def build(
    name: str, instruments: Instruments | None = None, facts: RunFacts | None = None
) -> Metric:
    """Make a metric for a run; the name is that of `spec`.

    Raises:
        UnknownName: If there is no such metric.
        Unsupported: If the metric needs what is not given; the message says which.
    """
    declared = spec(name)
    instruments, facts = instruments or Instruments(), facts or RunFacts()
    for missing in lacking(declared.needs, instruments, facts):
        raise Unsupported(
            f"{declared.name} needs {NEEDS[missing]}, but none was given; give one or leave it out"
        )
    return declared.make(instruments, facts)
