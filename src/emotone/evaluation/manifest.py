"""From what and how numbers were made: code, packages, machine, inputs, judges, settings, time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from emotone.errors import DataError
from emotone.files import is_stream, sha256

#: Packages whose version can change a number.
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scikit-learn",
    "sacrebleu",
    "rouge-score",
    "rjieba",
    "polars",
    "peft",
)


def manifest(
    inputs: Sequence[Path] = (),
    *,
    judges: Mapping[str, Mapping[str, str]] | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: Iterable[int] = (),
    **more: Any,
) -> dict[str, Any]:
    """Say from what and how something is made, as one JSON-ready object.

    Files are named without their folders, which are nobody else's business.

    Args:
        inputs: Files that were read; each with sha256 and size.
        judges: Name of each judge -> hashes of the data it was trained on.
        settings: What the command was told.
        seeds: Seeds of the replies.
        more: Further keys.
    """
    from emotone import __version__

    known = sorted(set(seeds))
    return {
        "emotone": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": _versions(),
        "machine": machine(),
        "inputs": [file_facts(path) for path in inputs],
        "judges": {name: dict(data) for name, data in (judges or {}).items()},
        "settings": dict(settings or {}),
        "seeds": {"count": len(known), "first": known[0], "last": known[-1]} if known else {},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


def file_facts(path: Path) -> dict[str, Any]:
    """Return name, size in bytes and sha256 of a file; of a pipe the name, for it is read once.

    Raises:
        DataError: If it cannot be read.
    """
    if is_stream(path):
        return {"name": path.name, "bytes": None, "sha256": None}
    try:
        size, checksum = path.stat().st_size, sha256(path)
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror}); name a file that is here"
        ) from error
    return {"name": path.name, "bytes": size, "sha256": checksum}


def machine() -> dict[str, Any]:
    """Return platform, processors, threads and memory of this machine."""
    return {
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "usable_cpus": _usable(),
        "threads": _threads(),
        "memory_bytes": _memory(),
    }


def commit() -> str | None:
    """Return the commit of the checkout that the code runs from, "+changes" where it was changed.

    None for an installed package or without git.
    """
    here = Path(__file__).resolve().parent
    root = next((p for p in here.parents if (p / ".git").exists()), None)
    if root is None or not here.is_relative_to(root / "src"):
        return None
    try:
        outputs = [
            subprocess.run(
                ["git", "-C", str(root), *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=20,
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "src"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{outputs[0]}+changes" if outputs[1] else outputs[0]


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest; empty where there is none.

    Raises:
        DataError: If the file is there and no JSON object.
    """
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read the manifest {path} ({error}); remove it") from error
    if not isinstance(row, dict):
        raise DataError(f"the manifest {path} is no JSON object; remove it")
    return row


def beside(output: Path) -> Path:
    """Return the place of the manifest of a file: "replies.jsonl" -> "replies.manifest.json"."""
    return output.with_name(f"{output.stem}.manifest.json")


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _usable() -> int | None:
    count = getattr(os, "sched_getaffinity", None)
    return len(count(0)) if count else os.cpu_count()


def _threads() -> int | None:
    torch = sys.modules.get("torch")  # not imported for this: what is not used has no threads
    return None if torch is None else int(torch.get_num_threads())


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
