"""The log file of a run, and what a person sees of it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotone.training.checkpoint import writing

#: Keys of the log that differ between two equal runs.
TIMINGS = frozenset({"seconds", "tokens_per_second"})
#: Seconds between lines where stderr is not a terminal.
EVERY = 30.0
#: Steps after which the time of the whole run is estimated.
ESTIMATED_AFTER = 20


def note(text: str) -> None:
    """Write a line for the user to stderr."""
    print(f"emotone: {text}", file=sys.stderr, flush=True)


class Log:
    """`log.jsonl`: one JSON object a line, appended.

    Args:
        path: The file.
        size: Bytes to keep of it, which a checkpoint names; what a killed run wrote after that
            checkpoint is written again.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        with writing(path):
            # Unbuffered, so that nothing is left to fail when it is closed on a full disk.
            self._stream = path.open("ab", buffering=0)
            # A shorter file was cut by somebody else; what is left of it stays.
            self._stream.truncate(min(size, self._stream.tell()))
            self._stream.seek(0, os.SEEK_END)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one object."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with writing(self.path):
            while line:
                line = line[self._stream.write(line) :]

    def synced(self) -> int:
        """Make the system write the file to the disk; return its size in bytes."""
        with writing(self.path):
            os.fsync(self._stream.fileno())
        return self._stream.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class Display:
    """Progress on stderr: a bar on a terminal, else a line every half a minute.

    Args:
        total: Steps of the whole run.
        done: Steps made before a resume.
        shown: Whether anything is shown at all.
        figures: Which keys of the log a person sees, and how each is written; a figure is left out
            until it is there.
        evaluation: The key that only the line of an evaluation has; without a bar, a line shows it.
    """

    def __init__(
        self,
        total: int,
        done: int,
        shown: bool,
        figures: Mapping[str, str],
        evaluation: str,
    ) -> None:
        self._figures, self._evaluation = figures, evaluation
        self._total, self._shown = total, shown
        self._first, self._step = done, done
        self._began = self._noted = time.monotonic()
        self._paused = 0.0
        self._text = ""
        self._newest: dict[str, Any] = {}
        self._bar: Any = None
        if not shown:
            return
        already = f", {done} of them made" if done else ""
        note(f"training for at most {total} steps{already}")
        if sys.stderr.isatty():
            self._start_bar()

    def step(self) -> None:
        """Count one step."""
        self._step += 1
        if not self._shown:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=self._step)
        if self._step - self._first == ESTIMATED_AFTER:
            self._note(f"about {_minutes(self.left())} to go, evaluations not counted")
        if self._bar is None and time.monotonic() - self._noted >= EVERY:
            self._note(
                f"step {self._step} of {self._total}, {self._text}{_minutes(self.left())} left"
            )

    def show(self, values: Mapping[str, Any]) -> None:
        """Show the newest figures of the log."""
        new = self._newest
        new.update(values)
        parts = [form.format(new[key]) for key, form in self._figures.items() if key in new]
        self._text = "".join(f"{part}, " for part in parts)
        if self._shown and self._bar is not None:
            self._bar.update(self._task, text=self._text.rstrip(", "))
        elif self._shown and self._evaluation in values:
            self._note(f"step {self._step} of {self._total}, {self._text}lr {values['lr']:g}")

    def pause(self, seconds: float) -> None:
        """Leave time out of the estimate, such as that of an evaluation."""
        self._paused += seconds

    def left(self) -> float:
        """Estimate the seconds of the steps that are left."""
        steps = max(self._step - self._first, 1)
        spent = time.monotonic() - self._began - self._paused
        return spent / steps * (self._total - self._step)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _note(self, text: str) -> None:
        self._noted = time.monotonic()
        if self._bar is not None:
            self._bar.console.print(f"emotone: {text}", markup=False, highlight=False)
        else:
            note(text)

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            "training",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=self._total, completed=self._first, text="")
        self._bar.start()


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
