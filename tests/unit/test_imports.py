"""The rooms import only what the contracts in pyproject.toml allow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import emotone

SOURCE = Path(emotone.__file__).parent
PROJECT = next((p for p in Path(__file__).parents if (p / "pyproject.toml").exists()), None)

pytest.importorskip("importlinter", reason="import-linter is not installed; it comes with [dev]")


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts on the package in a folder."""
    assert PROJECT is not None, "the tests stand outside the project"
    command = "from importlinter.cli import lint_imports_command as run; run()"
    flags = ["--no-cache", "--config", str(PROJECT / "pyproject.toml")]
    return subprocess.run(
        [sys.executable, "-c", command, *flags],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )


def test_every_contract_is_kept():
    done = lint(SOURCE.parent)
    assert done.returncode == 0, done.stdout
    assert "Contracts: 4 kept, 0 broken." in done.stdout


def test_each_contract_bites(tmp_path: Path):
    shutil.copytree(SOURCE, tmp_path / "emotone", ignore=shutil.ignore_patterns("*.safetensors"))
    for file, line in {
        "types.py": "import torch",
        "judges/ngram.py": "from emotone.systems import echo",
        "systems/echo.py": "from emotone.systems import prompted",
        "models/catalog.py": "from emotone.models import store",
    }.items():
        with (tmp_path / "emotone" / file).open("a") as out:
            out.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    for name in (
        "rooms are layered",
        "systems stand alone",
        "no cycles anywhere",
        "values stay light",
    ):
        assert f"{name} BROKEN" in done.stdout


def test_a_room_without_a_place_is_refused(tmp_path: Path):
    shutil.copytree(SOURCE, tmp_path / "emotone", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "emotone" / "attic.py").write_text('"""A room nobody declared."""\n')
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "attic" in done.stdout
