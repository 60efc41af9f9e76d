from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emotone.errors import CheckpointError, ModelMissing
from emotone.models import catalog, inventory
from emotone.models.prepare import Places, prepare, tidy
from emotone.models.sources import fetch
from unit.models import toys as toybox
from unit.models.toys import PATIENCE, Toys

Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def _wait_for(log: Path, word: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not (log.exists() and word in log.read_text().split()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"no {word!r}"
        time.sleep(0.02)


def _kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def _is_whole(home: Path) -> None:
    folder = home / "models" / "toy"
    listed = inventory.read(folder)
    assert listed is not None
    inventory.verify(folder, listed)
    assert "model.safetensors" in {file.name for file in listed.files}
    assert not (folder / "half").exists()
    assert [p.name for p in (home / "models").iterdir()] == ["toy"]
    assert list((home / "raw").iterdir()) == []
    assert list((home / "work").iterdir()) == []


@pytest.mark.slow
def test_kill_during_conversion(spawn: Spawn, toys: Toys, home: Path, log: Path) -> None:
    where = (str(home), str(toys.wheelhouse), str(log))
    killed = spawn("slow-convert", *where)
    _wait_for(log, "converting", killed)
    _kill(killed)
    assert not (home / "models" / "toy").exists()
    assert (home / "models" / ".toy.partial" / "half").exists()

    again = spawn("plain", *where)
    _, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, err
    assert log.read_text().split() == ["downloaded", "converting", "converting"]
    _is_whole(home)


@pytest.mark.slow
def test_kill_during_download(spawn: Spawn, toys: Toys, home: Path, log: Path) -> None:
    where = (str(home), str(toys.wheelhouse), str(log))
    killed = spawn("slow-download", *where)
    _wait_for(log, "downloaded", killed)
    _kill(killed)
    assert list((home / "work" / "toy").rglob("*.whl"))

    again = spawn("plain", *where)
    _, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, err
    assert log.read_text().split() == ["downloaded", "downloaded", "converting"]
    _is_whole(home)


@pytest.mark.slow
def test_two_processes_convert_once(spawn: Spawn, toys: Toys, home: Path, log: Path) -> None:
    where = (str(home), str(toys.wheelhouse), str(log))
    both = [spawn("second-convert", *where) for _ in range(2)]
    ends = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert log.read_text().split() == ["downloaded", "converting"]
    assert [out for out, _ in ends] == [f"{home}/models/toy\n"] * 2
    waited = [err for _, err in ends if "waiting for another process" in err]
    assert len(waited) == 1
    _is_whole(home)


def test_failed_conversion_leaves_no_model(home: Path, toys: Toys) -> None:
    def fails(entry: catalog.Entry, raw: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise CheckpointError("no good")

    entry = catalog.entry("toy")
    with pytest.raises(CheckpointError, match="no good"):
        prepare(entry, home, fetch=_fetch(toys), convert=fails)
    assert not (home / "models" / "toy").exists()
    prepare(entry, home, fetch=_fetch(toys))
    _is_whole(home)


def test_model_of_another_format_is_made_again(home: Path, toys: Toys, ready: Path) -> None:
    path = ready / inventory.COMPLETE
    path.write_text(path.read_text().replace('"format": 1', '"format": 0'))
    (ready / "old").write_text("old")
    prepare(catalog.entry("toy"), home, fetch=_fetch(toys))
    assert not (ready / "old").exists()
    _is_whole(home)


def test_model_of_other_weights_is_made_again(home: Path, toys: Toys, ready: Path) -> None:
    path = ready / inventory.COMPLETE
    path.write_text(re.sub(r'"revision": "\w+"', '"revision": "0"', path.read_text()))
    prepare(catalog.entry("toy"), home, fetch=_fetch(toys))
    listed = inventory.read(ready)
    assert listed is not None
    assert listed.revision == catalog.entry("toy").revision


def test_finished_model_is_left_alone(home: Path, ready: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError("called")

    assert prepare(catalog.entry("toy"), home, fetch=never, convert=never) == ready


def test_tidy_clears_what_a_kill_after_the_last_rename_left(home: Path, ready: Path) -> None:
    places = Places(home, "toy")
    for path in places.leftovers:
        path.mkdir(parents=True)
        (path / "x").write_text("x")
    tidy(places)
    assert [path for path in places.leftovers if path.exists()] == []
    assert ready.is_dir()


def test_cache_that_cannot_be_written_is_told(tmp_path: Path, home: Path, toys: Toys) -> None:
    home.write_text("a file where the cache should be")
    with pytest.raises(ModelMissing, match=r"cannot be kept in .*home .*set EMOTONE_HOME"):
        prepare(catalog.entry("toy"), home, fetch=_fetch(toys))


def test_the_list_names_files_in_folders_below(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    listed = inventory.write(tmp_path, "toy", "0")
    assert [file.name for file in listed.files] == ["1_Pooling/config.json"]
    assert inventory.read(tmp_path) == listed


def _fetch(toys: Toys):
    download = toybox.copying(toys.wheelhouse)
    return lambda entry, raw, work: fetch(entry, raw, work, download=download)
