"""How requests end: what is counted of them, and what they get when the worker dies."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from serving import PATIENCE, serving, until, worker_of

from emotone.errors import RunError
from emotone.server.app import build
from emotone.server.settings import Settings
from emotone.systems import echo, steered
from emotone.web.listen import bind, listen

POST = "My bus was late again."


def body_of(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": POST}], "seed": 1, **more}


def figure(client: httpx.Client, name: str) -> float:
    """A figure of /metrics; 0 where it was never counted."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + " "))


def ended(client: httpx.Client, outcome: str) -> float:
    labels = f'{{model="tiny",outcome="{outcome}",path="chat"}}'
    return figure(client, f"emotone_requests_total{labels}")


@pytest.fixture
def system() -> steered.Steered:
    return steered.tiny()


@pytest.fixture
def client(tmp_path: Path, system: steered.Steered) -> Iterator[httpx.Client]:
    with serving(tmp_path, worker_of({"tiny": system}), Settings()) as client:
        yield client


def test_a_stream_is_counted_with_its_tokens_when_it_has_ended(
    client: httpx.Client, system: steered.Steered
):
    gate, real = threading.Event(), system._lm.model.forward

    def held(*args: Any, **kwargs: Any) -> Any:
        gate.wait(20)
        return real(*args, **kwargs)

    body = body_of(stream=True, max_tokens=20, stream_options={"include_usage": True})
    system._lm.model.forward = held
    try:
        with client.stream("POST", "/v1/chat/completions", json=body) as stream:
            lines = stream.iter_lines()
            next(lines)
            assert ended(client, "answered") == 0
            gate.set()
            rows = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    finally:
        gate.set()
        system._lm.model.forward = real
    until(lambda: ended(client, "answered") == 1)
    used = rows[-1]["usage"]
    assert used["completion_tokens"] > 0
    assert figure(client, "emotone_generation_tokens_total") == used["completion_tokens"]
    assert figure(client, "emotone_prompt_tokens_total") == used["prompt_tokens"]
    assert figure(client, "emotone_time_to_first_token_seconds_count") == 1
    assert figure(client, "emotone_e2e_request_latency_seconds_count") == 1


def test_a_stream_whose_reader_left_is_counted_as_cancelled(client: httpx.Client):
    body = body_of(stream=True, max_tokens=1000, min_tokens=1000)
    with client.stream("POST", "/v1/chat/completions", json=body) as stream:
        lines = (line for line in stream.iter_lines() if line)
        next(lines), next(lines)
    until(lambda: ended(client, "cancelled") == 1)
    assert ended(client, "answered") == ended(client, "failed") == 0
    until(lambda: 0 < figure(client, "emotone_generation_tokens_total") < 1000)


def test_a_stream_that_fails_is_counted_as_failed(client: httpx.Client, system: steered.Steered):
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("out of memory")

    real, system._lm.model.forward = system._lm.model.forward, broken
    try:
        answer = client.post("/v1/chat/completions", json=body_of(stream=True))
    finally:
        system._lm.model.forward = real
    assert '"error"' in answer.text
    assert "[DONE]" not in answer.text
    until(lambda: ended(client, "failed") == 1)
    assert figure(client, "emotone_time_to_first_token_seconds_count") == 0


def test_a_whole_reply_is_counted_once(client: httpx.Client):
    used = client.post("/v1/chat/completions", json=body_of(max_tokens=8)).json()["usage"]
    assert ended(client, "answered") == 1
    assert figure(client, "emotone_generation_tokens_total") == used["completion_tokens"]
    assert client.post("/v1/chat/completions", json=body_of(emotion="joi")).status_code == 400
    assert ended(client, "failed") == 1


def test_who_waits_when_the_worker_dies_is_told_at_once(tmp_path: Path):
    system = steered.tiny()
    worker = worker_of({"tiny": system, "echo": echo.tiny()}, rows=1)
    held, gate = threading.Event(), threading.Event()
    real = system._lm.model.forward

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].shape[1] > 1:
            return real(*args, **kwargs)
        held.set()
        gate.wait(20)
        raise SystemExit

    with serving(tmp_path, worker, Settings()) as client, ThreadPoolExecutor(9) as pool:
        system._lm.model.forward = deadly

        def ask(body: dict[str, Any]) -> httpx.Response:
            return client.post("/v1/chat/completions", json=body, timeout=20)

        running = pool.submit(ask, body_of())  # is being written when the worker dies
        assert held.wait(20)
        waiting = [pool.submit(ask, body_of(model=model)) for model in ("tiny", "echo") * 3]
        stream = pool.submit(ask, body_of(stream=True))
        card = pool.submit(client.get, "/v1/emotions", timeout=20)
        until(lambda: worker.pending == 8)
        gate.set()
        for answer in [running, *waiting, card]:
            assert answer.result(20).status_code == 503
            error = answer.result().json()["error"]
            assert (error["type"], error["code"]) == ("server_error", "unavailable")
        assert re.search(r'"error".*has ended', stream.result(20).text)
        assert client.get("/v1/emotions").status_code == 503
        assert client.get("/health").json() == {"status": "dead", "running": 0, "waiting": 0}
        until(lambda: 'outcome="answered"' not in client.get("/metrics").text)


def test_a_server_whose_worker_died_ends_as_a_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emotone.web.listen.LAST_WORDS", 1)
    worker = worker_of({"tiny": echo.tiny()})
    app, own, ready = build(Settings(), worker=worker), bind("127.0.0.1", 0), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(
            listen, app, own, ready=lambda _: ready.set(), death=lambda: worker.death
        )
        assert ready.wait(PATIENCE)
        until(lambda: worker.ready)
        monkeypatch.setattr(worker, "_begin", sys.exit)
        worker.call(lambda: None)
        with pytest.raises(RunError, match="start the server again"):
            ending.result(PATIENCE)
