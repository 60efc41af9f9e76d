"""The server hears posts for `auto`, also while it writes for others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from serving import serving, worker_of

from emotone.emotions import EmotionMix
from emotone.judges import hearing
from emotone.judges.hearing import Hearing
from emotone.server import moods
from emotone.systems import echo, steered
from emotone.types import Dialogue

POST = "My bus was late again."


def chat(client: httpx.Client, **body: Any) -> httpx.Response:
    body = {"model": "tiny", "messages": [{"role": "user", "content": POST}], **body}
    return client.post("/v1/chat/completions", json=body)


@pytest.fixture
def by_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_judge_of", lambda lang: None)
    monkeypatch.setattr(hearing, "LEAST", 0.0)


def test_a_reply_says_what_was_heard_also_beside_others(tmp_path: Path, by_listener):
    expected = Hearing(steered.tiny(), Dialogue.of(POST))
    mix = expected.mix(moods.MixText.read("auto:mirror:60").auto)
    assert mix is not None
    worker = worker_of({"tiny": steered.tiny(), "echo": echo.tiny()})
    with serving(tmp_path, worker) as client, ThreadPoolExecutor(6) as pool:
        body = {"seed": 3, "max_tokens": 30}
        asked = ["auto:mirror:60", "joy", "anger:-80", str(mix), "auto:mirror:60", "fear"]
        rows = [a.json() for a in pool.map(lambda e: chat(client, emotion=e, **body), asked)]
        for row in (rows[0], rows[4]):
            assert row["emotone"]["emotion"] == str(mix)
            assert row["emotone"]["applied"]["auto"] == expected.record
            assert any("is heard in the post" in note for note in row["emotone"]["notes"])
            assert row["choices"][0]["message"] == rows[3]["choices"][0]["message"]
        alone = chat(client, emotion="joy", **body).json()
        assert rows[1]["choices"][0]["message"] == alone["choices"][0]["message"]
        refused = chat(client, model="echo", emotion="auto")
        assert refused.status_code == 400
        assert "takes no emotion" in refused.json()["error"]["message"]


def test_auto_leaves_nothing_to_later_turns_and_may_be_a_station(by_listener):
    system = steered.tiny()
    taxonomy = system.vectors.taxonomy
    hears = Hearing(system, Dialogue.of(POST))
    feeling = moods.remembered([moods.read("auto"), moods.read("joy:60")], 2)
    assert feeling.within(taxonomy, None, hears) == [EmotionMix.parse("joy:60", taxonomy)]
    assert not feeling.hears
    way = moods.read("none -> auto:mirror:50")
    assert way.hears
    first, last = way.within(taxonomy, None, hears)
    assert first is None
    assert str(last) == hears.record["chosen"]
