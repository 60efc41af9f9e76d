"""Every error that emotone raises on purpose, drawn first.

```
EmotoneError
├── UsageError          what was asked cannot be meant      exit code 2
│   ├── UnknownName     a name that is not in a known set
│   ├── MixError        an emotion mix that does not parse
│   ├── Unsupported     a system was asked for what it lacks
│   ├── ConfigError     a configuration key or value
│   └── DataError       a line or file of the wrong shape
└── RunError            the request was fine, the world was not   exit code 1
    ├── ModelMissing    weights are not here and cannot be fetched
    ├── CheckpointError weights are here and damaged
    └── SteeringError   steering attached but would not act as asked
```

A message says what came, what is allowed and what to do, in one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


class EmotoneError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class UsageError(EmotoneError):
    """What was asked cannot be meant."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not in a known set."""


class MixError(UsageError):
    """An emotion mix that does not parse."""


class Unsupported(UsageError):
    """A system was asked for what it lacks."""


class ConfigError(UsageError):
    """A configuration key or value that is not allowed."""


class DataError(UsageError):
    """A line or file of the wrong shape."""


class RunError(EmotoneError):
    """The request was fine, but it could not be carried out."""


class ModelMissing(RunError):
    """Weights are not here and cannot be fetched."""


class CheckpointError(RunError):
    """Weights are here, but damaged or altered."""


class SteeringError(RunError):
    """Steering was attached but would not act as asked."""


def number_of(count: int, one: str, several: str | None = None) -> str:
    """Count things as a sentence does: "1 reply", "2 replies", "3 messages of tools".

    Args:
        count: How many.
        one: What one of them is called.
        several: What several are called, where that is not `one` with an "s" at its noun.
    """
    if count == 1:
        return f"1 {one}"
    if several is None:
        noun, *rest = re.split(r" (?=(?:of|to|with|without|that|after)\b)", one, maxsplit=1)
        plural = f"{noun[:-1]}ies" if re.search(r"[^aeiou]y$", noun) else f"{noun}s"
        several = " ".join((plural, *rest))
    return f"{count} {several}"


def kind_of_value(value: object) -> str:
    """Name what a value of JSON is, for people: "nothing", "text", "a whole number", "a list"."""
    if value is None:
        return "nothing"
    for kind, name in _KINDS.items():
        if isinstance(value, kind):
            return name
    return f"a {type(value).__name__}"


#: In this order, for `True` is an int too.
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a point",
    str: "text",
    list: "a list",
    dict: "an object",
}


def unknown_name(
    kind: str,
    came: str,
    allowed: Iterable[str],
    *,
    also: Iterable[str] = (),
    advice: str = "",
) -> UnknownName:
    """Build the one-sentence error for a name outside a known set.

    Args:
        kind: What the name stands for, such as "emotion" or "model".
        came: The name as written.
        allowed: All valid names, in the order to show.
        also: Names that are valid too and may be guessed, but are not listed.
        advice: What to do beyond choosing from the list; may be empty.

    Returns:
        The error, ready to raise, with the nearest valid name where one is near.
    """
    names = list(allowed)
    valid = [name.lower() for name in (*names, *also)]
    near = get_close_matches(came.lower(), valid, n=1, cutoff=0.6)
    guess = f"; did you mean {near[0]!r}? Allowed:" if near else "; allowed:"
    listed = ", ".join(names) if names else "none"
    tail = f" {advice}" if advice else ""
    return UnknownName(f"unknown {kind} {came!r}{guess} {listed}.{tail}")
