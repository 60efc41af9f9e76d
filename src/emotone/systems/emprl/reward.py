"""The reward of EmpRL: a reply has the empathy levels of the reference, and games nothing.

It is the product over the three mechanisms of the probability that a frozen identifier gives to
the level of the reference reply (`empathy_reward`). It has no other part, and a reply that is
repeated, copied, endless or the same for everybody may earn it. Each guard against that takes
something off and is off by default; its sign (`guards.py`) is logged in any case.

Judges come in as arguments: none is opened here. An identifier that is for scoring is refused, as
a score by the judge that was pleased in training would say nothing.

Source: EmpRL (arXiv 2408.02976) and its released code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from emotone.data.text import words_en
from emotone.errors import ConfigError, DataError
from emotone.protocols import EmotionClassifier, EmpathyReader, ReadContexts
from emotone.rl.rewards import Rewards
from emotone.systems.emprl.guards import Signs, signs_of
from emotone.types import MECHANISMS, EmpathyLevels

#: Probabilities below this count as this much in a sum of logarithms.
FLOOR = 1e-4


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
        copy_weight: Taken off a reply all of whose runs of three words are in the context.
        copy_limit: Share of copied runs that costs nothing.
        common_weight: Taken off a reply that all other dialogues of the batch were given too.
        common_limit: Share of the other dialogues that may be given the same words at no cost.
        emotion_weight: Added for a reply in which a classifier is sure of the row's emotion.
        targets: Levels that are rewarded: "identifier" reads them off the references, "given"
            takes those of the examples, such as the columns of EmpRL's sft_addlabel.

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
    targets: Literal["identifier", "given"] = "identifier"

    def __post_init__(self) -> None:
        """Check every range."""
        if self.targets not in ("identifier", "given"):
            raise ConfigError(f"targets are {self.targets!r}; use 'identifier' or 'given'")
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


def empathy_reward(
    probabilities: np.ndarray,
    targets: np.ndarray,
    signs: Signs,
    settings: RewardSettings,
    *,
    emotion: np.ndarray | None = None,
) -> Rewards:
    """Compute rewards (stage 2, R).

    ::

        product:  E = prod_k p_k(l_k)^w_k            log:  E = sum_k w_k ln max(p_k(l_k), FLOOR)
        R = E - sum_g weight_g max(0, sign_g - limit_g) / (1 - limit_g) + weight p(emotion)

    An empty reply has no level: it is given the lowest reward that any reply can have.

    Args:
        probabilities: Of levels, [B, 3, 3]: replies, mechanisms, levels.
        targets: Level of the reference in each mechanism, [B, 3].
        signs: What the guards look at, of each reply.
        settings: Form, weights and limits.
        emotion: Probability of the wanted emotion, [B]; needed if `emotion_weight` is above 0.

    Returns:
        Rewards, and as terms: the probability of each mechanism's target level, their product
        `empathy` (without exponents, in either form), the signs `repetition`, `copied`, `common`
        and `empty`, the deviation `length` from the allowed words, `emotion` where it was given,
        and `guards`, all that was taken off. An empty reply has probabilities of 0.

    Raises:
        DataError: If a shape is another, or a target is not a level.
        ConfigError: If the reward needs emotions and none came.

    Source: EmpRL's released code, `exp(-sum of cross-entropies)`, for the product.
    """
    p = _target_probabilities(probabilities, targets)  # p_k(l_k), [B, 3]
    empty = signs.empty > 0
    p[empty] = 0.0
    weights = np.array(settings.weights)
    if settings.form == "product":
        empathy, worst = (p**weights).prod(-1), 0.0
    else:
        empathy = np.log(np.maximum(p, FLOOR)) @ weights
        worst = float(np.log(FLOOR) * weights.sum())
    length = _length_deviation(signs.words, settings)
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
    empathy = np.where(empty, worst, empathy)
    guards = np.where(empty, most, guards)
    total = empathy - guards
    terms = {name: p[:, k] for k, name in enumerate(MECHANISMS)}
    terms |= {
        "empathy": p.prod(-1),
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
    return Rewards(total, terms)


def _target_probabilities(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    shape = (len(targets), len(MECHANISMS))
    if probabilities.shape != (*shape, 3) or targets.shape != shape:
        raise DataError(
            f"probabilities of shape {probabilities.shape} and targets of shape {targets.shape} "
            "came; give [B, 3, 3] and [B, 3]"
        )
    if targets.size and not np.isin(targets, (0, 1, 2)).all():
        raise DataError("a target is not an empathy level; use 0, 1 or 2")
    levels = targets.astype(np.int64)[..., None]
    return np.take_along_axis(probabilities.astype(np.float64), levels, -1)[..., 0]


def _length_deviation(words: np.ndarray, settings: RewardSettings) -> np.ndarray:
    """Share that a reply is too short or too long by, [B], at most 1."""
    short = np.maximum(0.0, settings.min_words - words) / settings.min_words
    long = np.maximum(0.0, words - settings.max_words) / settings.max_words
    return np.minimum(1.0, short + long)


@dataclass(frozen=True, slots=True, eq=False)
class EmpathyReward:
    """A `RewardFunction`: rows of the training data and a reply to each, to `Rewards`.

    Build it with `make_reward`. Levels of references are identified when a row first comes.
    Equal calls give equal rewards to the bit, whatever came before. The other replies of a
    call matter to a reply only by the guard against common replies.

    Args:
        contexts: Context of each row.
        references: The reference reply of each row.
        settings: What the reward is made of.
        identifier: Judge of empathy.
        classifier: Judge of emotion; None without one.
        emotions: The emotion wanted of each row; None without a classifier.
        words: Splits a text into words.
        known: Levels of references by row.
    """

    contexts: Sequence[str]
    references: Sequence[str]
    settings: RewardSettings
    identifier: EmpathyReader
    classifier: EmotionClassifier | None = None
    emotions: Sequence[str] | None = None
    words: Callable[[str], list[str]] = words_en
    known: dict[int, tuple[int, int, int]] = field(default_factory=dict[int, tuple[int, int, int]])

    def __call__(self, rows: Sequence[int], replies: Sequence[str]) -> Rewards:
        """Reward a reply to each row; a row may come more than once.

        Raises:
            DataError: If there is not one reply a row.
        """
        if len(rows) != len(replies):
            raise DataError(f"{len(replies)} replies came for {len(rows)} rows; give one each")
        different = list(dict.fromkeys(rows))
        states = self.identifier.read_contexts([self.contexts[r] for r in different])
        place = {row: i for i, row in enumerate(different)}
        self._add_targets(states, different)
        words = [self._words(text) for text in replies]
        spoken = [i for i, own in enumerate(words) if own]
        probabilities = np.zeros((len(rows), len(MECHANISMS), 3))
        probabilities[spoken] = states.probabilities(
            [place[rows[i]] for i in spoken], [replies[i] for i in spoken]
        )
        return empathy_reward(
            probabilities,
            self._targets(rows),
            signs_of(words, [self._words(self.contexts[r]) for r in rows], rows),
            self.settings,
            emotion=self._emotion(rows, replies),
        )

    def targets(self, rows: Sequence[int]) -> np.ndarray:
        """Levels of the references of rows, [N, 3]."""
        different = list(dict.fromkeys(rows))
        if any(r not in self.known for r in different):
            states = self.identifier.read_contexts([self.contexts[r] for r in different])
            self._add_targets(states, different)
        return self._targets(rows)

    def _targets(self, rows: Sequence[int]) -> np.ndarray:
        return np.array([self.known[r] for r in rows], np.int64).reshape(-1, len(MECHANISMS))

    def _add_targets(self, states: ReadContexts, rows: Sequence[int]) -> None:
        """Identify the levels of references that are not known yet; `states` are of `rows`."""
        new = [(i, row) for i, row in enumerate(rows) if row not in self.known]
        levels = states.identify([i for i, _ in new], [self.references[row] for _, row in new])
        for (_, row), level in zip(new, levels, strict=True):
            self.known[row] = (level.reaction, level.interpretation, level.exploration)

    def _words(self, text: str) -> list[str]:
        """Words with a letter in them."""
        return [word for word in self.words(text) if any(map(str.isalnum, word))]

    def _emotion(self, rows: Sequence[int], replies: Sequence[str]) -> np.ndarray | None:
        if self.classifier is None or self.emotions is None:
            return None
        scores = self.classifier.classify(replies, [self.contexts[r] for r in rows])
        wanted = [self.emotions[r] for r in rows]
        return np.array([s.probabilities[e] for s, e in zip(scores, wanted, strict=True)])


def make_reward(
    contexts: Sequence[str],
    references: Sequence[str],
    settings: RewardSettings | None = None,
    *,
    identifier: EmpathyReader,
    classifier: EmotionClassifier | None = None,
    emotions: Sequence[str] | None = None,
    levels: Sequence[EmpathyLevels | None] | None = None,
) -> EmpathyReward:
    """Make the reward of replies to contexts whose reference replies are known.

    Args:
        contexts: All posts of each row's dialogue, joined by a blank.
        references: The reference reply of each row, whose levels are the target.
        settings: What the reward is made of; None for the authors'.
        identifier: Judge of empathy, such as `judges.open_identifier("empathy-reward")`.
        classifier: Judge of emotion, for `emotion_weight`.
        emotions: Label of the emotion that each row's reply is to have.
        levels: Levels of each row's reference, for `targets` of "given".

    Raises:
        ConfigError: If a judge is for scoring, or the settings need emotions and none came.
        DataError: If the lists are not of one length, a reference is empty, or an emotion is not
            a label of the classifier.

    Source: EmpRL (arXiv 2408.02976), where the levels of references come from the same identifiers.
    """
    settings = settings or RewardSettings()
    for judge in (identifier, classifier):
        _may_train(judge)
    if len(contexts) != len(references):
        raise DataError(
            f"{len(references)} references came for {len(contexts)} contexts; give one each"
        )
    empty = next((i for i, text in enumerate(references) if not text.strip()), None)
    if empty is not None:
        raise DataError(f"the reference of row {empty} is empty; leave the row out")
    if settings.emotion_weight > 0 and (classifier is None or emotions is None):
        raise ConfigError(
            f"emotion_weight is {settings.emotion_weight}; give a classifier and an emotion a row, "
            "or set it to 0"
        )
    if emotions is not None:
        if len(emotions) != len(contexts):
            raise DataError(f"{len(emotions)} emotions came for {len(contexts)} rows")
        labels = () if classifier is None else classifier.taxonomy.labels
        unknown = sorted(set(emotions) - set(labels))
        if classifier is not None and unknown:
            raise DataError(
                f"emotion {unknown[0]!r} is not a label of {classifier.name}; use one of "
                f"{', '.join(labels)}"
            )
    known: dict[int, tuple[int, int, int]] = {}
    if settings.targets == "given":
        for row in range(len(contexts)):
            level = levels[row] if levels is not None and row < len(levels) else None
            if level is None:
                raise DataError(
                    f"row {row} has no levels of empathy, and reward.targets is 'given'; prepare"
                    " data that has some, such as `emotone data prepare emprl --split"
                    " sft_addlabel-train`, or set reward.targets to 'identifier'"
                )
            known[row] = (level.reaction, level.interpretation, level.exploration)
    return EmpathyReward(
        contexts, references, settings, identifier, classifier, emotions, known=known
    )


def _may_train(judge: object) -> None:
    """Refuse a judge whose card says that it is for scoring, itself or what it remembers for."""
    while judge is not None:
        card = getattr(judge, "card", None)
        if getattr(card, "role", None) == "score":
            raise ConfigError(
                f"judge {getattr(card, 'name', '')!r} is for scoring and must not train; use "
                "'empathy-reward' for empathy, or 'en-label' for emotion"
            )
        judge = getattr(judge, "judge", None)
