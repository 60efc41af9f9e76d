"""The samples of the corpora, written into a folder."""

from __future__ import annotations

from pathlib import Path

from emotone.data import corpora


def write_sample(name: str, folder: Path) -> Path:
    """Write the sample of a corpus in its official shape."""
    for file, text in corpora.module(name).SAMPLE.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder
