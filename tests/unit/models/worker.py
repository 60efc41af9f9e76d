"""A process that prepares the toy model, slow where it is told to be; run by the tests."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from emotone.errors import EmotoneError
from emotone.models import catalog, progress
from emotone.models.convert import convert
from emotone.models.prepare import prepare
from emotone.models.sources import fetch
from unit.models import toys as toybox
from unit.models.toys import PATIENCE


def main() -> None:
    mode, toml, *rest = sys.argv[1:]
    catalog.CATALOG = Path(toml)
    if mode == "cli":
        _cli(rest)
    root, wheelhouse, log = map(Path, rest)
    copy = toybox.copying(wheelhouse)

    if mode == "second-convert":
        _note_waiting(log.with_name("waiting"))

    def note(word: str) -> None:
        with log.open("a") as stream:
            stream.write(f"{word}\n")

    def download(wheel: catalog.Wheel, folder: Path) -> Path:
        path = copy(wheel, folder)
        note("downloaded")
        if mode == "slow-download":
            time.sleep(PATIENCE)
        return path

    def slow_convert(entry: catalog.Entry, raw: Path, target: Path) -> None:
        (target / "half").write_text("half")
        note("converting")
        if mode == "slow-convert":
            time.sleep(PATIENCE)
        while mode == "second-convert" and not log.with_name("waiting").exists():
            time.sleep(0.02)
        (target / "half").unlink()
        convert(entry, raw, target)

    print(
        prepare(
            catalog.entry("toy"),
            root,
            fetch=lambda entry, raw, work: fetch(entry, raw, work, download=download),
            convert=slow_convert,
        )
    )


def _note_waiting(place: Path) -> None:
    """Make a file once this process says that it waits, so that the other one goes on then."""
    real_note = progress.note

    def note(text: str) -> None:
        real_note(text)
        if "waiting for another process" in text:
            place.touch()

    progress.note = note


def _cli(arguments: list[str]) -> None:
    from emotone.cli.models import app

    try:
        app(arguments, standalone_mode=False)
    except EmotoneError as error:
        os.write(2, f"emotone: {error}\n".encode())
        sys.exit(error.exit_code)
    sys.exit(0)


if __name__ == "__main__":
    main()
