"""The empathy reward of sampled replies, with an identifier that reads them and their references.

Judges come in as arguments: this room opens none. An identifier that is for scoring is refused, as
a score by the judge that was pleased in training would say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from emotone.data.text import words_en
from emotone.errors import ConfigError, DataError
from emotone.protocols import EmotionClassifier, EmpathyReader, ReadContexts
from emotone.rl.empathy_reward import MECHANISMS, RewardSettings, score, signs_of
from emotone.rl.types import Scores


@dataclass(frozen=True, slots=True, eq=False)
class EmpathyReward:
    """A `RewardFunction`: rows of the training data and a reply to each, to `Scores`.

    Build it with `empathy_reward`. Levels of references are found when a row is first asked for.
    Equal calls give equal rewards to the bit, whatever was asked before. The other replies of a
    call matter to a reply only by the guard against common replies.

    Args:
        contexts: Context of each row.
        references: The reference reply of each row.
        settings: What the reward is made of.
        identifier: Judge of empathy.
        classifier: Judge of emotion; None without one.
        emotions: The emotion asked of each row; None without a classifier.
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

    def __call__(self, rows: Sequence[int], replies: Sequence[str]) -> Scores:
        """Score a reply to each row.

        Raises:
            DataError: If there is not one reply a row.
        """
        if len(rows) != len(replies):
            raise DataError(f"{len(replies)} replies came for {len(rows)} rows; give one each")
        different = list(dict.fromkeys(rows))
        states = self.identifier.read_contexts([self.contexts[r] for r in different])
        place = {row: i for i, row in enumerate(different)}
        self._learn(states, different)
        words = [[w for w in self.words(t) if any(map(str.isalnum, w))] for t in replies]
        spoken = [i for i, said in enumerate(words) if said]
        chances = np.zeros((len(rows), len(MECHANISMS), 3))
        chances[spoken] = states.probabilities(
            [place[rows[i]] for i in spoken], [replies[i] for i in spoken]
        )
        return score(
            chances,
            np.array([self.known[r] for r in rows], np.int64).reshape(-1, len(MECHANISMS)),
            signs_of(words, [self._context_words(r) for r in rows], rows),
            self.settings,
            emotion=self._emotion(rows, replies),
        )

    def targets(self, rows: Sequence[int]) -> np.ndarray:
        """Levels of the references of rows, [N, 3]."""
        different = list(dict.fromkeys(rows))
        if any(r not in self.known for r in different):
            self._learn(
                self.identifier.read_contexts([self.contexts[r] for r in different]), different
            )
        return np.array([self.known[r] for r in rows], np.int64).reshape(-1, len(MECHANISMS))

    def _learn(self, states: ReadContexts, rows: Sequence[int]) -> None:
        new = [(i, row) for i, row in enumerate(rows) if row not in self.known]
        levels = states.identify([i for i, _ in new], [self.references[row] for _, row in new])
        for (_, row), level in zip(new, levels, strict=True):
            self.known[row] = (level.reaction, level.interpretation, level.exploration)

    def _context_words(self, row: int) -> list[str]:
        return [w for w in self.words(self.contexts[row]) if any(map(str.isalnum, w))]

    def _emotion(self, rows: Sequence[int], replies: Sequence[str]) -> np.ndarray | None:
        if self.classifier is None or self.emotions is None:
            return None
        scores = self.classifier.classify(replies)
        asked = [self.emotions[r] for r in rows]
        return np.array([s.probabilities[e] for s, e in zip(scores, asked, strict=True)])


def empathy_reward(
    contexts: Sequence[str],
    references: Sequence[str],
    settings: RewardSettings | None = None,
    *,
    identifier: EmpathyReader,
    classifier: EmotionClassifier | None = None,
    emotions: Sequence[str] | None = None,
) -> EmpathyReward:
    """Make the reward of replies to contexts whose reference replies are known.

    Args:
        contexts: All posts of each row's dialogue, joined by a blank.
        references: The reference reply of each row, whose levels are the target.
        settings: What the reward is made of; None for the authors'.
        identifier: Judge of empathy, such as `judges.open_identifier("empathy-reward")`.
        classifier: Judge of emotion, for `emotion_weight`.
        emotions: Label of the emotion that each row's reply is asked to have.

    Raises:
        ConfigError: If a judge is for scoring, or the settings need emotions and none came.
        DataError: If the lists are not of one length, a reference is empty, or an emotion is no
            label of the classifier.

    Source: EmpRL (arXiv 2408.02976), where the levels of references come from the same identifiers.
    """
    settings = settings or RewardSettings()
    for judge in (identifier, classifier):
        _may_train(judge)
    if len(contexts) != len(references):
        raise DataError(
            f"{len(references)} references came for {len(contexts)} contexts; give one each"
        )
    bare = next((i for i, text in enumerate(references) if not text.strip()), None)
    if bare is not None:
        raise DataError(f"the reference of row {bare} is empty; leave the row out")
    if settings.emotion_weight > 0 and (classifier is None or emotions is None):
        raise ConfigError(
            f"emotion_weight is {settings.emotion_weight}; give a classifier and an emotion a row, "
            "or set it to 0"
        )
    if emotions is not None:
        if len(emotions) != len(contexts):
            raise DataError(f"{len(emotions)} emotions came for {len(contexts)} rows")
        labels = () if classifier is None else classifier.taxonomy.labels
        strange = sorted(set(emotions) - set(labels))
        if classifier is not None and strange:
            raise DataError(
                f"emotion {strange[0]!r} is no label of {classifier.name}; use one of "
                f"{', '.join(labels)}"
            )
    return EmpathyReward(contexts, references, settings, identifier, classifier, emotions)


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
