"""Which prompts a step answers."""

from __future__ import annotations

import numpy as np

from emotone.training.seeding import seed_for


def chosen(count: int, wanted: int, seed: int, step: int) -> np.ndarray:
    """Choose the prompts of a step, without replacement.

    Each epoch is a new order of all prompts, cut into steps. What is left at its end is too little
    for a step and is left out, so that no step answers a prompt twice.

    Args:
        count: Prompts there are, N >= wanted.
        wanted: Prompts of a step.
        seed: Seed of the run.
        step: Number of the step, from 0.

    Returns:
        Row indices, [wanted].
    """
    epoch, place = divmod(step, count // wanted)
    order = np.random.default_rng(seed_for(seed, "prompts", epoch)).permutation(count)
    return order[place * wanted : (place + 1) * wanted]
