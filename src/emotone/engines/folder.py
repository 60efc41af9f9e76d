"""Folders of several files, written whole or not at all, with a record of what they hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emotone.errors import DataError
from emotone.files import remove, room_for, write_json

#: What an exported folder says of itself.
RECORD = "emotone.json"


@contextmanager
def new_folder(place: Path, record: dict[str, Any]) -> Iterator[Path]:
    """Give a folder to fill; at the end it is at `place`, with the record in it.

    Raises:
        DataError: If there is something already, or the place cannot be written.
        RunError: If there is no room.
    """
    if place.exists():
        raise DataError(f"{place} is there already; name a new folder")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise DataError(f"cannot write {place} ({error.strerror}); name another place") from error
    try:
        with room_for(place):
            yield temporary
            write_json(temporary / RECORD, record)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)  # a temporary folder is for its owner only
        os.replace(temporary, place)
    finally:
        if temporary.exists():
            remove(temporary)
