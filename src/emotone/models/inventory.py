"""What a model's folder holds: `complete.json` of the cache, and a fingerprint of any folder.

`complete.json` lists the files of a finished model, by which damage is noticed. A folder of the
user's own has none, and is known by a fingerprint that is cheap for weights of any size.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emotone import config, files
from emotone.errors import CheckpointError, ConfigError
from emotone.models.catalog import check_inside

COMPLETE = "complete.json"

#: Raised when conversion changes, so that models converted before are made again.
FORMAT = 1

#: The fingerprint of a folder reads this many blocks of each file, of this size.
_SAMPLES = 64
_SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that a finished model consists of.

    Args:
        name: Path inside the model's folder.
        bytes: Its size.
        sha256: Its checksum, in hex.
    """

    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse a path that leaves the model's folder."""
        check_inside(self.name)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a finished model is made of.

    Args:
        name: Name of the model.
        revision: sha256 of the published weights that it was made from.
        format: Number of the conversion.
        files: Every file of the folder but this list.
    """

    name: str
    revision: str
    format: int
    files: tuple[ListedFile, ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


def write(folder: Path, name: str, revision: str) -> Inventory:
    """List the files of a folder in it; all of it is on the disk afterwards."""
    listed: list[ListedFile] = []
    for path in files.under(folder):
        files.sync_file(path)
        inside = path.relative_to(folder).as_posix()
        listed.append(ListedFile(inside, path.stat().st_size, files.sha256(path)))
    inventory = Inventory(name, revision, FORMAT, tuple(listed))
    path = folder / COMPLETE
    path.write_text(json.dumps(asdict(inventory), indent=1) + "\n", encoding="utf-8")
    files.sync_file(path)
    for inner in [p for p in folder.rglob("*") if p.is_dir()]:
        files.sync_folder(inner)
    files.sync_folder(folder)
    return inventory


def read(folder: Path) -> Inventory | None:
    """Read the list of a model's files.

    Returns:
        The list, or None where there is none, which means that the model was never finished.

    Raises:
        CheckpointError: If it cannot be read.
    """
    path = folder / COMPLETE
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        return config.build(Inventory, values)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, AttributeError, ConfigError) as error:
        raise damaged(folder.name, f"{COMPLETE} cannot be read") from error


def verify(folder: Path, inventory: Inventory) -> None:
    """Check every file against its size and checksum.

    All of it is hashed each time: 0.2 s for 270 MB beside seconds of loading.

    Raises:
        CheckpointError: If a file is missing, cut short or altered.
    """
    for file in inventory.files:
        path = folder / file.name
        try:
            size = path.stat().st_size
            if size != file.bytes:
                raise damaged(inventory.name, f"{file.name} has {size} bytes, not {file.bytes}")
            if files.sha256(path) != file.sha256:
                raise damaged(inventory.name, f"{file.name} was altered since it was made")
        except FileNotFoundError as error:
            raise damaged(inventory.name, f"{file.name} is missing") from error
        except OSError as error:
            problem = f"{file.name} cannot be read: {error.strerror}"
            raise damaged(inventory.name, problem) from error


def damaged(name: str, what: str) -> CheckpointError:
    """Build the error for a model of the cache that is not as it was made."""
    return CheckpointError(
        f"model {name!r} is damaged ({what}); run `emotone models remove {name}`, then"
        f" `emotone models pull {name}`"
    )


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
                f"{str(path)!r} is cut short or not a safetensors file; copy or save it again"
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
