"""What rows and columns of the pages are called."""

from __future__ import annotations

from collections.abc import Mapping

from emotone.types import MECHANISMS
from recipes.compare import table as compare
from recipes.compare.table import Column
from recipes.emprl.rows import CONSTANT, PEOPLE, SHUFFLED

#: Name of runs -> what they are of.
MODELS = {
    "t5-small": "small T5",
    "smollm2": "SmolLM2-135M",
    "t5-base": "T5-base",
}
STAGES = {
    "plain": "as it is",
    "supervised": "supervised",
    "ppo": "PPO",
    "rloo": "RLOO",
    "grpo": "GRPO",
}
FLOORS = {
    PEOPLE: "People",
    SHUFFLED: "People's replies to other dialogues",
    CONSTANT: "Always the same reply",
}
COLUMNS: Mapping[str, Column] = {
    **compare.COLUMNS,
    "emp_f1": ("Emp-F1 ↑", 3, 1),
    "emp_macro_f1": ("macro-F1 ↑", 3, 1),
    "emp_accuracy": ("accuracy ↑", 3, 1),
    **{f"emp_f1_{m}": (f"F1, {m}", 3, 1) for m in MECHANISMS},
    **{f"emp_macro_f1_{m}": (f"macro-F1, {m}", 3, 1) for m in MECHANISMS},
    "bits_per_character": ("bits per character ↓", 3, 1),
    "similarity_post": ("similarity to last post", 3, 1),
}
#: Why a run ended.
STOPPED = {
    "steps": "it ran all its steps",
    "patience": "it was stopped because the held-out reward no longer rose",
    "": "why it stopped is not known",
}
#: Kinds of `recipes.emprl.hacks`.
TRICKS = {
    "reference": "a person's reply, the reference",
    "sensible": "another sensible reply",
    "constant": "the same sorry question for all",
    "constant, glad": "the same glad question for all",
    "repeated": "the reference's last sentence five times",
    "repeated, sorry": "“so sorry” five times",
    "empty": "nothing",
    "signs": "signs alone",
    "copied": "the context, copied",
    "copied and asked": "the context twice, with a question mark",
    "long": "a sensible reply and 70 words for all",
}


def title(row: str, same_for_all: str = "") -> str:
    """Name a row such as "t5-small-ppo"."""
    if row in FLOORS:
        return f"{FLOORS[row]} (“{same_for_all}”)" if row == CONSTANT else FLOORS[row]
    name, _, stage = row.rpartition("-")
    return f"{MODELS.get(name, name)}, {STAGES.get(stage, stage)}"
