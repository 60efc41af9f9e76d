"""The proof against our own server, which gives replies and no log-probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emotone.engines.mood import one_mood
from emotone.engines.reference import Reference
from emotone.engines.verify import Settings, verify
from emotone.engines.wire import NoAnswer, Server
from emotone.lm.chat import FRIEND
from emotone.steering.tiny import tiny_vectors
from emotone.systems.steered import Config, Steered
from unit.engines.double import writer

pytest.importorskip("fastapi", reason="the server needs the extra serve")
from web.serving import serving, worker_of

MIX = "joy:80"
SETTINGS = Settings(tokens=20)


def system(scale: float = 1.0, candidates: int = 4) -> Steered:
    """Our system, on whose way from mood to model something went wrong unless the scale is 1."""
    lm = writer()
    vectors = tiny_vectors(lm.model)
    scaled = replace(vectors * scale, card=vectors.card)
    return Steered(lm, scaled, Config(candidates=candidates))


@pytest.fixture(scope="module")
def reference() -> Reference:
    lm = writer()
    return Reference(lm, one_mood(tiny_vectors(lm.model), MIX), FRIEND)


def prove(served: Steered, folder: Path, reference: Reference, name: str = f"tiny@{MIX}") -> str:
    with serving(folder, worker_of({"tiny": served})):
        server = Server(f"unix:{folder}/socket")
        verdict = verify(server, reference, plain_name="tiny", mood_name=name, settings=SETTINGS)
    assert verdict.way == "replies of a chat"
    return verdict.outcome


@pytest.mark.parametrize(
    ("scale", "outcome"), [(1.0, "acts"), (1e-6, "silently plain"), (0.3, "differs")]
)
def test_our_server(tmp_path: Path, reference: Reference, scale: float, outcome: str):
    assert prove(system(scale), tmp_path, reference) == outcome


def test_our_server_without_a_mood(tmp_path: Path, reference: Reference):
    assert prove(system(), tmp_path, replace(reference, mood=None)) == "agrees"


def test_another_prompt_differs_already_without_the_mood(tmp_path: Path, reference: Reference):
    assert prove(system(), tmp_path, replace(reference, system="Be brief.")) == "differs"


def test_a_mood_that_changes_no_reply_is_no_proof(tmp_path: Path, reference: Reference):
    vectors = reference.mood.moods  # pyright: ignore
    weak = replace(reference, mood=one_mood(vectors, raw={"joy": 1e-6}))
    with pytest.raises(NoAnswer, match="changes none of 5 greedy replies"):
        prove(system(), tmp_path, weak)
