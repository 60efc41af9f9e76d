"""Code of a user's own, by the dotted name of its module."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from emotone.errors import unknown_name


def outside_module(
    kind: str, name: str, known: Sequence[str], *, needs: Sequence[str] = ()
) -> ModuleType:
    """Import a module by a dotted name such as `mylab.mine`, also from the current folder.

    The folder is searched after all others, so that no file in it hides a library.

    Args:
        kind: What the module is to offer, such as "system".
        name: The name, dotted or not.
        known: The names that need no dot, for the message.
        needs: What the module must define.

    Raises:
        UnknownName: If the name has no dot, or the module is not there or lacks something.
    """
    parts = name.split(".")
    if len(parts) == 1 or not all(part.isidentifier() for part in parts):
        raise unknown_name(kind, name, known, advice="A dotted name loads a module of your own.")
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    try:
        module = import_module(name)
    except ImportError as error:
        advice = f"Importing it failed: {error}."
        raise unknown_name(kind, name, known, advice=advice) from error
    lacks = [part for part in needs if not hasattr(module, part)]
    if lacks:
        advice = f"It is a module, but it offers no {' and no '.join(lacks)}."
        raise unknown_name(kind, name, known, advice=advice)
    return module
