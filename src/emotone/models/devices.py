"""Where a model runs: the names of devices, and whether one is here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emotone.errors import Unsupported, unknown_name

if TYPE_CHECKING:
    import torch


def check_name(name: str) -> None:
    """Refuse what is not the name of a device.

    Apart from `place`, so that a slip is reported before torch is loaded or weights are fetched.

    Raises:
        UnknownName: If it is not the name of a device.
    """
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:[0-9]+)?", name):
        raise unknown_name("device", name, ("auto", "cpu", "cuda", "cuda:0", "mps"))


def place(name: str) -> torch.device:
    """Return the device of a checked name; "auto" takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        Unsupported: If this machine has no such device.
    """
    import torch

    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if has_cuda else "mps" if has_mps else "cpu"
    kind, _, number = name.partition(":")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(has_mps)}[kind]
    if int(number or 0) >= count:
        raise Unsupported(f"device {name!r} is not on this machine; use auto or cpu")
    return torch.device(name)
