"""TOML and `a.b=c` overrides to frozen dataclasses.

Defaults live once, in the dataclass beside the code that uses them; a file holds only what
differs. An unknown key is an error that offers the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from emotone.encoding import read_text
from emotone.errors import ConfigError, DataError, unknown_name

C = TypeVar("C")


def load(kind: type[C], path: Path | None = None, overrides: Sequence[str] = ()) -> C:
    """Build a config from a TOML file and overrides.

    Args:
        kind: The frozen dataclass to build.
        path: TOML file with what differs from the defaults; None for none.
        overrides: Items like "optim.lr=3e-4"; values are read as TOML, else taken as text. A path
            that may be left out is left out by nothing, as in "data.vectors=".

    Returns:
        The config.

    Raises:
        ConfigError: If a key is unknown, a value has the wrong type, or the file is not TOML.
    """
    values: dict[str, Any] = {}
    where = "the settings"
    if path is not None:
        where = str(path)
        try:
            values = tomllib.loads(read_text(Path(path), "TOML file"))
        except DataError as error:
            raise ConfigError(str(error)) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"cannot read {path} as TOML ({error}); check the file") from error
    for item in overrides:
        key, sign, text = item.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"override {item!r} has no key and value; write it as key=value")
        _place(values, key.strip().split("."), _scalar(text.strip()), item)
    return build(kind, values, where)


def build(kind: type[C], values: Mapping[str, Any], where: str = "config") -> C:
    """Build a dataclass from nested mappings, checking every key and type.

    Raises:
        ConfigError: If a key is unknown or a value has the wrong type.
    """
    values = _renamed(kind, values, where)
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # pyright: ignore[reportArgumentType]
    converted: dict[str, Any] = {}
    for key, value in values.items():
        if key not in names:
            error = unknown_name("key", key, names)
            raise ConfigError(f"{where}: {error}")
        converted[key] = _convert(hints[key], value, f"{where}: {key}")
    try:
        return kind(**converted)
    except TypeError as error:
        missing = ", ".join(n for n in names if n not in converted)
        raise ConfigError(f"{where}: set the keys without default among {missing}") from error


def dump(config: Any) -> str:
    """Write a config as TOML, every key included, readable by `load`."""
    return "\n".join(_lines(dataclasses.asdict(config), ())) + "\n"


def literal(value: Any) -> str:
    """Write a text, number, truth value, path or list of them as TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    except TypeError as error:
        raise ConfigError(
            f"a setting is of type {type(value).__name__}; give a text, a number, a truth value, a "
            "path or a list of them"
        ) from error
    return text.replace("\x7f", "\\u007f")


def comparable(values: Any) -> Any:
    """What the settings of two runs are compared by: values of JSON, and of a path its last name.

    A run whose files were moved to another folder is the same run.
    """
    if isinstance(values, Mapping):
        return {key: comparable(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [comparable(value) for value in values]
    return values.name if isinstance(values, Path) else values


def as_overrides(settings: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Return settings as the items of `load`, such as "candidates=1"."""
    if isinstance(settings, Mapping):
        return [f"{key}={literal(value)}" for key, value in settings.items()]
    return list(settings)


def _lines(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    flat = {k: v for k, v in values.items() if not isinstance(v, Mapping)}
    lines = [f"[{'.'.join(path)}]"] if path and flat else []
    # None is left out, as TOML has no null.
    lines += [f"{k} = {literal(v)}" for k, v in flat.items() if v is not None]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _lines(value, (*path, key))
    return lines


def _renamed(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Move the values of older keys, which `kind.RENAMED` may name, to where they are now."""
    renamed: Mapping[str, str] = getattr(kind, "RENAMED", {})
    # A section may have the name that a value had before.
    older = {k: v for k, v in values.items() if k in renamed and not isinstance(v, Mapping)}
    current = {k: v for k, v in values.items() if k not in older}
    for name, value in older.items():
        section, _, key = renamed[name].partition(".")
        given = current.get(section, {})
        if isinstance(given, Mapping):
            if key in given:
                raise ConfigError(
                    f"{where}: {name} is the older name of {section}.{key}; give one of the two"
                )
            current[section] = {**given, key: value}
    return current


def _place(values: dict[str, Any], keys: list[str], value: Any, item: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"override {item!r}: {key} is a value, not a section")
    if isinstance(values.get(keys[-1]), dict) and not isinstance(value, dict):
        raise ConfigError(f"override {item!r}: {keys[-1]} is a section, not a value")
    values[keys[-1]] = value


def _scalar(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        inner = [a for a in args if a is not type(None)]
        if value == "" and inner == [Path]:  # no path is empty, and a command line has no null
            return None
        if len(inner) == 1:
            return _convert(inner[0], value, where)
        if inner == [int, Path]:
            is_path = isinstance(value, str | Path)
            return _convert(Path if is_path else int, value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {value!r}; it is a section with keys of its own")
        return build(hint, value, where)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{where} is {value!r}; use one of {', '.join(map(repr, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {value!r}; use a list")
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    wrong = hint in (int, float, str, bool, Path) and type(value) is not hint
    if wrong and not (hint is Path and isinstance(value, Path)):
        kind = getattr(hint, "__name__", str(hint))
        raise ConfigError(f"{where} is {value!r}; it takes a value of type {kind}")
    return value
