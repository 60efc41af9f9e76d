"""The error tree: exit codes, and the sentence for a name outside a known set."""

from __future__ import annotations

import inspect

import pytest

from emotone import errors
from emotone.errors import EmotoneError, RunError, UnknownName, UsageError, unknown_name

USAGE = {"UnknownName", "MixError", "Unsupported", "ConfigError", "DataError"}
RUN = {"ModelMissing", "CheckpointError", "SteeringError"}


def test_every_error_stands_on_its_branch_and_has_its_exit_code():
    classes = inspect.getmembers(errors, inspect.isclass)
    every = {name: e for name, e in classes if e.__module__ == errors.__name__}
    assert {n for n, e in every.items() if issubclass(e, UsageError)} == USAGE | {"UsageError"}
    assert {n for n, e in every.items() if issubclass(e, RunError)} == RUN | {"RunError"}
    assert set(every) == USAGE | RUN | {"EmotoneError", "UsageError", "RunError"}
    assert all(issubclass(e, EmotoneError) for e in every.values())
    assert {every[n].exit_code for n in USAGE} == {2}
    assert {every[n].exit_code for n in RUN} == {1}


def test_the_drawn_tree_names_every_error():
    for name in USAGE | RUN:
        assert f"├── {name} " in str(errors.__doc__) or f"└── {name} " in str(errors.__doc__)


def test_an_unknown_name_says_what_came_what_is_near_and_what_is_allowed():
    error = unknown_name("system", "eco", ["echo", "prompted"], advice="Look here.")
    assert isinstance(error, UnknownName)
    assert str(error) == (
        "unknown system 'eco'; did you mean 'echo'? Allowed: echo, prompted. Look here."
    )


def test_nothing_far_is_offered():
    assert str(unknown_name("system", "xyz", ["echo"])) == "unknown system 'xyz'; allowed: echo."


def test_an_empty_set_is_said_to_be_empty():
    assert str(unknown_name("vector file", "x", [])) == "unknown vector file 'x'; allowed: none."


@pytest.mark.parametrize("came", ["ECHO", "Echo", "ecHo"])
def test_case_does_not_hide_the_nearest_name(came: str):
    assert "did you mean 'echo'?" in str(unknown_name("system", came, ["Echo", "prompted"]).args[0])


def test_names_that_are_valid_too_are_guessed_but_not_listed():
    error = unknown_name("emotion", "hapy", ["joy"], also=["happy"])
    assert str(error) == "unknown emotion 'hapy'; did you mean 'happy'? Allowed: joy."
