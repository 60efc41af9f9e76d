"""Which checkpoint a run goes on from."""

from __future__ import annotations

from pathlib import Path

from emotone.errors import ConfigError
from emotone.training import checkpoint as checkpoints
from emotone.training.log import note


def resumed_from(resume: str, folder: Path) -> Path | None:
    """Find the checkpoint to go on from.

    Args:
        resume: "auto", "never" or the path of a checkpoint.
        folder: Folder of the run's checkpoints.

    Returns:
        Its folder, every byte verified; None to begin anew.

    Raises:
        ConfigError: If it is of another run, or "never" would leave two runs in one folder.
        CheckpointError: If it, or every one there is, is damaged.
    """
    if resume == "auto":
        place = checkpoints.newest(folder, note)
        if place is not None:
            note(f"going on from {place}")
        return place
    if resume == "never":
        if checkpoints.steps(folder):
            raise ConfigError(
                f"{folder} holds the checkpoints of a run; resume with auto, or remove it to begin"
                " anew"
            )
        return None
    place = Path(resume)
    if place.resolve().parent != folder.resolve() or not place.is_dir():
        raise ConfigError(
            f"training: resume is {resume!r}; use auto, never or a checkpoint in {folder}"
        )
    checkpoints.verify(place)
    return place
