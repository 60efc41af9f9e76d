"""The real thing: the default model with the vectors that ship. Skipped where it is not cached."""

from __future__ import annotations

import pytest

from emotone.emotions import EKMAN
from emotone.models import DEFAULT, installed
from emotone.steering.vectors import EmotionVectors
from emotone.types import Decoding

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def door():
    import emotone

    if DEFAULT not in installed():
        pytest.skip("the default model is not in the cache; run `emotone models pull smollm2`")
    return emotone.load()


def test_shipped_vectors_are_small_calibrated_and_complete():
    vectors = EmotionVectors.shipped("smollm2")
    assert set(vectors.labels) == set(EKMAN.labels[:6])
    assert set(vectors.card.curves) == set(vectors.labels)
    assert vectors.listener is not None
    for label in vectors.labels:
        doses = [vectors.card.curves[label].dose(i) for i in range(-100, 101, 25)]
        assert doses == sorted(doses)


def test_the_same_seed_says_the_same_and_another_emotion_something_else(door):
    post, short = "I start a new job on Monday.", Decoding(max_tokens=12)
    first = door.reply(post, "joy:80", seed=3, decoding=short)
    assert first.text == door.reply(post, "joy:80", seed=3, decoding=short).text
    assert first.text != door.reply(post, "fear:80", seed=3, decoding=short).text
    assert first.applied["tier"] == "hooks"  # from the last token of the prompt on
    assert len(first.applied["blocks"]) == 30


@pytest.mark.slow
def test_the_model_hears_its_own_emotions(door):
    """The listener is no judge; this only shows that steering acts on the real model."""
    from emotone.lm.chat import FRIEND, prompt_ids
    from emotone.steering.listen import listener_logprobs
    from emotone.types import Dialogue

    system = door.responder
    listener = system.vectors.listener
    post = "I found an old letter in the attic."
    prompt = prompt_ids(system._lm.tokenizer, Dialogue.of(post), FRIEND)
    heard = 0
    for label in system.vectors.labels:
        text = door.reply(post, f"{label}:100").text
        scores = listener_logprobs(
            system._lm.model, system._lm.tokenizer, listener, [(prompt, text)]
        )[0]
        heard += listener.labels[int(scores.argmax())] == label
    assert heard >= 5
