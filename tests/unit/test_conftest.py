"""The promises of `tests/conftest.py` themselves."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


def test_a_connection_to_a_network_address_is_refused():
    with socket.socket() as plain, pytest.raises(OSError, match="network is off"):
        plain.connect(("127.0.0.1", 9))
    with socket.socket() as plain, pytest.raises(OSError, match="network is off"):
        plain.connect_ex(("127.0.0.1", 9))
    with pytest.raises(OSError, match="network is off"):
        socket.create_connection(("no.such.host.invalid", 9), timeout=1)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no AF_UNIX")
def test_a_socket_between_processes_of_this_machine_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # the path of a unix socket may be 100 characters long
    with socket.socket(socket.AF_UNIX) as ear, socket.socket(socket.AF_UNIX) as mouth:
        ear.bind("s")
        ear.listen(1)
        mouth.connect("s")
        mouth.sendall(b"hello")
        line, _ = ear.accept()
        with line:
            assert line.recv(5) == b"hello"


HOMES: set[Path] = set()


@pytest.mark.parametrize("time", ["once", "again"])
def test_the_cache_of_each_test_is_a_new_folder(
    tmp_path_factory: pytest.TempPathFactory, time: str
):
    from emotone.models import cache_root

    assert tmp_path_factory.getbasetemp() in cache_root().parents
    assert not cache_root().exists()
    assert cache_root() not in HOMES
    HOMES.add(cache_root())


def test_the_hub_is_offline_for_libraries_and_processes():
    from huggingface_hub import constants

    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert constants.HF_HUB_OFFLINE


def test_torch_runs_on_one_thread():
    import torch

    assert torch.get_num_threads() == 1


def test_data_is_the_named_folder(request: pytest.FixtureRequest, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOTONE_DATA", str(tmp_path))
    assert request.getfixturevalue("data") == tmp_path


def test_data_skips_with_its_reason_when_unset(request: pytest.FixtureRequest, monkeypatch):
    monkeypatch.delenv("EMOTONE_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception, match="EMOTONE_DATA is not set"):
        request.getfixturevalue("data")
