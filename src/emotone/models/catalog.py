"""The models that emotone knows by name, read from `catalog.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from emotone import config
from emotone.errors import ConfigError, unknown_name

CATALOG = Path(__file__).with_name("catalog.toml")
DEFAULT = "smollm2"

ModelKind = Literal["causal-lm", "encoder"]

_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A distribution on the package index that holds weights.

    Args:
        distribution: Its name.
        version: The pinned version.
        bytes: Size of the wheel, for the progress bar only.
    """

    distribution: str
    version: str
    bytes: int

    @property
    def requirement(self) -> str:
        """The requirement that pip downloads."""
        return f"{self.distribution}=={self.version}"


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A member of a wheel that is a file, or a stretch of one.

    Args:
        wheel: Distribution of the wheel.
        member: Path inside the wheel.
    """

    wheel: str
    member: str

    def __post_init__(self) -> None:
        """Refuse a path that leaves the wheel."""
        check_inside(self.member)


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file as it is published, before any conversion.

    Args:
        name: Path inside the model's folder.
        sha256: Its checksum, in hex.
        bytes: Its size.
        parts: Where its stretches are, in order.
    """

    name: str
    sha256: str
    bytes: int
    parts: tuple[WheelMember, ...]

    def __post_init__(self) -> None:
        """Refuse a path that leaves the model's folder."""
        check_inside(self.name)


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of use that must be accepted before the weights are fetched.

    Args:
        name: What they are called.
        url: Where their owner publishes them.
        file: The raw file that holds them.
    """

    name: str
    url: str
    file: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A known model.

    Args:
        name: What it is called here.
        kind: "causal-lm" writes text; "encoder" turns text into vectors.
        description: One line for people.
        languages: ISO 639-1 codes of the languages that it handles.
        licence: SPDX expression.
        wheels: Where its files come from.
        files: What is taken out of the wheels.
        weights: The file among them that holds the weights.
        vectors: Emotion vectors made for it, where there are some.
        companion: Adapters with vectors of their own that make it talk, where there are some.
        terms: Terms to accept, where the licence asks for that.
        digits_apart: Whether its tokenizer splits every digit from its neighbours and the weights
            file cannot say so in a way that transformers reads.
    """

    name: str
    kind: ModelKind
    description: str
    languages: tuple[str, ...]
    licence: str
    wheels: tuple[Wheel, ...]
    files: tuple[RawFile, ...]
    weights: str
    vectors: str | None = None
    companion: str | None = None
    terms: Terms | None = None
    digits_apart: bool = False

    def __post_init__(self) -> None:
        """Refuse an entry that points at what it does not have."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"model name {self.name!r} is not allowed; use a-z, 0-9 and dashes")
        self.file(self.weights)
        if self.terms is not None:
            self.file(self.terms.file)
        for file in self.files:
            for part in file.parts:
                self.wheel(part.wheel)

    @property
    def revision(self) -> str:
        """What exactly the weights are: the sha256 of the file as published."""
        return self.file(self.weights).sha256

    @property
    def is_gguf(self) -> bool:
        """Whether the weights must be converted before use."""
        return self.weights.endswith(".gguf")

    def file(self, name: str) -> RawFile:
        """Find a raw file.

        Raises:
            ConfigError: If the entry has no such file.
        """
        for file in self.files:
            if file.name == name:
                return file
        raise ConfigError(f"model {self.name!r} lists no file {name!r}; add it to the catalogue")

    def wheel(self, distribution: str) -> Wheel:
        """Find a wheel.

        Raises:
            ConfigError: If the entry has no such wheel.
        """
        for wheel in self.wheels:
            if wheel.distribution == distribution:
                return wheel
        raise ConfigError(
            f"model {self.name!r} lists no wheel {distribution!r}; add it to the catalogue"
        )


def known() -> Mapping[str, Entry]:
    """Read the catalogue.

    Returns:
        The entries by name, in the order of the file.

    Raises:
        ConfigError: If the catalogue is broken.
    """
    tables = tomllib.loads(CATALOG.read_text(encoding="utf-8"))
    return {
        name: config.build(Entry, {"name": name, **table}, f"{CATALOG.name}: {name}")
        for name, table in tables.items()
    }


def entry(name: str) -> Entry:
    """Find a known model.

    Raises:
        UnknownName: If the catalogue has no such model.
    """
    entries = known()
    if name not in entries:
        raise unknown_name("model", name, entries)
    return entries[name]


def languages_of(name: str) -> tuple[str, ...]:
    """Return the languages of a known model, by its name; none of any other."""
    entries = known()
    return entries[name].languages if name in entries else ()


def check_inside(path: str) -> None:
    """Refuse a path that could point outside the folder that it is joined to.

    Raises:
        ConfigError: If the path is empty, absolute, has a drive or backslash, or climbs with "..".
    """
    parts = PurePosixPath(path).parts
    climbs = not parts or path.startswith("/") or ".." in parts
    if climbs or "\\" in path or ":" in path or "\0" in path:
        raise ConfigError(f"path {path!r} leaves its folder; use a plain relative path")
