"""What shows that a reply games the reward: repetition, copies, one reply for everybody, length.

The guards of the reward (`RewardSettings`) take off for these signs; they are logged in any case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emotone.errors import DataError

#: Words in the n-grams of `repetition`, and in those of `copied` and `common`.
REPEATED = 2
SHARED = 3

Words = Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Signs:
    """What the guards look at, one number a reply, each [B]; see `signs_of`.

    Args:
        words: Words.
        repetition: Share of word pairs that stood before in the same reply.
        copied: Share of runs of three words that are in the context too.
        common: Share of the other dialogues that were given the same run of three words, mean
            over the reply's runs.
        empty: Whether there is no word.
    """

    words: np.ndarray
    repetition: np.ndarray
    copied: np.ndarray
    common: np.ndarray
    empty: np.ndarray


def signs_of(
    replies: Sequence[Words], contexts: Sequence[Words], dialogues: Sequence[int] | None = None
) -> Signs:
    """Look at replies as lists of words.

    Args:
        replies: Words of each reply; B of them, any of them empty.
        contexts: Words of the context of each, B of them.
        dialogues: Which dialogue each reply answers, so that several replies to one dialogue are
            not held against one another; None for one dialogue each.

    Raises:
        DataError: If the lists are not of one length.
    """
    dialogues = range(len(replies)) if dialogues is None else dialogues
    if not len(replies) == len(contexts) == len(dialogues):
        raise DataError(
            f"{len(contexts)} contexts and {len(dialogues)} dialogues came for {len(replies)} "
            "replies; give one each"
        )
    runs = [set(_runs(reply, SHARED)) for reply in replies]
    return Signs(
        np.array([len(reply) for reply in replies], np.float64),
        np.array([_repetition(reply) for reply in replies], np.float64),
        np.array([_copied(r, set(_runs(c, SHARED))) for r, c in zip(runs, contexts, strict=True)]),
        _common(runs, dialogues),
        np.array([not reply for reply in replies], np.float64),
    )


def _runs(words: Words, n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[j:] for j in range(n)), strict=False)


def _repetition(words: Words) -> float:
    total = max(0, len(words) - REPEATED + 1)
    return 1 - len(set(_runs(words, REPEATED))) / total if total else 0.0


def _copied(reply: set[tuple[str, ...]], context: set[tuple[str, ...]]) -> float:
    return len(reply & context) / len(reply) if reply else 0.0


def _common(replies: Sequence[set[tuple[str, ...]]], dialogues: Sequence[int]) -> np.ndarray:
    """Mean over a reply's runs of the share of other dialogues that got the run, [B]."""
    of_dialogue: dict[int, set[tuple[str, ...]]] = {}
    for runs, dialogue in zip(replies, dialogues, strict=True):
        of_dialogue.setdefault(dialogue, set()).update(runs)
    others = len(of_dialogue) - 1
    counts = Counter(run for runs in of_dialogue.values() for run in runs)
    if not others:
        return np.zeros(len(replies))
    # A reply's own dialogue holds all of its runs, which is the one that is taken off.
    return np.array(
        [
            sum(counts[run] - 1 for run in runs) / (others * len(runs)) if runs else 0.0
            for runs in replies
        ]
    )
