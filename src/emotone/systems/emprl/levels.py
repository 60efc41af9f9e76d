"""The best of several candidates by empathy levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from emotone.protocols import EmpathyReader
from emotone.steering.choose import NO_REPLY
from emotone.types import EmpathyLevels

#: Probabilities below this count as this much in a logarithm.
_FLOOR = 1e-30


def chances(
    identifier: EmpathyReader,
    contexts: Sequence[str],
    candidates: Sequence[Sequence[str]],
    levels: Sequence[EmpathyLevels | None],
) -> list[np.ndarray]:
    """Say how likely each candidate has the levels that its row is asked for.

    Args:
        identifier: Judge of empathy.
        contexts: What each row answers, all posts in one text.
        candidates: Replies of each row.
        levels: What each row is asked for; None for nothing.

    Returns:
        For each row the product over the three mechanisms of the level's probability, one a
        candidate; 0 for a reply without a word, and nothing for a row that asks for nothing.

    Source: the reward of EmpRL (arXiv 2408.02976), for the product.
    """
    found = [
        np.zeros(0 if level is None else len(group))
        for group, level in zip(candidates, levels, strict=True)
    ]
    at = [(i, j) for i, row in enumerate(found) for j in range(len(row))]
    at = [(i, j) for i, j in at if candidates[i][j].strip()]
    if not at:
        return found
    said = identifier.probabilities([(contexts[i], candidates[i][j]) for i, j in at])
    for (i, j), row in zip(at, said, strict=True):
        asked = levels[i]
        if asked is not None:
            wanted = (asked.reaction, asked.interpretation, asked.exploration)
            found[i][j] = np.prod([row[k, level] for k, level in enumerate(wanted)])
    return found


def best(texts: Sequence[str], empathy: np.ndarray, emotion: Tensor | None = None) -> int:
    """Choose the candidate with the largest product of probabilities; of equal ones the first.

    Args:
        texts: The candidates.
        empathy: Probability of the asked levels of each.
        emotion: What the listener hears, in nats, as `steering.choose.emotion_scores` has it; a
            nat of emotion counts as much as a nat of empathy.
    """
    score = np.log(np.maximum(empathy, _FLOOR))
    if emotion is not None:
        score = score + emotion.double().numpy()
    score = np.where([bool(text.strip()) for text in texts], score, NO_REPLY)
    return int(score.argmax())
