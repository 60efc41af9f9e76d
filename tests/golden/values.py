"""Files and results as JSON that two runs share, and the differences of two such values."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Keys whose values differ between two equal runs, between machines or between commits.
VOLATILE = frozenset(
    {
        "commit",
        "emotone",
        "log_bytes",
        "machine",
        "packages",
        "python",
        "seconds",
        "time",
        "tokens_per_second",
    }
)
#: Keys of a file's size and digest where the file itself holds timings.
OF_FILES = frozenset({"bytes", "sha256"})


def plain(value: Any) -> Any:
    """Leave out what differs between equal runs, at any depth."""
    if isinstance(value, dict):
        return {
            key: plain(part)
            for key, part in value.items()
            if key not in VOLATILE and not key.endswith("_seconds")
        }
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value


def without_files(value: Any) -> Any:
    """Leave out sizes and digests of files too."""
    if isinstance(value, dict):
        return {key: without_files(part) for key, part in value.items() if key not in OF_FILES}
    if isinstance(value, list):
        return [without_files(part) for part in value]
    return value


def digest(data: bytes | str) -> str:
    """Return the sha256 of a text or of bytes."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:32]


def tensors(path: Path) -> dict[str, Any]:
    """Digest names, types, shapes and bytes of a safetensors file; its metadata stands apart."""
    import torch
    from safetensors import safe_open

    total = hashlib.sha256()
    square = 0.0
    with safe_open(path, "pt") as file:
        names = sorted(file.keys())
        for name in names:
            value = file.get_tensor(name)
            total.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            total.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            if value.is_floating_point():
                square += float(value.double().square().sum())
        metadata = file.metadata() or {}
    return {
        "tensors": len(names),
        "tensors_sha256": total.hexdigest()[:32],
        "norm": math.sqrt(square),
        "metadata": {key: _metadata(text) for key, text in sorted(metadata.items())},
    }


def file_value(path: Path) -> Any:
    """Return a file as a value: JSON without timings, digests of tensors and of other texts."""
    if path.suffix == ".safetensors":
        return tensors(path)
    if path.suffix == ".json":
        return shortened(plain(json.loads(path.read_text(encoding="utf-8"))), 800)
    if path.suffix == ".toml":
        return shortened(plain(tomllib.loads(path.read_text(encoding="utf-8"))), 800)
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines()
        return shortened([plain(json.loads(line)) for line in lines], 10_000)
    return digest(path.read_bytes())


def folder_values(folder: str | Path) -> dict[str, Any]:
    """Return every file of a folder by its relative name."""
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): file_value(path) for path in files}


def shortened(value: Any, limit: int) -> Any:
    """Put a digest in place of a long value, part by part, so that the file stays small."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(text) <= limit:
        return value
    if isinstance(value, dict) and len(value) * 40 < limit:
        return {key: shortened(part, limit // 2) for key, part in value.items()}
    return {"length": len(value), "sha256": digest(text)}


def differences(old: Any, new: Any, tolerance: float, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place of each difference, and both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if tolerance and key in ("sha256", "tensors_sha256") and "norm" in {*old, *new}:
                continue  # the norm beside it is compared instead
            place = f"{at}.{key}" if at else key
            if key not in old:
                yield place, f"is new: {_short(new[key])}"
            elif key not in new:
                yield place, f"is gone, was: {_short(old[key])}"
            else:
                yield from differences(old[key], new[key], tolerance, place)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{at}[]", f"{len(old)} parts then, {len(new)} now"
        for i, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, tolerance, f"{at}[{i}]")
    elif not _equal(old, new, tolerance):
        yield at, f"{_short(old)} then, {_short(new)} now"


def _equal(old: Any, new: Any, tolerance: float) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        if old == new or (math.isnan(old) and math.isnan(new)):
            return True
        return abs(old - new) <= tolerance * max(1.0, abs(old))
    return type(old) is type(new) and old == new


def _metadata(text: str) -> Any:
    try:
        return shortened(plain(json.loads(text)), 3000)
    except json.JSONDecodeError:
        return text if len(text) < 200 else digest(text)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:157]}..."
