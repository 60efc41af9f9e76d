"""What a reply is worth: the empathy levels of the reference, less what games the reward.

The reward of EmpRL is the product over the three mechanisms of the probability that a frozen
identifier gives to the level of the reference reply. It has no other part, and a reply that is
repeated, copied, endless or the same for everybody may earn it. Each guard against that takes
something off and is off by default; what it looks at is logged in any case.

Source: EmpRL (arXiv 2408.02976) and its released code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emotone.errors import ConfigError, DataError
from emotone.rl.types import Scores
from emotone.types import MECHANISMS

#: The communication mechanisms of EPITOME, in the order of an identifier's probabilities.
#: Probabilities below this count as this much in a sum of logarithms.
FLOOR = 1e-4
#: Words in the n-grams of `repetition`, and in those of `copied` and `common`.
REPEATED = 2
SHARED = 3

Words = Sequence[str]


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """What the reward is made of; the defaults are the authors'.

    Args:
        form: "product" of the probabilities of the target levels, or "log", their logarithms'
            sum, which still tells replies apart where one mechanism is missed.
        weights: Exponents of reaction, interpretation and exploration in the product; factors in
            the sum.
        repetition_weight: Taken off a reply all of whose word pairs were there before.
        repetition_limit: Share of repeated word pairs that costs nothing.
        length_weight: Taken off a reply that is as long again as `max_words`, or empty.
        min_words: Shorter replies cost, in proportion to what they lack.
        max_words: Longer replies cost, in proportion to what is too much.
        copy_weight: Taken off a reply all of whose runs of three words stand in the context.
        copy_limit: Share of copied runs that costs nothing.
        common_weight: Taken off a reply that all other dialogues of the batch were given too.
        common_limit: Share of the other dialogues that may be given the same words at no cost.
        emotion_weight: Added for a reply in which a classifier is sure of the asked emotion.

    Source: EmpRL's released code for form and weights; the guards are ours.
    """

    form: Literal["product", "log"] = "product"
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    repetition_weight: float = 0.0
    repetition_limit: float = 0.1
    length_weight: float = 0.0
    min_words: int = 3
    max_words: int = 30
    copy_weight: float = 0.0
    copy_limit: float = 0.2
    common_weight: float = 0.0
    common_limit: float = 0.1
    emotion_weight: float = 0.0

    def __post_init__(self) -> None:
        """Check every range."""
        if self.form not in ("product", "log"):
            raise ConfigError(f"form of the reward is {self.form!r}; use 'product' or 'log'")
        if len(self.weights) != len(MECHANISMS) or min(self.weights) < 0 or not any(self.weights):
            raise ConfigError(
                f"weights of the reward are {self.weights}; give three numbers of 0 or more, one "
                f"for each of {', '.join(MECHANISMS)}, and not all 0"
            )
        for name in ("repetition", "length", "copy", "common", "emotion"):
            value = getattr(self, f"{name}_weight")
            if not value >= 0:
                raise ConfigError(f"{name}_weight is {value}; use a number of 0 or more")
        for name in ("repetition", "copy", "common"):
            value = getattr(self, f"{name}_limit")
            if not 0 <= value < 1:
                raise ConfigError(f"{name}_limit is {value}; use a number from 0 to below 1")
        if not 1 <= self.min_words <= self.max_words:
            raise ConfigError(
                f"min_words is {self.min_words} and max_words {self.max_words}; use 1 or more, "
                "and the second not below the first"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Signs:
    """What the guards look at, one number a reply, each [B]; see `signs_of`.

    Args:
        words: Words.
        repetition: Share of word pairs that stood before in the same reply.
        copied: Share of runs of three words that stand in the context.
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
    said = [set(_runs(reply, SHARED)) for reply in replies]
    return Signs(
        np.array([len(reply) for reply in replies], np.float64),
        np.array([_repetition(reply) for reply in replies], np.float64),
        np.array([_copied(r, set(_runs(c, SHARED))) for r, c in zip(said, contexts, strict=True)]),
        _common(said, dialogues),
        np.array([not reply for reply in replies], np.float64),
    )


def score(
    probabilities: np.ndarray,
    targets: np.ndarray,
    signs: Signs,
    settings: RewardSettings,
    *,
    emotion: np.ndarray | None = None,
) -> Scores:
    """Compute rewards.

    ::

        product:  E = prod_k p_k(l_k)^w_k            log:  E = sum_k w_k ln max(p_k(l_k), FLOOR)
        R = E - sum_g weight_g max(0, sign_g - limit_g) / (1 - limit_g) + weight p(emotion)

    An empty reply has no level: it is given the lowest reward that any reply can have.

    Args:
        probabilities: Of levels, [B, 3, 3]: replies, mechanisms, levels.
        targets: Level of the reference in each mechanism, [B, 3].
        signs: What the guards look at.
        settings: Form, weights and limits.
        emotion: Probability of the asked emotion, [B]; needed if `emotion_weight` is above 0.

    Returns:
        Rewards, and as terms: the probability of each mechanism's target level, their product
        `empathy` (without exponents, in either form), the signs `repetition`, `copied`, `common`
        and `empty`, the deviation `length` from the allowed words, `emotion` where it was given,
        and `guards`, all that was taken off. An empty reply has probabilities of 0.

    Raises:
        DataError: If a shape is another, or a target no level.
        ConfigError: If the reward needs emotions and none came.

    Source: EmpRL's released code, `exp(-sum of cross-entropies)`, for the product.
    """
    hit = _of_targets(probabilities, targets)
    empty = signs.empty > 0
    hit[empty] = 0.0
    weights = np.array(settings.weights)
    if settings.form == "product":
        value, worst = (hit**weights).prod(-1), 0.0
    else:
        value = np.log(np.maximum(hit, FLOOR)) @ weights
        worst = float(np.log(FLOOR) * weights.sum())
    length = _length(signs.words, settings)
    guards = settings.length_weight * length
    for sign, weight, limit in (
        (signs.repetition, settings.repetition_weight, settings.repetition_limit),
        (signs.copied, settings.copy_weight, settings.copy_limit),
        (signs.common, settings.common_weight, settings.common_limit),
    ):
        guards = guards + weight * np.maximum(0.0, sign - limit) / (1 - limit)
    most = (
        settings.repetition_weight
        + settings.length_weight
        + settings.copy_weight
        + settings.common_weight
    )
    value = np.where(empty, worst, value)
    guards = np.where(empty, most, guards)
    total = value - guards
    terms = {name: hit[:, k] for k, name in enumerate(MECHANISMS)}
    terms |= {
        "empathy": hit.prod(-1),
        "repetition": signs.repetition,
        "length": length,
        "copied": signs.copied,
        "common": signs.common,
        "empty": signs.empty,
        "guards": guards,
    }
    if emotion is not None:
        terms["emotion"] = np.where(empty, 0.0, emotion)
        total = total + settings.emotion_weight * terms["emotion"]
    elif settings.emotion_weight > 0:
        raise ConfigError(
            f"emotion_weight is {settings.emotion_weight}, but no probability of an emotion came; "
            "give a classifier and emotions, or set it to 0"
        )
    return Scores(total, terms)


def _of_targets(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    shape = (len(targets), len(MECHANISMS))
    if probabilities.shape != (*shape, 3) or targets.shape != shape:
        raise DataError(
            f"probabilities of shape {probabilities.shape} and targets of shape {targets.shape} "
            "came; give [B, 3, 3] and [B, 3]"
        )
    if targets.size and not np.isin(targets, (0, 1, 2)).all():
        raise DataError("a target is no empathy level; use 0, 1 or 2")
    levels = targets.astype(np.int64)[..., None]
    return np.take_along_axis(probabilities.astype(np.float64), levels, -1)[..., 0]


def _length(words: np.ndarray, settings: RewardSettings) -> np.ndarray:
    """Share that a reply is too short or too long by, [B], at most 1."""
    short = np.maximum(0.0, settings.min_words - words) / settings.min_words
    long = np.maximum(0.0, words - settings.max_words) / settings.max_words
    return np.minimum(1.0, short + long)


def _runs(words: Words, n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[j:] for j in range(n)), strict=False)


def _repetition(words: Words) -> float:
    total = max(0, len(words) - REPEATED + 1)
    return 1 - len(set(_runs(words, REPEATED))) / total if total else 0.0


def _copied(said: set[tuple[str, ...]], context: set[tuple[str, ...]]) -> float:
    return len(said & context) / len(said) if said else 0.0


def _common(said: Sequence[set[tuple[str, ...]]], dialogues: Sequence[int]) -> np.ndarray:
    """Mean over a reply's runs of the share of other dialogues that got the run, [B]."""
    of_dialogue: dict[int, set[tuple[str, ...]]] = {}
    for runs, dialogue in zip(said, dialogues, strict=True):
        of_dialogue.setdefault(dialogue, set()).update(runs)
    others = len(of_dialogue) - 1
    counts = Counter(run for runs in of_dialogue.values() for run in runs)
    if not others:
        return np.zeros(len(said))
    # A reply's own dialogue holds all of its runs, which is the one that is taken off.
    return np.array(
        [sum(counts[r] - 1 for r in runs) / (others * len(runs)) if runs else 0.0 for runs in said]
    )
