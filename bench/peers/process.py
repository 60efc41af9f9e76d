"""A peer as a process of its own that answers requests, one JSON object a line each way."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self


class Process:
    """A script run by another interpreter; asleep unless it is asked.

    Args:
        python: The interpreter of the peer's environment.
        script: What it runs; its first answer comes unasked and says who it is.
        arguments: Of the script.
    """

    def __init__(self, python: Path, script: Path, *arguments: str) -> None:
        # A thread that spins after its work would take a core from the other side.
        surroundings = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        self._process = subprocess.Popen(
            [str(python), str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=surroundings,
        )
        self.about = self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer left with status {self._process.wait()}; see above")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
