"""Adapters on the disk: one folder for each mood, written when it is first asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from filelock import FileLock, Timeout

from emotone.emotions import EmotionMix
from emotone.engines.mood_adapter import write_mood_adapter
from emotone.engines.mood_name import mood_name
from emotone.errors import CheckpointError, Unsupported
from emotone.files import sha256
from emotone.steering.mood_adapters import open_mood_adapters
from emotone.training.adapters import WEIGHTS

_OURS = "emotone-vllm-"
_LOCK = "lock"


class Folders:
    """Writes the moods of one file of adapters into a folder of its own.

    What servers that were killed left there is removed; what others still use is not.

    Args:
        moods: File or folder of mood adapters.
        cache: Where the folder is made.

    Raises:
        CheckpointError: If the adapters are damaged, or the shared ones are not beside them.
    """

    def __init__(self, moods: Path, cache: Path) -> None:
        self.adapters = open_mood_adapters(moods)
        beside = moods if moods.is_dir() else moods.parent
        needs = self.adapters.card.adapters
        if needs and not ((beside / WEIGHTS).is_file() and sha256(beside / WEIGHTS) == needs):
            raise CheckpointError(
                f"the mood adapters {moods} were learned on shared ones that are not in {beside};"
                " copy the whole folder again"
            )
        self._shared = beside if needs else None
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        self.place = Path(tempfile.mkdtemp(prefix=_OURS, dir=cache))
        self.place.chmod(0o755)  # the engine may run as another user
        self._lock = FileLock(self.place / _LOCK)
        self._lock.acquire()
        weakref.finalize(self, _remove, self.place, self._lock, os.getpid())

    def write(self, mix: EmotionMix | None) -> Path:
        """Return the folder of a mood, written whole before it is there.

        Raises:
            Unsupported: If an emotion is not calibrated, or nothing would change.
            DataError: If it cannot be written.
        """
        doses = {} if mix is None else self.adapters.doses(mix)
        if self._shared is None and not any(doses.values()):
            raise Unsupported("there are no shared adapters, so that no mood is the bare model")
        place = self.place / mood_name("", mix)
        if not place.is_dir():
            write_mood_adapter(self.adapters, doses, place, shared=self._shared)
        return place


def _sweep(cache: Path) -> None:
    for place in cache.glob(f"{_OURS}*"):
        try:
            with FileLock(place / _LOCK, timeout=0):
                shutil.rmtree(place, ignore_errors=True)
        except (Timeout, OSError):  # in use, or another user's
            continue


def _remove(place: Path, lock: FileLock, owner: int) -> None:
    if os.getpid() == owner:  # a forked child ends without it
        lock.release()
        shutil.rmtree(place, ignore_errors=True)
