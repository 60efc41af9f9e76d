"""Fetching a wheel with pip, so that the user's own index, mirror and proxy settings apply."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from emotone import files
from emotone.errors import ModelMissing
from emotone.models import progress
from emotone.models.catalog import Wheel

_UNREACHABLE = (
    "connection broken",
    "ConnectionError",
    "Failed to establish a new connection",
    "Max retries exceeded",
    "ProxyError",
    "Read timed out",
    "SSLError",
)


def download(wheel: Wheel, folder: Path) -> Path:
    """Fetch a wheel without its dependencies; nothing is installed and none of its code runs.

    pip draws no bar that can be read by another program in all of its versions, so the growth of
    its files is watched instead.

    Args:
        wheel: What to fetch.
        folder: An empty folder of ours; pip's own temporary files go there too.

    Returns:
        Path of the wheel.

    Raises:
        ModelMissing: If pip is absent or does not bring the wheel.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelMissing(
            f"pip is needed to fetch {wheel.requirement} and is not in this environment; run"
            " `python -m ensurepip`, then try again"
        )
    arrived, temporary = folder / "arrived", folder / "temporary"
    for path in (arrived, temporary):
        path.mkdir(parents=True)
    log = folder / "pip.log"
    command = [
        *(sys.executable, "-P", "-m", "pip", "download"),  # -P: no pip.py of the current folder
        *("--no-deps", "--only-binary=:all:"),  # a source archive would have to run its setup.py
        "--no-cache-dir",  # emotone keeps what it needs; a second copy of weights is waste
        *("--no-input", "--disable-pip-version-check", "--quiet", "--progress-bar=off"),
        *("--dest", str(arrived), wheel.requirement),
    ]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with (
        log.open("wb") as output,
        progress.bar(f"fetching {wheel.requirement}", wheel.bytes) as show,
    ):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            while _runs(process):
                show(_bytes_below(folder))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = sorted(arrived.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise ModelMissing(f"pip cannot fetch {wheel.requirement} ({_reason(log)})")
    return wheels[0]


def _runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return True
    return False


def _bytes_below(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in files.under(folder))
    except FileNotFoundError:  # pip moves its files while they are counted
        return 0


def _reason(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    if any(sign in text for sign in _UNREACHABLE):
        return "the package index cannot be reached"
    errors = [line for line in text.splitlines() if line.startswith("ERROR: ")]
    last = errors[-1].removeprefix("ERROR: ") if errors else "pip gave no reason"
    return last if len(last) <= 160 else f"{last[:160]}…"
