"""What every test gets: no network, a cache of its own, one thread, and no global seed."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Read when the libraries are first imported, so they are set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["PYTHONUTF8"] = "1"

# What a shell, a CI or a cluster says of its terminal and its ranks is not said to the tests.
for _name in (
    *("CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES"),
    *("NO_COLOR", "PY_COLORS", "TRANSFORMERS_VERBOSITY", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"),
):
    os.environ.pop(_name, None)
os.environ["COLUMNS"] = "100"

# A shell that runs the tests in the background has interrupts ignored, by their children too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Whoever runs the tests gets the same examples each time; `make test-all` searches for new ones.
# Time limits for one example fail on a busy machine; the whole suite is timed instead.
settings.register_profile("repeat", deadline=None, max_examples=25, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=60, print_blob=True)
settings.load_profile("repeat")

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


class NetworkIsOff(OSError):
    """A test tried to leave this machine."""


def _guard(real: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if self.family != getattr(socket, "AF_UNIX", None):
            raise NetworkIsOff(f"the network is off in tests, but {address!r} was called")
        return real(self, address)

    return connect


def _refuse(address: Any, *_: Any, **__: Any) -> Any:
    raise NetworkIsOff(f"the network is off in tests, but {address!r} was called")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block every socket but those between processes of this machine (`AF_UNIX`)."""
    monkeypatch.setattr(socket.socket, "connect", _guard(_connect))
    monkeypatch.setattr(socket.socket, "connect_ex", _guard(_connect_ex))
    monkeypatch.setattr(socket, "create_connection", _refuse)


_number = itertools.count()


@pytest.fixture(autouse=True)
def own_home(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Give each test an empty cache, and pip, which runs as a process of its own, no index.

    The folder is only named: few tests write to it, and thousands of folders take seconds to make.
    A test marked `model` needs the default model and therefore keeps the user's cache and index.
    """
    if request.node.get_closest_marker("model") is None:
        home = tmp_path_factory.getbasetemp() / "homes" / str(next(_number))
        monkeypatch.setenv("EMOTONE_HOME", str(home))
        monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Keep torch to one thread, whatever ran before; light tests do not import it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def data() -> Path:
    """The folder of training corpora, named by EMOTONE_DATA."""
    folder = os.environ.get("EMOTONE_DATA")
    if not folder:
        pytest.skip("EMOTONE_DATA is not set; it names the folder of the corpora")
    if not Path(folder).is_dir():
        pytest.fail(f"EMOTONE_DATA is {folder!r}, which is not a folder")
    return Path(folder)


#: Slow tests that were left out; each process of pytest-xdist leaves out the same ones.
_LEFT_OUT: set[str] = set()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Note the slow tests that are left out."""
    _LEFT_OUT.update(item.nodeid for item in items if item.get_closest_marker("slow"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the names from a process of pytest-xdist that ends."""
    _LEFT_OUT.update(getattr(node, "workeroutput", {}).get("left out", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many were left out, and how to run them."""
    if _LEFT_OUT:
        terminalreporter.write_line(
            f"{len(_LEFT_OUT)} slow tests were left out; `make test-all` runs them too"
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where more tests are skipped than `EMOTONE_MOST_SKIPS` allows: they prove nothing."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = sorted(_LEFT_OUT)
        return
    most = os.environ.get("EMOTONE_MOST_SKIPS")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if most is None or reporter is None:
        return
    skipped = len(reporter.stats.get("skipped", ()))
    reporter.write_line(f"\n{skipped} tests were skipped; at most {most} may be")
    if skipped > int(most):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
