"""EmpRL's prepared EmpatheticDialogues: context and response, with empathy levels where labelled.

Records `{"input", "output"}` (sft), with `emotional_reactions`, `explorations` and
`interpretations` of 0, 1 or 2 in sft_addlabel; a JSON array, or one record a line.

Source: butterfliesss/EmpRL, run_dialogue.py and its data folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import mapping, member, text, whole
from emotone.data.corpus import Corpus, find
from emotone.data.formats.json_stream import json_items
from emotone.data.reading import Problems
from emotone.types import Dialogue, EmpathyLevels, Example

CORPUS = Corpus(
    name="emprl",
    title="contexts and responses as EmpRL trains on them, with empathy levels",
    langs=("en",),
    taxonomies=(),
    licence="EmpatheticDialogues CC BY-NC 4.0; prepared by butterfliesss/EmpRL",
    files={
        f"{kind}-{split}": tuple(
            f"{kind}/{name}.{end}" for name in spellings for end in ("json", "jsonl")
        )
        for kind in ("sft", "sft_addlabel")
        for split, spellings in (
            ("train", ("train",)),
            ("valid", ("valid", "validation", "dev")),
            ("test", ("test",)),
        )
    },
    default=("sft-train", "sft-valid", "sft-test"),
    note="the context is one post, as EmpRL gives it to its encoder; sft_addlabel holds pairs of "
    "sft again, with levels",
)

SAMPLE = {
    "sft/train.json": '[{"input": "I lost my ring.", "output": "Oh no, where?"},\n'
    ' {"input": "My son won.", "output": "You must be proud!"}]\n',
    "sft_addlabel/train.json": '[{"input": "I lost my ring.", "output": "Oh no, where?",\n'
    '  "emotional_reactions": 1, "explorations": 2, "interpretations": 0}]\n',
}

_LEVELS = {
    "reaction": "emotional_reactions",
    "interpretation": "interpretations",
    "exploration": "explorations",
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a record."""
    for part, path in find(CORPUS, where, split):
        for number, item in enumerate(json_items(path, problems, objects=True), 1):
            row = item.value
            with problems.at(path, item.place):
                yield Example(
                    f"{part}-{number}",
                    Dialogue.of(text(member(row, "input"), "input")),
                    reply=text(member(row, "output"), "output"),
                    empathy=_levels(row),
                )


def _levels(row: Any) -> EmpathyLevels | None:
    given = mapping(row, "the record")
    if not any(key in given for key in _LEVELS.values()):
        return None
    return EmpathyLevels(**{ours: whole(member(row, key), key) for ours, key in _LEVELS.items()})
