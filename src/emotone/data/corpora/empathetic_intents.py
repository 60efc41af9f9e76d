"""EmpatheticIntents: EmpatheticDialogues with a label on each turn, one conversation a JSON line.

The labels are a classifier's: one of the 32 emotions, of 8 intents of a listener, or neutral.

Source: Welivita and Pu 2020; anuradha1992/EmpatheticIntents.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import array, member, named, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.json_stream import json_line
from emotone.data.reading import Problems, filled_lines
from emotone.emotions import INTENTS
from emotone.errors import DataError
from emotone.types import Example

CORPUS = Corpus(
    name="empathetic_intents",
    title="EmpatheticDialogues with an emotion or intent on each turn",
    langs=("en",),
    taxonomies=(INTENTS,),
    licence="text CC BY-NC 4.0, labels none stated; from anuradha1992/EmpatheticIntents",
    files={"all": ("empathetic_intents_annotated.jsonl", "*.jsonl")},
    note="each turn of the listener, in the emotion or intent that a classifier gave",
)

SAMPLE = {
    "intents.jsonl": """{"conv_id": "hit:0_conv:0", "split": "train", "context": "sad", \
"situation": "My plant died.", "situation_label": "sad", "turns": [\
{"actor": "speaker", "text": "My plant died.", "label": "sad"}, \
{"actor": "listener", "text": "Oh no, what happened?", "label": "questioning"}, \
{"actor": "speaker", "text": "I forgot to water it.", "label": "guilty"}, \
{"actor": "listener", "text": "That happens to all of us.", "label": "consoling"}]}
"""
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each turn of a listener."""
    for _, path in find(CORPUS, where, split):
        for line, content in filled_lines(path, problems):
            with problems.at(path, line):
                row = json_line(content)
                name = text(member(row, "conv_id"), "conv_id")
                part = text(member(row, "split"), "split")
                turns = [_turn(turn) for turn in array(member(row, "turns"), "turns")]
                name = f"{part}-{name}"
                yield from answers(turns, name, "en", only=["listener"], problems=problems)


def _turn(value: Any) -> Turn:
    actor = member(value, "actor", "a turn")
    if actor not in ("speaker", "listener"):
        raise DataError(f"actor is {actor!r}; use 'speaker' or 'listener'")
    turn_text = text(member(value, "text", "a turn"), "the text of a turn")
    return Turn(actor, turn_text, named(member(value, "label", "a turn"), INTENTS))
