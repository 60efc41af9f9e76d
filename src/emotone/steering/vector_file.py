"""The file of emotion vectors: safetensors in float16, with a JSON header that says what they are.

Tensors `direction.LABEL` [L, d], and `listener.PART` where there is a listener; in the metadata
under "emotone" the labels in order, the card, and a digest of the tensors, by which damage is
noticed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emotone.errors import CheckpointError, unknown_name
from emotone.files import replacing
from emotone.steering.card import VectorsCard, read_card
from emotone.steering.listen import Listener

_FORMAT = 1
#: The vector file in a folder of adapters that belong to it.
WITH_ADAPTERS = "vectors.safetensors"
_LISTENER_PARTS = ("weight", "bias", "centre", "scale")


def write_vector_file(
    path: Path, directions: Mapping[str, Tensor], card: VectorsCard, listener: Listener | None
) -> None:
    """Write vectors, atomically.

    Args:
        path: The file; its folder is made where it does not exist.
        directions: Label -> displacement, [L, d].
        card: What they are.
        listener: Their listener, if they have one.

    Raises:
        DataError: If the place cannot be written.
    """
    from safetensors.torch import save

    tensors = _tensors(directions, listener)
    header = {
        "format": _FORMAT,
        "labels": list(directions),
        "listener": None
        if listener is None
        else {"labels": list(listener.labels), "block": listener.block},
        "digest": _digest(tensors),
        "card": dataclasses.asdict(card),
    }
    blob = save(tensors, {"emotone": json.dumps(header, ensure_ascii=False, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(blob)


def read_vector_file(path: Path) -> tuple[dict[str, Tensor], VectorsCard, Listener | None]:
    """Read what `write_vector_file` wrote; directions in float32.

    Raises:
        CheckpointError: If the file is missing, truncated, altered or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as source:
            metadata = source.metadata() or {}
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"cannot read the vector file {path} ({error}); fetch or extract it again"
        ) from error
    try:
        header = json.loads(metadata["emotone"])
        labels = [str(label) for label in header["labels"]]
        card = read_card(header["card"])
        intact = header["digest"] == _digest(tensors) and header["format"] == _FORMAT
        names = {f"direction.{label}" for label in labels}
        listener: Listener | None = None
        if header["listener"] is not None:
            names |= {f"listener.{part}" for part in _LISTENER_PARTS}
            listener = _listener(header["listener"], tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not an emotion vector file of this version ({error!r}); "
            "extract vectors again with `emotone vectors extract`"
        ) from error
    if not intact or set(tensors) != names:
        raise CheckpointError(
            f"the vector file {path} was altered: its contents do not match its digest; "
            "fetch or extract it again"
        )
    return {label: tensors[f"direction.{label}"].float() for label in labels}, card, listener


def digest_vectors(directions: Mapping[str, Tensor], listener: Listener | None) -> str:
    """Return the digest that a file of these vectors has: sha256 in hex, without their card."""
    return _digest(_tensors(directions, listener))


def shipped_names() -> list[str]:
    """List the vector files that come with the package; a folder holds adapters beside its file."""
    return sorted(_shipped())


def shipped_file(name: str) -> Path:
    """Return the path of a vector file that comes with the package.

    Raises:
        UnknownName: If there is none of this name.
    """
    if name not in (shipped := _shipped()):
        raise unknown_name("shipped vector file", name, sorted(shipped))
    return shipped[name]


def _shipped() -> dict[str, Path]:
    folder = Path(str(files("emotone.steering") / "shipped"))
    alone = {path.stem: path for path in folder.glob("*.safetensors")}
    return alone | {path.parent.name: path for path in folder.glob(f"*/{WITH_ADAPTERS}")}


def _tensors(directions: Mapping[str, Tensor], listener: Listener | None) -> dict[str, Tensor]:
    """Return the tensors of a file; directions in float16, which rounds far below their noise."""
    tensors = {
        f"direction.{label}": value.to(torch.float16).contiguous()
        for label, value in directions.items()
    }
    if listener is not None:
        for part in _LISTENER_PARTS:
            tensors[f"listener.{part}"] = getattr(listener, part).float().contiguous()
    return tensors


def _listener(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Listener:
    parts = {part: tensors[f"listener.{part}"] for part in _LISTENER_PARTS}
    return Listener(tuple(header["labels"]), int(header["block"]), **parts)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
