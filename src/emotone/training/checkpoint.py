"""Checkpoints that are whole or not there, and are read only when every byte is as written.

`checkpoints/step-00000400/` holds model.safetensors, optimizer.safetensors, state.json, maybe
best.safetensors, and complete.json with size and sha256 of the others. It is written under another
name in the same folder, to the disk, and then renamed; a power cut leaves the old ones or both.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from emotone.errors import CheckpointError, RunError
from emotone.files import remove, sha256, sync_file, sync_folder
from emotone.training.sharding import cut_like, whole

MODEL, OPTIMIZER, BEST = "model.safetensors", "optimizer.safetensors", "best.safetensors"
STATE, MARKER = "state.json", "complete.json"
_NAME = re.compile(r"step-(\d{8,})")


def name(step: int) -> str:
    """Name the folder of a step."""
    return f"step-{step:08d}"


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and buffers, where they are; tied ones once, by their first name."""
    named: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            named[key] = value
    return named


def copied(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, whole; of those that are cut, all processes must ask at once."""
    return {k: whole(v).to("cpu", copy=True).contiguous() for k, v in values.items()}


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Copy a model's parameters and buffers to the CPU, as `tensors` names them."""
    return copied(tensors(model))


@torch.no_grad()
def put(own: Mapping[str, Tensor], values: Mapping[str, Tensor], where: str) -> None:
    """Give tensors the values that `copied` took.

    Raises:
        CheckpointError: If names or shapes are those of another model.
    """
    for key in sorted({*own, *values}):
        if key not in own or key not in values or own[key].shape != values[key].shape:
            raise CheckpointError(
                f"{where} is of another model ({key!r} differs); resume with the settings the run"
                " began with"
            )
    for key, tensor in own.items():
        tensor.copy_(cut_like(values[key], tensor))


def save(
    folder: Path,
    step: int,
    *,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    best: Mapping[str, Tensor] | None,
    state: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write a checkpoint, then remove what is not needed any more.

    Args:
        folder: Folder of all checkpoints of the run.
        step: Steps made.
        model: Weights, on the CPU.
        optimizer: The optimiser's tensors, on the CPU.
        best: Weights of the best evaluation; None when there was none or `model` holds them.
        state: All else, of values that JSON has.
        keep: How many checkpoints stay. Those of later steps go, as the run has left them.

    Raises:
        RunError: If the folder cannot be written.
    """
    place = folder / name(step)
    with writing(place):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):
            remove(left)
        part = folder / f".{place.name}.{os.getpid()}.part"
        part.mkdir()
        try:
            _fill(part, model, optimizer, best, state)
            if place.exists():  # damaged, or the run was resumed from an earlier one
                os.replace(place, folder / f".{place.name}.old.part")
            os.replace(part, place)
            sync_folder(folder)
        except BaseException:
            # The error of the writing is what is raised, whether or not this can be cleared.
            _try_remove(part)
            raise
        for old in _unneeded(folder, step, keep):
            remove(old)
        for left in folder.glob(".*.part"):
            remove(left)
    return place


def steps(folder: Path) -> list[Path]:
    """List the checkpoints by name, newest first, whether whole or not."""
    places = folder.iterdir() if folder.is_dir() else ()
    return sorted(filter(_is_checkpoint, places), key=_step, reverse=True)


def verify(place: Path) -> None:
    """Read every file of a checkpoint and compare it with what was written.

    Raises:
        CheckpointError: If a file is missing or differs; it names the file.
    """
    marker = _json(place / MARKER)
    files = marker.get("files")
    if not isinstance(files, dict) or not {MODEL, OPTIMIZER, STATE} <= files.keys():
        raise _damaged(place / MARKER, "it does not list the files")
    for file, written in files.items():
        path = place / file
        try:
            right = path.stat().st_size == written["bytes"] and sha256(path) == written["sha256"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _damaged(path, str(error)) from error
        if not right:
            raise _damaged(path, "its bytes are not those that were written")


def newest(folder: Path, note: Callable[[str], None]) -> Path | None:
    """Find the newest whole checkpoint.

    Args:
        folder: Folder of the checkpoints.
        note: Called with a sentence on each damaged one that is passed over.

    Returns:
        Its folder; None when there is no checkpoint at all.

    Raises:
        CheckpointError: If there are checkpoints and all of them are damaged.
    """
    first: CheckpointError | None = None
    for place in steps(folder):
        try:
            verify(place)
        except CheckpointError as error:
            note(f"passed over a damaged checkpoint: {error}")
            first = first or error
        else:
            return place
    if first is not None:
        raise CheckpointError(
            f"no checkpoint in {folder} is whole; remove the folder to start anew"
        ) from first
    return None


def read_state(place: Path) -> dict[str, Any]:
    """Read state.json of a checkpoint that was verified."""
    return _json(place / STATE)


def read_tensors(place: Path, file: str) -> dict[str, Tensor]:
    """Read a file of tensors of a checkpoint that was verified, to the CPU.

    Raises:
        CheckpointError: If it cannot be read.
    """
    try:
        return load_file(place / file)
    except (OSError, SafetensorError, ValueError) as error:
        raise _damaged(place / file, str(error)) from error


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what the disk says into one sentence.

    Raises:
        RunError: If a file could not be written.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RunError(
            f"cannot write {place} ({reason}); free space there or name another folder"
        ) from error


def _fill(
    part: Path,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    best: Mapping[str, Tensor] | None,
    state: Mapping[str, Any],
) -> None:
    save_file(dict(model), part / MODEL)
    save_file(dict(optimizer), part / OPTIMIZER)
    if best is not None:
        save_file(dict(best), part / BEST)
    (part / STATE).write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
    files = {}
    for path in sorted(part.iterdir()):
        sync_file(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    (part / MARKER).write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
    sync_file(part / MARKER)
    sync_folder(part)


def _unneeded(folder: Path, step: int, keep: int) -> list[Path]:
    places = steps(folder)
    past = [p for p in places if _step(p) <= step]
    return [p for p in places if p not in past] + past[keep:]


def _is_checkpoint(place: Path) -> bool:
    return _NAME.fullmatch(place.name) is not None


def _step(place: Path) -> int:
    match = _NAME.fullmatch(place.name)
    return int(match[1]) if match else -1


def _try_remove(path: Path) -> None:
    try:
        remove(path)
    except OSError:
        return


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(value, dict):
        raise _damaged(path, "it is not a JSON object")
    return value


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged ({' '.join(why.split())}); resume from another checkpoint"
    )
