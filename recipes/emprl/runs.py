"""The trained stages on disk, and the dialogues that they are compared on.

A run is one training, a folder `<name>-s<seed>` such as `t5-small-s1`; in it every stage has a
folder that answers: `supervised`, `ppo`, `rloo`. The stages of one name and several seeds are one
row.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.errors import DataError
from emotone.files import sha256
from emotone.systems.emprl.folder import FILE, read_card
from emotone.types import Decoding, Example

#: Stages that are compared, in the order of the tables; "plain" is a chat model as it is.
STAGES = ("plain", "supervised", "ppo", "rloo", "grpo")
#: Dialogues that are answered, chosen with a seed of their own.
CONTEXTS = 300
DRAW = 2408
#: Seeds of row i are `STRIDE * sampling + i`.
STRIDE = 100_000

#: How replies are sampled, as in training.
#: Source: the released code of EmpRL (arXiv 2408.02976): top-k 20, temperature 0.9, 30 tokens, and
#: at least 5 in roll-outs.
DECODING = Decoding(
    "sample",
    temperature=0.9,
    top_p=1.0,
    top_k=20,
    min_tokens=5,
    max_tokens=30,
    repetition_penalty=1.0,
    no_repeat=0,
)

_RUN = re.compile(r"(.+)-s(\d+)")


@dataclass(frozen=True, slots=True)
class Stage:
    """One trained model.

    Args:
        name: Of the runs, such as "t5-small".
        seed: Of the training; 0 for a model as it is.
        stage: One of `STAGES`.
        model: What `systems.emprl.load` takes: a folder, or a catalogue name.
    """

    name: str
    seed: int
    stage: str
    model: str

    @property
    def row(self) -> str:
        """Name of its row."""
        return f"{self.name}-{self.stage}"

    @property
    def title(self) -> str:
        """Name of its folder of results."""
        return f"{self.name}-s{self.seed}-{self.stage}"


def find(folder: Path) -> list[Stage]:
    """List the chat models that runs adapt, as they are, and the finished stages of all runs.

    Raises:
        DataError: If there is none.
    """
    finished: list[Stage] = []
    plain: dict[str, Stage] = {}
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        match = _RUN.fullmatch(place.name)
        if match is None:
            continue
        for stage in (s for s in STAGES if (place / s / FILE).is_file()):
            finished.append(Stage(match[1], int(match[2]), stage, str(place / stage)))
            if base := read_card(place / stage).base:
                plain.setdefault(match[1], Stage(match[1], 0, "plain", base))
    if not finished:
        raise DataError(
            f"{folder} holds no finished stage; a run is a folder such as t5-small-s1 with"
            f" supervised/{FILE}"
        )
    return [*plain.values(), *finished]


def dialogues(path: Path, count: int = CONTEXTS) -> list[Example]:
    """Choose one turn of each of `count` conversations at random, in the file's order.

    Args:
        path: Examples with replies, `emotone data prepare empathetic_dialogues --split valid`.
        count: How many conversations.

    Raises:
        DataError: If the file is of the test part, or has no reply.
    """
    examples = [e for e in read_file(path, Problems("raise")) if e.reply and e.reply.strip()]
    if any(e.id.startswith("test-") for e in examples):
        raise DataError(f"{path.name} holds the test part; compare on the validation part")
    turns: dict[str, list[Example]] = {}
    for example in examples:
        turns.setdefault(example.id.rpartition("-")[0], []).append(example)
    draw = np.random.default_rng(DRAW)
    names = list(turns)
    chosen = sorted(draw.permutation(len(names))[:count])
    picked = [turns[names[i]][int(draw.integers(len(turns[names[i]])))] for i in chosen]
    # No emotion is requested: the corpus labels the speaker's.
    return [dataclasses.replace(e, emotion=None) for e in picked]


def identity(stage: Stage, examples: Sequence[Example]) -> dict[str, Any]:
    """Return what a stage's replies depend on, so that old replies are not taken for new ones."""
    folder = Path(stage.model)
    weights = {p.name: sha256(p) for p in sorted(folder.glob("*.safetensors"))}
    texts = "\n".join(
        "\n".join([e.id, *(p.text for p in e.dialogue.posts), e.reply or ""]) for e in examples
    )
    return {
        "model": folder.name if weights else stage.model,
        "weights": weights,
        "dialogues": hashlib.sha256(texts.encode()).hexdigest(),
        "decoding": dataclasses.asdict(DECODING),
    }
