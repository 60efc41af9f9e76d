"""The reward's equations, its guards, and who may judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone.emotions import EKMAN
from emotone.errors import ConfigError, DataError
from emotone.systems.emprl.guards import signs_of
from emotone.systems.emprl.reward import FLOOR, RewardSettings, empathy_reward, make_reward
from emotone.types import EmotionScores, EmpathyLevels

GUARDED = RewardSettings(
    repetition_weight=0.5, length_weight=0.5, copy_weight=0.5, common_weight=0.5
)


def words(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


def plain(n: int = 1):
    """Signs of replies that no guard minds."""
    replies = words(*(f"a{i} b{i} c{i} d{i}" for i in range(n)))
    return signs_of(replies, words(*["other words stand here"] * n))


CHANCES = np.array([[[0.7, 0.2, 0.1], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]])
TARGETS = np.array([[0, 1, 2]])


def test_the_product_is_that_of_the_targets_levels():
    found = empathy_reward(CHANCES, TARGETS, plain(), RewardSettings())
    assert found.total == pytest.approx([0.7 * 0.25 * 0.8])
    assert {k: float(v[0]) for k, v in found.terms.items()} == pytest.approx(
        {
            "reaction": 0.7,
            "interpretation": 0.25,
            "exploration": 0.8,
            "empathy": 0.14,
            "repetition": 0,
            "length": 0,
            "copied": 0,
            "common": 0,
            "empty": 0,
            "guards": 0,
        }
    )


def test_weights_are_exponents_and_factors_of_logarithms():
    settings = RewardSettings(weights=(2.0, 0.0, 1.0))
    assert empathy_reward(CHANCES, TARGETS, plain(), settings).total == pytest.approx(
        [0.7**2 * 0.8]
    )
    settings = RewardSettings(form="log", weights=(2.0, 0.0, 1.0))
    expected = 2 * np.log(0.7) + np.log(0.8)
    found = empathy_reward(CHANCES, TARGETS, plain(), settings)
    assert found.total == pytest.approx([expected])
    assert found.terms["empathy"] == pytest.approx([0.14])


def test_a_logarithm_has_a_floor():
    never = np.array([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    found = empathy_reward(never, np.array([[0, 0, 2]]), plain(), RewardSettings(form="log"))
    assert found.total == pytest.approx([np.log(FLOOR)])


def test_signs_by_hand():
    replies = words(
        "so sorry so sorry so sorry",  # 5 pairs, 2 kinds
        "i lost my ring today",  # 3 runs, 2 of them copied
        "oh no",
        "",
        "so sorry so much",
    )
    contexts = words("x", "help i lost my ring", "x", "x", "x")
    found = signs_of(replies, contexts)
    np.testing.assert_array_equal(found.words, [6, 5, 2, 0, 4])
    np.testing.assert_allclose(found.repetition, [3 / 5, 0, 0, 0, 0])
    np.testing.assert_allclose(found.copied, [0, 2 / 3, 0, 0, 0])
    np.testing.assert_array_equal(found.empty, [0, 0, 0, 1, 0])
    # "so sorry so" is said to one of four other dialogues; each of those two replies has two runs.
    np.testing.assert_allclose(found.common, [1 / 8, 0, 0, 0, 1 / 8])


def test_replies_to_one_dialogue_are_not_held_against_one_another():
    replies = words("that is so sad", "that is so sad", "what did you do", "that is so sad")
    contexts = words(*["x"] * 4)
    assert signs_of(replies[:2], contexts[:2], [7, 7]).common.tolist() == [0, 0]
    found = signs_of(replies, contexts, [7, 7, 7, 8]).common
    np.testing.assert_allclose(found, [1, 1, 0, 1])


@pytest.mark.parametrize(
    ("guard", "sign"),
    [("repetition", "repetition"), ("copy", "copied"), ("common", "common")],
)
def test_each_guard_takes_off_what_is_above_its_limit(guard: str, sign: str):
    settings = RewardSettings(**{f"{guard}_weight": 0.4, f"{guard}_limit": 0.2})  # pyright: ignore
    for share, cost in ((0.1, 0.0), (0.2, 0.0), (0.6, 0.2), (1.0, 0.4)):
        signs = plain()
        getattr(signs, sign)[0] = share
        found = empathy_reward(CHANCES, TARGETS, signs, settings)
        assert found.total == pytest.approx([0.14 - cost])
        assert found.terms["guards"] == pytest.approx([cost])
        assert found.terms[sign] == pytest.approx([share])


@pytest.mark.parametrize(
    ("count", "deviation"), [(1, 0.75), (3, 0.25), (4, 0), (10, 0), (15, 0.5), (90, 1)]
)
def test_length_costs_outside_its_limits(count: int, deviation: float):
    settings = RewardSettings(length_weight=0.2, min_words=4, max_words=10)
    signs = signs_of([[f"w{i}" for i in range(count)]], [["x"]])
    found = empathy_reward(CHANCES, TARGETS, signs, settings)
    assert found.terms["length"] == pytest.approx([deviation])
    assert found.total == pytest.approx([0.14 - 0.2 * deviation])


@given(
    st.sampled_from(["product", "log"]),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=60),
    st.booleans(),
)
def test_no_reply_earns_less_than_an_empty_one(
    form: Any, hits: list[float], reply: list[str], guarded: bool
):
    settings = RewardSettings(form=form, **({} if not guarded else _guards(GUARDED)))
    chances = np.zeros((2, 3, 3))
    chances[0, :, 0] = hits
    chances[1, :, 0] = 1.0  # what an identifier says of nothing does not count
    signs = signs_of([reply, []], [reply, reply], [0, 1])
    found = empathy_reward(chances, np.zeros((2, 3), int), signs, settings)
    assert found.total[1] <= found.total[0] + 1e-12
    assert found.terms["empathy"][1] == 0
    assert found.terms["empty"].tolist() == [0, 1]


def _guards(settings: RewardSettings) -> dict[str, float]:
    return {
        f"{n}_weight": getattr(settings, f"{n}_weight")
        for n in ("repetition", "length", "copy", "common")
    }


def test_emotion_is_added_and_needed_where_it_is_weighed():
    settings = RewardSettings(emotion_weight=0.5)
    found = empathy_reward(CHANCES, TARGETS, plain(), settings, emotion=np.array([0.6]))
    assert found.total == pytest.approx([0.14 + 0.3])
    assert found.terms["emotion"] == pytest.approx([0.6])
    with pytest.raises(ConfigError, match=r"emotion_weight is 0\.5"):
        empathy_reward(CHANCES, TARGETS, plain(), settings)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"form": "sum"}, "'product' or 'log'"),
        ({"weights": (1.0, 1.0)}, "three numbers"),
        ({"weights": (0.0, 0.0, 0.0)}, "not all 0"),
        ({"copy_weight": -0.1}, "copy_weight"),
        ({"common_limit": 1.0}, "common_limit"),
        ({"min_words": 5, "max_words": 4}, "max_words"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        RewardSettings(**changes)


def test_shapes_and_levels_are_checked():
    with pytest.raises(DataError, match=r"\[B, 3, 3\]"):
        empathy_reward(CHANCES[0], TARGETS, plain(), RewardSettings())
    with pytest.raises(DataError, match="not an empathy level"):
        empathy_reward(CHANCES, np.array([[0, 1, 3]]), plain(), RewardSettings())
    with pytest.raises(DataError, match="give one each"):
        signs_of([["a"]], [])


@dataclass
class Ear:
    """An identifier that hears how many words response and context have, and counts."""

    role: str = "reward"
    read: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def card(self) -> Any:
        return SimpleNamespace(role=self.role, name="ear")

    def read_contexts(self, contexts: Sequence[str]) -> Any:
        self.read += contexts
        return SimpleNamespace(
            probabilities=lambda at, replies: self._hear([contexts[i] for i in at], replies),
            identify=lambda at, replies: [
                EmpathyLevels(*map(int, row))
                for row in self._hear([contexts[i] for i in at], replies).argmax(-1)
            ],
        )

    def _hear(self, contexts: Sequence[str], replies: Sequence[str]) -> np.ndarray:
        self.asked += replies
        out = np.full((len(replies), 3, 3), 0.1)
        for i, (context, reply) in enumerate(zip(contexts, replies, strict=True)):
            out[i, 0, min(2, len(reply.split()) // 3)] = 0.8
            out[i, 1, len(context) % 3] = 0.8
            out[i, 2, reply.count("?")] = 0.8
        return out


CONTEXTS = ["I lost my ring.", "My son won a prize!", "It rains."]
GOLD = ["Oh no.", "You must be so very proud of him. What was it for?", "Again?"]


def test_rows_are_scored_against_their_references_levels():
    reward = make_reward(CONTEXTS, GOLD, identifier=Ear())
    found = reward([2, 1, 1], ["Why?", "Great news for all of you, is it not?", "Good."])
    np.testing.assert_allclose(found.total, [0.8**3, 0.8**3, 0.1 * 0.8 * 0.1])
    np.testing.assert_array_equal(reward.targets([1, 2]), [[2, 1, 1], [0, 0, 1]])


def test_references_are_heard_once_and_contexts_once_a_call():
    ear = Ear()
    reward = make_reward(CONTEXTS, GOLD, identifier=ear)
    reward([0, 0, 1], ["Poor you.", "How?", "Nice."])
    assert ear.read == CONTEXTS[:2]
    assert ear.asked == [*GOLD[:2], "Poor you.", "How?", "Nice."]
    reward([1], ["Well done."])
    assert ear.asked[5:] == ["Well done."]
    reward.targets([0, 1])
    assert ear.read == [*CONTEXTS[:2], CONTEXTS[1]]


@pytest.mark.parametrize("nothing", ["", "  ", "?!", "…"])
def test_a_reply_without_a_word_earns_nothing_and_is_not_heard(nothing: str):
    ear = Ear()
    found = make_reward(CONTEXTS, GOLD, identifier=ear)([0, 1], [nothing, "Well."])
    assert nothing not in ear.asked
    assert found.total[0] == 0 < found.total[1]
    assert found.terms["empty"].tolist() == [1, 0]
    assert make_reward(CONTEXTS, GOLD, identifier=ear)([0], [nothing]).total.tolist() == [0]


def test_the_scoring_judge_is_refused_even_behind_another():
    scoring = Ear(role="score")
    with pytest.raises(ConfigError, match="is for scoring and must not train"):
        make_reward(CONTEXTS, GOLD, identifier=scoring)
    behind: Any = SimpleNamespace(judge=scoring)
    with pytest.raises(ConfigError, match="'ear' is for scoring"):
        make_reward(CONTEXTS, GOLD, identifier=behind)


class Mood:
    """Hears joy in every exclamation mark."""

    name = "mood"
    taxonomy = EKMAN

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        rest = dict.fromkeys(EKMAN.labels, 0.02)
        return [EmotionScores("joy", {**rest, "joy": 0.9 if "!" in t else 0.1}) for t in texts]


def test_emotions_are_asked_of_the_classifier():
    moods = {"classifier": Mood(), "emotions": ["joy", "joy", "sadness"]}
    settings = RewardSettings(emotion_weight=1.0)
    reward = make_reward(CONTEXTS, GOLD, settings, identifier=Ear(), **moods)  # pyright: ignore
    found = reward([0, 0, 2], ["Yes!", "No.", "Oh!"])
    np.testing.assert_allclose(found.terms["emotion"], [0.9, 0.1, 0.02])
    without = make_reward(CONTEXTS, GOLD, identifier=Ear())([0, 0, 2], ["Yes!", "No.", "Oh!"])
    np.testing.assert_allclose(found.total - without.total, [0.9, 0.1, 0.02])
    with pytest.raises(ConfigError, match="give a classifier"):
        make_reward(CONTEXTS, GOLD, settings, identifier=Ear())
    with pytest.raises(DataError, match="'glee' is not a label of mood"):
        make_reward(
            CONTEXTS, GOLD, identifier=Ear(), classifier=Mood(), emotions=["glee", "joy", "joy"]
        )


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError, match="2 references came for 3"):
        make_reward(CONTEXTS, GOLD[:2], identifier=Ear())
    with pytest.raises(DataError, match="row 1 is empty"):
        make_reward(CONTEXTS, ["Oh.", " ", "Ah."], identifier=Ear())
    with pytest.raises(DataError, match="1 replies came for 2 rows"):
        make_reward(CONTEXTS, GOLD, identifier=Ear())([0, 1], ["Oh."])
