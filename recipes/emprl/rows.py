"""The rows that are compared: trained stages, and floors that no model wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from emotone.evaluation.likelihoods import NATS, read_likelihoods
from emotone.evaluation.records import read_replies_files
from emotone.types import Example
from recipes.compare.rows import Row, row_of_texts
from recipes.emprl.answer import replies_file
from recipes.emprl.runs import STAGES, Stage

#: Rows without a model: people's own replies, those dealt to other dialogues, and one for all.
PEOPLE, SHUFFLED, CONSTANT = "people", "people-shuffled", "constant"
SAME_FOR_ALL = "I'm so sorry to hear that. What happened?"


def rows_of(stages: Sequence[Stage], out: Path, samplings: int) -> dict[str, Row]:
    """Read the rows of the stages that were answered."""
    rows: dict[str, Row] = {}
    for stage in stages:
        folder = out / stage.title
        files = [folder / replies_file(k) for k in range(1, samplings + 1)]
        if not all(path.is_file() for path in (*files, folder / NATS)):
            print(f"{stage.title} is not answered yet; it is left out")
            continue
        row = rows.get(stage.row, Row())
        rows[stage.row] = Row(
            {**row.replies, stage.seed: [read_replies_files([f]) for f in files]},
            {**row.likelihoods, stage.seed: read_likelihoods(folder / NATS)},
        )
    return rows


def floors(examples: Sequence[Example]) -> dict[str, Row]:
    """Rows that no model wrote."""
    replies = [e.reply or "" for e in examples]
    half = len(replies) // 2
    texts = {
        PEOPLE: replies,
        # Each reply goes to the dialogue half a list away, so none stays where it was.
        SHUFFLED: replies[half:] + replies[:half],
        CONSTANT: [SAME_FOR_ALL] * len(replies),
    }
    return {name: row_of_texts(examples, of_row, name) for name, of_row in texts.items()}


def contrasts(rows: Mapping[str, Row]) -> list[tuple[str, str]]:
    """Rows to compare: every stage with the supervised one, and PPO with RLOO."""
    parts = [row.rpartition("-") for row in rows]
    names = dict.fromkeys(name for name, _, stage in parts if stage in STAGES)
    pairs = [(stage, "supervised") for stage in STAGES if stage != "supervised"] + [("ppo", "rloo")]
    return [
        (f"{name}-{a}", f"{name}-{b}")
        for name in names
        for a, b in pairs
        if f"{name}-{a}" in rows and f"{name}-{b}" in rows
    ]
