"""What a study shows of systems with label sets of their own, and what it takes for one post."""

from __future__ import annotations

from emotone.emotions import EVERYDAY, NLPCC, EmotionMix, Taxonomy
from emotone.evaluation.blind import items
from emotone.human.design import design_text, read_design
from emotone.human.draw import comparable
from emotone.types import Dialogue, Example, Reply


def replies(system: str, labels: tuple[str, ...], taxonomy: Taxonomy):
    """Replies to three posts in each emotion; an example for each, as corpora prepare them."""
    return [
        (
            Example(f"{n}-{i}", Dialogue.of(f"post {n}"), lang="en"),
            Reply(f"{system} {n} {i}", EmotionMix.of({label: 100}, taxonomy), system, "m", 0, 3),
        )
        for n in range(3)
        for i, label in enumerate(labels)
    ]


EMO_SEQ = read_design(design_text("emo-seq"))
SYSTEMS = {
    "one": replies("one", ("joy", "anger", "love"), EVERYDAY),
    "two": replies("two", ("happiness", "anger", "like"), NLPCC),
}


def test_happiness_and_joy_are_one_emotion():
    shown = comparable(SYSTEMS, EMO_SEQ)
    for system, pairs in shown.items():
        assert len(pairs) == 9, system
        assert {str(r.emotion) for _, r in pairs} == {"joy:100", "anger:100", "love:100"}


def test_one_label_set_stays_as_it_is():
    one = {"one": SYSTEMS["one"], "other": replies("other", ("joy", "anger", "love"), EVERYDAY)}
    shown = comparable(one, EMO_SEQ)
    assert [r for _, r in shown["one"]] == [r for _, r in one["one"]]


def test_a_post_in_three_emotions_is_one_post_of_a_sheet():
    drawn = items(SYSTEMS, posts=2, seed=1)
    assert len({item.post for item in drawn}) == 2
    assert len(drawn) == 2 * 3 * 2
