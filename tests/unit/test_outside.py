"""Modules of a user's own, by dotted name."""

from __future__ import annotations

import sys

import pytest

from emotone import metrics, systems
from emotone.data import corpora
from emotone.errors import UnknownName

OWN = """
CORPUS = read = None
Config = load = None
METRICS = {"own": lambda instruments: None}
"""


@pytest.fixture
def standing(tmp_path, monkeypatch):
    """A folder with a package that is not installed, and that one stands in."""
    (tmp_path / "standing").mkdir()
    (tmp_path / "standing" / "own.py").write_text(OWN)
    (tmp_path / "json.py").write_text("raise RuntimeError('hides the real one')")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("standing", "standing.own"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("find", [systems.module, corpora.module, metrics.spec])
def test_a_dotted_name_is_found_from_the_folder_one_stands_in(standing, find):
    assert find("standing.own")
    sys.modules.pop("json", None)
    import json

    assert json.loads("[1]") == [1]  # nothing in that folder hides a library


@pytest.mark.parametrize("find", [systems.module, corpora.module, metrics.spec])
@pytest.mark.parametrize("name", ["./own", "runs/x.y", "standing..own", ".", "own.", "own"])
def test_what_is_no_dotted_name_is_not_imported(find, name):
    with pytest.raises(UnknownName, match="A dotted name loads a module of your own"):
        find(name)


def test_a_module_that_is_not_there_or_lacks_something_is_named(standing):
    with pytest.raises(UnknownName, match=r"Importing it failed: No module named 'standing\.none'"):
        systems.module("standing.none")
    with pytest.raises(UnknownName, match="it offers no tiny and no train"):
        systems.outside_module("system", "standing.own", [], needs=("tiny", "load", "train"))
