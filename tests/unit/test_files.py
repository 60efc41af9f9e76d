"""Outputs: whole or not at all, and never in the place of what is no regular file."""

from __future__ import annotations

import errno
import os
import stat
import threading

import pytest

from emotone import files
from emotone.errors import DataError, RunError

POSIX = pytest.mark.skipif(os.name == "nt", reason="devices and pipes are POSIX's")


def put(path, text):
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "a.txt", tmp_path / "b.txt"
    link.symlink_to(target)
    for text in ("one", "two"):  # first it leads to nothing
        put(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.txt", "b.txt", "far"]


def test_a_link_to_nothing_is_checked_without_a_trace(tmp_path):
    link = tmp_path / "b.txt"
    link.symlink_to(tmp_path / "a.txt")
    files.check_writable(link)
    assert link.is_symlink()
    assert not link.exists()


@POSIX
def test_a_device_stays_a_device(tmp_path, monkeypatch):
    """As root a renamed file would take the place of /dev/null itself."""
    replaced: list[object] = []
    monkeypatch.setattr(os, "replace", lambda *names: replaced.append(names))
    files.check_writable(files.Path("/dev/null"))
    put(files.Path("/dev/null"), "lost")
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    put(link, "lost")
    assert not replaced
    assert link.is_symlink()
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@POSIX
def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    files.check_writable(pipe)
    came: list[str] = []
    reader = threading.Thread(target=lambda: came.append(pipe.read_text()))
    reader.start()
    put(pipe, "all of it\n")
    reader.join()
    assert came == ["all of it\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


@POSIX
def test_an_open_descriptor_is_written_on_where_it_is(tmp_path):
    """A file opened anew would begin at its start, over what was written before."""
    log = tmp_path / "log"
    with log.open("w") as out:
        out.write("before\n")
        out.flush()
        put(files.Path(f"/dev/fd/{out.fileno()}"), "between\n")
        out.write("after\n")
    assert log.read_text() == "before\nbetween\nafter\n"


@POSIX
def test_what_keeps_work_beside_its_output_needs_a_regular_one():
    with pytest.raises(DataError, match=r"^/dev/null is no regular file, and a run is kept beside"):
        files.check_writable(files.Path("/dev/null"), keeps="a run")


@POSIX
def test_a_socket_is_refused_in_one_sentence(tmp_path, monkeypatch):
    import socket

    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(DataError, match=r"^cannot write s \(No such device or address\)"):
            put(files.Path("s"), "a")


def test_a_full_disk_is_one_sentence(tmp_path):
    with (
        pytest.raises(RunError, match=r"^cannot write .*a\.txt \(No space left on device\); make"),
        files.replacing(tmp_path / "a.txt"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())
