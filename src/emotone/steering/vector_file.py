"""The file of emotion vectors: safetensors in float16, with a JSON header that says what they are.

Tensors `direction.LABEL` [L, d], and `listener.PART`, `sense.PART` and `hearing.PART` where there
are readouts of replies, of their sense and of posts; in the metadata under "emotone" the labels in
order, the card, and a digest of the tensors, by which damage is noticed. Mood adapters have a file
of the same make (`emotone.steering.mood_adapters`), whose metadata say so under "kind".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from emotone.errors import CheckpointError, unknown_name
from emotone.files import replacing
from emotone.models import zoo
from emotone.steering.card import VectorsCard, read_card
from emotone.steering.listen import Listener

_FORMAT = 1
#: What a file may hold.
VECTORS, ADAPTERS = "emotion vectors", "mood adapters"
#: The vector file in a folder of adapters that belong to it.
WITH_ADAPTERS = "vectors.safetensors"
#: The mood adapters there.
MOODS = "moods.safetensors"
_READOUTS = ("listener", "sense", "hearing")
_LISTENER_PARTS = ("weight", "bias", "centre", "scale")


class VectorFile(NamedTuple):
    """What a vector file holds.

    Args:
        directions: Label -> displacement, [L, d].
        card: What they are.
        listener: Reads their emotions off the model's activations, if there is one.
        sense: Reads off them whether a reply makes sense, if there is one.
        hearing: Reads off them what the writer of a post feels, if there is one.
    """

    directions: dict[str, Tensor]
    card: VectorsCard
    listener: Listener | None = None
    sense: Listener | None = None
    hearing: Listener | None = None


class Held(NamedTuple):
    """Tensors of some emotions with what belongs to them, whatever kind they are.

    Args:
        kind: `VECTORS` or `ADAPTERS`.
        labels: The emotions, in order.
        tensors: By name, those of readouts aside.
        card: See `VectorFile`, as for
        listener: this,
        sense: this, and
        hearing: this.
    """

    kind: str
    labels: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    card: VectorsCard
    listener: Listener | None = None
    sense: Listener | None = None
    hearing: Listener | None = None


def write_vector_file(path: Path, contents: VectorFile) -> None:
    """Write vectors, atomically.

    Args:
        path: The file; its folder is made where it does not exist.
        contents: What is written.

    Raises:
        DataError: If the place cannot be written.
    """
    write_held(path, _held(contents))


def read_vector_file(path: Path) -> VectorFile:
    """Read what `write_vector_file` wrote; directions in float32.

    Raises:
        CheckpointError: If the file is missing, truncated, altered or of another kind.
    """
    held = read_held(path, VECTORS, lambda labels: {f"direction.{label}" for label in labels})
    directions = {label: held.tensors[f"direction.{label}"].float() for label in held.labels}
    return VectorFile(directions, held.card, held.listener, held.sense, held.hearing)


def write_held(path: Path, held: Held) -> None:
    """Write tensors with their card and readouts, atomically; see `write_vector_file`."""
    from safetensors.torch import save

    tensors = _all_tensors(held)
    header = {
        "format": _FORMAT,
        "labels": list(held.labels),
        **{
            name: None if readout is None else {"labels": readout.labels, "block": readout.block}
            for name, readout in _readouts(held).items()
        },
        "digest": _digest(tensors),
        "card": dataclasses.asdict(held.card),
    }
    if held.kind != VECTORS:  # whose files were there before other kinds
        header["kind"] = held.kind
    blob = save(tensors, {"emotone": json.dumps(header, ensure_ascii=False, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(blob)


def kind_of(path: Path) -> str:
    """Return what a file holds, `VECTORS` where it does not say so or cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as source:
            return str(json.loads((source.metadata() or {})["emotone"]).get("kind", VECTORS))
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError):
        return VECTORS


def read_held(path: Path, kind: str, names: Callable[[Sequence[str]], Collection[str]]) -> Held:
    """Read what `write_held` wrote, in the type of the file.

    Args:
        path: The file.
        kind: What it is to hold.
        names: Labels -> names of the tensors that there are to be; nothing there allows any.

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
        labels = tuple(str(label) for label in header["labels"])
        card = read_card(header["card"])
        intact = header["digest"] == _digest(tensors) and header["format"] == _FORMAT
        found = str(header.get("kind", VECTORS))
        readouts = {
            name: _readout(name, header[name], tensors)
            for name in _READOUTS
            if header.get(name) is not None
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not an emotion vector file of this version ({error!r}); "
            "extract vectors again with `emotone vectors extract`"
        ) from error
    if found != kind:
        raise CheckpointError(f"{path} holds {found}, not {kind}; name a file of these")
    of_readouts = {f"{name}.{part}" for name in readouts for part in _LISTENER_PARTS}
    own = {name: tensor for name, tensor in tensors.items() if name not in of_readouts}
    if not intact or not of_readouts <= set(tensors) or set(own) != set(names(labels) or own):
        raise CheckpointError(
            f"the vector file {path} was altered: its contents do not match its digest; "
            "fetch or extract it again"
        )
    return Held(found, labels, own, card, **readouts)


def digest_held(held: Held) -> str:
    """Return the digest that a file has: sha256 in hex, without the card."""
    return _digest(_all_tensors(held))


def digest_vectors(contents: VectorFile) -> str:
    """Return the digest that a file of these vectors has: sha256 in hex, without their card."""
    return digest_held(_held(contents))


def shipped_names() -> list[str]:
    """List the vector files that come with us; a folder holds adapters beside its file.

    Those for models with terms of their own are in the zoo.
    """
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
    ours = {path.parent.name: path for path in folder.glob(f"*/{WITH_ADAPTERS}")}
    of_zoo = {
        name: zoo.folder("companions", name) / WITH_ADAPTERS for name in zoo.listed("companions")
    }
    return alone | ours | of_zoo


def _held(contents: VectorFile) -> Held:
    """Name the tensors of vectors; float16 rounds far below their noise."""
    tensors = {
        f"direction.{label}": value.to(torch.float16)
        for label, value in contents.directions.items()
    }
    labels = tuple(contents.directions)
    readouts = {name: getattr(contents, name) for name in _READOUTS}
    return Held(VECTORS, labels, tensors, contents.card, **readouts)


def _readouts(held: Held) -> dict[str, Listener | None]:
    return {name: getattr(held, name) for name in _READOUTS}


def _all_tensors(held: Held) -> dict[str, Tensor]:
    tensors = {name: tensor.contiguous() for name, tensor in held.tensors.items()}
    for name, readout in _readouts(held).items():
        if readout is not None:
            for part in _LISTENER_PARTS:
                tensors[f"{name}.{part}"] = getattr(readout, part).float().contiguous()
    return tensors


def _readout(name: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Listener:
    parts = {part: tensors[f"{name}.{part}"] for part in _LISTENER_PARTS}
    return Listener(tuple(header["labels"]), int(header["block"]), **parts)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
