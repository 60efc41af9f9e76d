"""Seeds with names, so that each use of chance has its own and none depends on the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_for(seed: int, purpose: str, *index: int) -> int:
    """Derive a seed that is the same on every machine and in every version of Python.

    Args:
        seed: Seed of the run.
        purpose: What the chance is for, such as "dropout" or "weights".
        index: Which of many, such as the step and the rank.

    Returns:
        A number of 63 bits.
    """
    text = "/".join([str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Let torch's global generators be reseeded inside, and give them back as they were."""
    forked = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked):
        yield


def reseed(seed: int, device: torch.device) -> None:
    """Seed what dropout draws from on a device; only inside `own_randomness`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
