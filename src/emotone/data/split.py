"""Examples to learn from, and others to choose by: of two files, or of one that is parted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from emotone.data.text import text_key
from emotone.files import sha256
from emotone.types import Example


def train_and_dev(
    train: Path,
    dev: Path | None,
    read: Callable[[Path], list[Example]],
    *,
    share: float,
    text_of: Callable[[Example], str],
) -> tuple[list[Example], list[Example], dict[str, str]]:
    """Read training and development examples.

    Args:
        train: File of training examples.
        dev: File of development examples; None takes a share of the training file.
        read: Reads a file.
        share: Share of development data, where no file of it is named.
        text_of: What decides on which side an example is: all with one text are on one side.

    Returns:
        Training examples, development examples, and "train" and "dev" -> sha256 of the file.
    """
    examples, hashes = read(train), {"train": sha256(train)}
    if dev is not None:
        return examples, read(dev), {**hashes, "dev": sha256(dev)}
    apart = [_is_dev(text_of(example), share) for example in examples]
    return (
        [example for example, is_dev in zip(examples, apart, strict=True) if not is_dev],
        [example for example, is_dev in zip(examples, apart, strict=True) if is_dev],
        hashes,
    )


def _is_dev(text: str, share: float) -> bool:
    number = int.from_bytes(hashlib.sha256(text_key(text).encode()).digest()[:4], "big")
    return number < share * 2**32
