"""What the plug-in reads from the environment, since vLLM has no flags for plug-ins."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emotone.errors import ConfigError

MOODS = "EMOTONE_VLLM_MOODS"
NAMES = "EMOTONE_VLLM_NAMES"
FOLDERS = "EMOTONE_VLLM_FOLDERS"
CACHE = "EMOTONE_VLLM_CACHE"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served, and how much of it is kept.

    Args:
        moods: File of mood adapters, or the folder that they came in.
        names: Names of the model that may stand before the "@"; () for those that vLLM serves it
            by, or the last part of its path.
        folders: Names that are kept at once, each with the folder of its adapter.
        cache: Where the folders are. Engines on several machines need one that all of them see.
    """

    moods: Path
    names: tuple[str, ...] = ()
    folders: int = 256
    cache: Path = Path(tempfile.gettempdir())

    def __post_init__(self) -> None:
        """Check the range."""
        if self.folders < 1:
            raise ConfigError(f"{FOLDERS} is {self.folders}; use 1 or more")


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings | None:
    """Read the variables; None where no mood adapters are named.

    Raises:
        ConfigError: If one cannot be meant.
    """
    if not environment.get(MOODS):
        return None
    number = environment.get(FOLDERS, "256")
    if not (number.isascii() and number.isdigit()):
        raise ConfigError(f"{FOLDERS} is {number[:40]!r}; give a number of folders, such as 256")
    names = tuple(filter(None, map(str.strip, environment.get(NAMES, "").split(","))))
    cache = environment.get(CACHE) or tempfile.gettempdir()
    return Settings(Path(environment[MOODS]), names, int(number), Path(cache))
