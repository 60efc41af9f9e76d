"""Commands of emotone inside this process, which saves the import of torch for each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Output:
    """What a command did: its exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class CommandFailed(Exception):
    """A command of a case did not end with exit code 0."""


def attempt(*arguments: object, stdin: str = "") -> Output:
    """Run a command; the global random states are the same before each, whatever ran before."""
    import numpy
    import torch

    from emotone.cli import main

    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    out, err = _stream(), _stream()
    before = sys.argv, sys.stdin, torch.get_num_threads()
    sys.argv = ["emotone", *map(str, arguments)]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
    finally:
        sys.argv, sys.stdin = before[:2]
        torch.set_num_threads(before[2])
    return Output(code, _text(out), _text(err))


def emotone(*arguments: object, stdin: str = "") -> Output:
    """Run a command that must succeed.

    Raises:
        CommandFailed: If it did not; the message holds its stderr.
    """
    output = attempt(*arguments, stdin=stdin)
    if output.code:
        words = " ".join(map(str, arguments))
        raise CommandFailed(f"emotone {words}: exit code {output.code}\n{output.err[-2000:]}")
    return output


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, so that all paths in commands and their results are relative."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def write_rows(path: str, rows: Sequence[Any]) -> str:
    """Write a file of JSON lines and return its path."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    place.write_text(text, encoding="utf-8")
    return path


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode()  # pyright: ignore
