"""`auto` from a post to a reply: who hears, what is chosen, and what the reply says of it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from emotone.door import Door, asked_of, mix_of
from emotone.emotions import EVERYDAY, Auto, EmotionMix, MixText
from emotone.errors import MixError, Unsupported
from emotone.evaluation.generate import generate
from emotone.judges import hearing
from emotone.judges.hearing import Hearing
from emotone.steering.listen import listener_logprobs
from emotone.systems import echo, emprl, prompted, steered
from emotone.types import Decoding, Dialogue, EmotionScores, Example

SHORT = Decoding(max_tokens=6)
POST = Dialogue.of("My dog died.")


class Judge:
    """Hears one label in every text."""

    name = "en-label-2-b09f5a50:everyday"
    taxonomy = EVERYDAY

    def __init__(self, label: str, chance: float = 0.9) -> None:
        self.scores = EmotionScores(label, {label: chance})
        self.texts: list[str] = []

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        self.texts += texts
        return [self.scores for _ in texts]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    sad = Judge("sadness")
    monkeypatch.setattr(hearing, "_judge_of", {"en": sad}.get)
    return sad


@pytest.fixture
def no_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_judge_of", lambda lang: None)
    monkeypatch.setattr(hearing, "LEAST", 0.0)


@pytest.fixture(scope="module")
def system() -> steered.Steered:
    return steered.tiny()


def test_the_judge_hears_the_last_post_and_is_named(system, judge: Judge):
    notes: list[str] = []
    reply = Door.of(system).reply(POST, "auto:mirror:60", decoding=SHORT, note=notes.append)
    assert judge.texts == ["My dog died."]
    assert str(reply.emotion) == "sadness:60"
    assert reply.applied["auto"] == {
        "asked": "auto:mirror:60",
        "heard": "sadness",
        "probability": 0.9,
        "by": judge.name,
        "chosen": "sadness:60",
    }
    assert reply.applied["judges"] == [judge.name]
    assert notes == ["sadness is heard in the post (0.90); auto:mirror:60 answers in sadness:60"]
    asked = Door.of(system).reply(POST, "sadness:60", decoding=SHORT)
    assert asked.text == reply.text
    assert "auto" not in asked.applied


def test_without_a_judge_the_model_hears_by_itself(system, no_judge):
    reply = Door.of(system).reply(POST, Auto("mirror"), decoding=SHORT)
    record = reply.applied["auto"]
    assert record["by"] == "listener of tiny"
    assert record["chosen"] == f"{record['heard']}:100" == str(reply.emotion)
    assert reply.applied["judges"] == []


def test_a_models_ears_are_its_listener_over_a_text_that_answers_nothing(system):
    ears, listener = system.ears, system.vectors.listener
    assert ears is not None
    assert ears.taxonomy.labels == listener.labels
    first, empty = ears.classify(["My dog died.", ""])
    lm = system._lm
    from emotone.lm.chat import prompt_ids

    head = prompt_ids(lm.tokenizer, Dialogue.of("..."), system._system)
    expected = listener_logprobs(lm.model, lm.tokenizer, listener, [(head, "My dog died.")])
    heard = torch.tensor([first.probabilities[k] for k in listener.labels])
    assert torch.allclose(heard, expected[0].exp(), atol=1e-5)
    assert first.label == listener.labels[int(expected[0].argmax())]
    assert sum(empty.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_ears_that_were_taught_on_posts_hear_before_any_judge(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
):
    system = steered.tiny()
    listener = system.vectors.listener
    assert listener is not None
    labels = tuple(EVERYDAY.labels[: len(listener.labels)])
    vectors = replace(system.vectors, hearing=replace(listener, labels=labels))
    taught = steered.Steered(system._lm, vectors, steered.Config(candidates=2))
    one = Hearing(taught, POST)
    one.mix(Auto("mirror"))
    assert judge.texts == []
    assert (one.judge, one.record["by"]) == ("", "listener of tiny")
    assert one.record["heard"] in labels
    assert taught.ears is not None
    assert taught.ears.taxonomy is EVERYDAY
    pirate = steered.Steered(system._lm, vectors, steered.Config(system="You are a pirate."))
    assert pirate.ears is not None
    assert pirate.ears.system == vectors.card.system_prompt  # that it was taught with
    english = replace(taught.capabilities, languages=("en",))
    taught.capabilities = english
    monkeypatch.setattr(hearing, "_judge_of", {"zh": judge}.get)
    Hearing(taught, Dialogue.of("我的狗死了。")).mix(Auto("mirror"))
    assert judge.texts == ["我的狗死了。"]


@pytest.mark.parametrize(
    ("label", "chance", "policy", "chosen"),
    [
        ("sadness", 0.9, "soothe", "sadness:100"),  # the tiny vectors have no love and no calm
        ("joy", 0.9, "soothe", "joy:100"),
        ("anger", 0.9, "soothe", None),
        ("anger", 0.9, "friend", "anger:100"),
        ("neutral", 0.9, "mirror", None),
        ("neutral", 0.9, "cheer", "joy:100"),
        ("sadness", 0.2, "mirror", None),  # hardly heard
    ],
)
def test_what_is_chosen(monkeypatch, system, label, chance, policy, chosen):
    monkeypatch.setattr(hearing, "_judge_of", lambda lang: Judge(label, chance))
    one = Hearing(system, POST)
    mix = one.mix(Auto(policy))
    assert (str(mix) if mix else None) == chosen == one.record["chosen"]
    reply = Door.of(system).reply(POST, f"auto:{policy}", decoding=SHORT)
    assert reply.applied["auto"]["chosen"] == chosen
    if chosen is None:
        assert reply.emotion is None
        assert reply.text == Door.of(system).reply(POST, decoding=SHORT).text


def test_every_way_through_the_door_takes_auto(system, judge: Judge):
    door = Door.of(system)
    pieces = "".join(door.stream(POST, "auto:mirror", decoding=SHORT))
    assert pieces == "".join(door.stream(POST, "sadness", decoding=SHORT))
    several = door.replies(POST, MixText.read("auto:mirror"), n=2, decoding=SHORT)
    plain = door.replies(POST, "sadness", n=2, decoding=SHORT)
    assert [r.text for r in several] == [r.text for r in plain]
    assert all(r.applied["auto"]["heard"] == "sadness" for r in several)


def test_a_mix_that_is_named_is_heard_by_nobody(system, judge: Judge):
    one, mix = Hearing(system, POST), EmotionMix.parse("joy:60")
    assert one.mix(mix) is mix
    assert one.mix(None) is None
    assert judge.texts == []
    assert one.record == {}


def test_emprl_hears_too(no_judge):
    reply = Door.of(emprl.tiny()).reply(POST, "auto:mirror:40", decoding=SHORT)
    assert reply.emotion is not None
    assert str(reply.emotion) == reply.applied["auto"]["chosen"]


def test_what_cannot_hear_or_takes_no_emotion_says_so(no_judge):
    with pytest.raises(Unsupported, match="takes no emotion, but auto:friend:100 was asked"):
        Door.of(echo.tiny()).reply(POST, "auto")
    with pytest.raises(Unsupported, match="takes no emotion"):
        Hearing(echo.tiny(), POST).mix(Auto())
    with pytest.raises(Unsupported, match="nothing hears the post for auto:mirror:100"):
        Door.of(prompted.tiny()).reply(POST, "auto:mirror")
    with pytest.raises(MixError, match="auto:friend:100 is chosen by the post"):
        mix_of("auto", EVERYDAY)
    assert asked_of("auto:cheer:5", EVERYDAY) == Auto("cheer", 5.0)


def test_generate_hears_each_post(system, judge: Judge):
    examples = [Example(str(i), Dialogue.of(text)) for i, text in enumerate(("one", "two"))]
    out = io.StringIO()
    generate(system, list(enumerate(examples)), out, emotion=Auto("mirror"), decoding=SHORT)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert judge.texts == ["one", "two"]
    assert [row["emotion"] for row in rows] == ["sadness:100"] * 2
    assert all(row["applied"]["auto"]["asked"] == "auto:mirror:100" for row in rows)
    assert all(judge.name in row["applied"]["judges"] for row in rows)


def test_the_labelling_judge_is_taken_where_the_zoo_is(monkeypatch):
    hearing._judge_of.cache_clear()
    opened: list[tuple[str, str]] = []
    monkeypatch.setattr("emotone.judges.names", lambda: ["en-label"])
    monkeypatch.setattr(
        "emotone.judges.open_judge", lambda name, taxonomy: opened.append((name, taxonomy))
    )
    hearing._judge_of("en")
    assert hearing._judge_of("zh") is None
    assert opened == [("en-label", "everyday")]
    hearing._judge_of.cache_clear()
