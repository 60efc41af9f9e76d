"""Going on with a file of replies only where nothing changed since it was begun."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.evaluation.manifest import beside, manifest, read_manifest
from emotone.evaluation.scores import write_text
from emotone.identity import check_same, digest_path
from emotone.types import Decoding, EmpathyLevels


def settings(
    lines: Sequence[str],
    *,
    system: str,
    model: str | None,
    emotion: str | None,
    lang: str | None = None,
    empathy: EmpathyLevels | None = None,
    decoding: Decoding,
    overrides: Sequence[str],
    shard: str,
) -> dict[str, Any]:
    """Return everything that a reply of a file depends on, JSON-ready.

    Args:
        lines: Lines of the file of examples.
        system: Name of the system.
        model: Name of its weights as given; None for the default.
        emotion: What was asked for all examples; None for their own.
        lang: The language that was given for all examples; None for their own.
        empathy: What levels were asked for all examples; None for none.
        decoding: How replies are searched for.
        overrides: Settings of the system, "key=value".
        shard: Share of the file.
    """
    named = {"model": model or "", **dict(item.split("=", 1) for item in overrides if "=" in item)}
    paths = {name: Path(value.strip("\"'")) for name, value in named.items()}
    files = {name: path for name, path in paths.items() if path.name and path.exists()}
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
    return {
        "system": system.replace("-", "_"),
        "model": model,
        "emotion": emotion,
        "lang": lang,
        "empathy": None if empathy is None else str(empathy),
        "decoding": dataclasses.asdict(decoding),
        "set": sorted(overrides),
        "shard": shard,
        "examples": digest,
        "files": {name: digest_path(path) for name, path in files.items()},
    }


def check_resume(output: Path, now: Mapping[str, Any]) -> None:
    """Refuse to go on with a file that was begun with other settings.

    A file without a manifest, as a part of another file is, is taken as it is; so is a setting
    that an earlier version did not write.

    Raises:
        ConfigError: If a setting differs; the message names it.
    """
    before = read_manifest(beside(output)).get("settings")
    if not isinstance(before, dict):
        return
    if isinstance(before.get("decoding"), dict):
        before = {**before, "decoding": every_field(before["decoding"])}
    compared = {key: value for key, value in now.items() if key in before or value is None}
    remedy = "name another output, or add --restart to answer all anew"
    check_same({key: before.get(key) for key in compared}, compared, output, remedy)


def every_field(decoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of `Decoding` with the fields that did not exist when it was written.

    Each of them had the effect of its default.
    """
    return {**dataclasses.asdict(Decoding()), **decoding}


def begin(output: Path, now: Mapping[str, Any], source: str) -> None:
    """Write the manifest beside a file of replies that is begun."""
    inputs = [] if source == "-" else [Path(source)]
    record = manifest(inputs, settings=now)
    write_text(beside(output), json.dumps(record, ensure_ascii=False, indent=1) + "\n")
