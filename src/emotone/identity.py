"""What work depends on: it goes on after a kill only where all of that is the same.

Whatever resumes keeps an identity beside what it has made so far: values of JSON by name, with a
digest in place of what is long. `check_same` compares it with today's and refuses another by name.
`emotone generate`, `train` (every stage of every system), `vectors extract` and
`vectors calibrate` do so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotone.errors import ConfigError
from emotone.files import under

#: Of a larger file pieces are read, evenly spaced: weights that differ, differ everywhere.
WHOLE = 64 * 2**20
_PIECE = 2**20


def digest(value: Any) -> str:
    """Twelve hex digits of a hash of values that JSON has."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def digest_path(path: Path) -> str:
    """Twelve hex digits of a hash of a file's content, or of all files of a folder.

    Names count from the folder on, so that what was moved is the same. Of a file beyond 64 MiB the
    size, both ends and evenly spaced pieces count.
    """
    content = hashlib.sha256()
    for file in under(path) if path.is_dir() else [path]:
        size = file.stat().st_size
        name = str(file.relative_to(path)) if path.is_dir() else ""
        content.update(json.dumps([name, size]).encode())
        starts = range(0, size, _PIECE)
        if size > WHOLE:
            starts = [piece * (size - _PIECE) // 63 for piece in range(64)]
        with file.open("rb") as stream:
            for start in starts:
                stream.seek(start)
                content.update(stream.read(_PIECE))
    return content.hexdigest()[:12]


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], place: Path, remedy: str) -> None:
    """Refuse to go on with work that depends on something else.

    Args:
        before: The identity that the work was begun with.
        now: Today's.
        place: Where the work is kept.
        remedy: What to do, such as "name another folder for a new run".

    Raises:
        ConfigError: If anything differs; it names what, of settings in groups only those.
    """
    differences = _differences(before, json.loads(json.dumps(dict(now))))
    if differences:
        raise ConfigError(
            f"{place} was begun with other {', '.join(differences)}; set it as it was, or {remedy}"
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += [f"{key}.{name}" for name in _differences(old, new)]
        elif _tells(old) and _tells(new):
            names.append(f"{key} ({_shown(old)} then, {_shown(new)} now)")
        else:
            names.append(key)
    return names


def _tells(value: Any) -> bool:
    """Tell whether a value says something to a reader: neither a hash in hex nor a long list."""
    if isinstance(value, str):
        return len(value) < 12 or bool(value.strip("0123456789abcdef"))
    return not isinstance(value, Mapping | list) or len(value) <= 4


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
