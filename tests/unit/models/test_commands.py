from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emotone.cli.models import app
from emotone.errors import ModelMissing, UnknownName, UsageError
from unit.models.toys import PATIENCE

Spawn = Callable[..., subprocess.Popen[str]]


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_list(ready: Path, home: Path) -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["toy", "toy-encoder", "toy-gguf"]
    assert ["ready" in line for line in lines] == [True, False, False]
    assert ["not here" in line for line in lines] == [False, True, True]


def test_list_as_json(ready: Path, home: Path) -> None:
    values = json.loads(run("list", "--json").stdout)
    assert values["cache"] == str(home)
    assert values["default"] == "smollm2"
    assert [m["state"] for m in values["models"]] == ["ready", "absent", "absent"]


def test_pull_info_remove(home: Path) -> None:
    pulled = run("pull", "toy", "--json")
    assert pulled.exit_code == 0
    values = json.loads(pulled.stdout)
    assert (values["name"], values["path"]) == ("toy", str(home / "models" / "toy"))
    assert "fetching toy-toy==1.0" in pulled.stderr
    facts = json.loads(run("info", "toy", "--json").stdout)
    assert (facts["state"], facts["bytes"]) == ("ready", values["bytes"])
    assert "state: ready" in run("info", "toy").stdout
    assert run("pull", "toy").stdout.startswith("toy is ready in ")
    removed = json.loads(run("remove", "toy", "--json").stdout)
    assert removed["name"] == "toy"
    assert removed["freed_bytes"] > values["bytes"]
    assert isinstance(run("remove", "toy").exception, ModelMissing)


def test_info_names_damage(ready: Path) -> None:
    (ready / "config.json").unlink()
    facts = json.loads(run("info", "toy", "--json").stdout)
    assert facts["state"] == "damaged"
    assert "config.json is missing" in facts["problem"]


@pytest.mark.parametrize("command", ["pull", "info", "remove"])
def test_unknown_name(home: Path, command: str) -> None:
    error = run(command, "toi").exception
    assert isinstance(error, UnknownName)
    assert "did you mean 'toy'" in str(error)


def test_terms_without_a_person_are_wrong_use(home: Path) -> None:
    error = run("pull", "toy-gguf").exception
    assert isinstance(error, UsageError)
    assert error.exit_code == 2
    assert "Toy Terms (https://example.org/terms)" in str(error)
    assert "--accept-terms" in str(error)
    assert not home.exists()


def test_terms_accepted_by_the_flag_are_still_shown(home: Path) -> None:
    result = run("pull", "toy-gguf", "--accept-terms", "--json")
    assert result.exit_code == 0, result.exception
    assert "Be kind." in result.stderr
    assert result.stderr.index("Be kind.") < result.stderr.index("fetching toy-gguf-part0")
    assert json.loads(result.stdout)["name"] == "toy-gguf"
    again = run("pull", "toy-gguf")
    assert again.exit_code == 0, again.exception
    assert "Be kind." not in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code", "folders"), [("y", 0, ["toy-gguf"]), ("n", 1, []), ("", 1, [])]
)
def test_terms_at_a_terminal(
    spawn: Spawn, home: Path, answer: str, code: int, folders: list[str]
) -> None:
    ours, theirs = pty.openpty()
    process = spawn("cli", "pull", "toy-gguf", stdin=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux ends a terminal whose other side is closed with an error
        pass
    out, _ = process.communicate(timeout=PATIENCE)
    os.close(ours)
    assert process.returncode == code, shown
    assert shown.index(b"Be kind.") < shown.index(b"Do you accept the Toy Terms")
    assert [p.name for p in home.glob("models/*")] == folders
    assert bool(out) == bool(folders)
    assert (b"were not accepted" in shown) == (code == 1)
