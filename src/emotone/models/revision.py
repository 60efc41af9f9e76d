"""A fingerprint of a model folder that is cheap for weights of any size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from emotone.errors import CheckpointError

_SAMPLES = 64
_SAMPLE_BYTES = 4096


def folder_revision(folder: Path) -> str:
    """Fingerprint a model folder.

    It covers config.json and, of each safetensors file, its name, size, header and blocks spread
    evenly over its data. Training touches all weights, so two models of one shape differ there;
    a single changed number may go unseen.

    Args:
        folder: Folder with config.json and safetensors.

    Returns:
        sha256 in hex.

    Raises:
        CheckpointError: If the folder has pickled weights only, or a file that cannot be read.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise _no_safetensors(folder)
    digest = hashlib.sha256()
    try:
        digest.update((folder / "config.json").read_bytes())
        for path in weights:
            _add(digest, path)
    except OSError as error:
        raise CheckpointError(
            f"model folder {str(folder)!r} cannot be read ({error.strerror}); check its files"
        ) from error
    return digest.hexdigest()


def _add(digest: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    digest.update(f"\0{path.name}\0{size}\0".encode())
    with path.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
        if size < 8 or header > size - 8:
            raise CheckpointError(
                f"{str(path)!r} is cut short or no safetensors file; copy or save it again"
            )
        digest.update(stream.read(header))
        start = 8 + header
        for i in range(_SAMPLES):
            stream.seek(start + (size - start) * i // _SAMPLES, os.SEEK_SET)
            digest.update(stream.read(_SAMPLE_BYTES))


def _no_safetensors(folder: Path) -> CheckpointError:
    pickled = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickled:
        return CheckpointError(
            f"model folder {str(folder)!r} has only pickled weights ({pickled[0].name}), which"
            " could run code of their maker; load them where you trust them and save them with"
            " save_pretrained, which writes safetensors"
        )
    return CheckpointError(
        f"model folder {str(folder)!r} holds no *.safetensors weights; give a folder that was"
        " saved with transformers' save_pretrained"
    )
