"""The door before vLLM and llama.cpp: moods become names, or scales of adapters; the rest passes.

Both are doubles here that record what they were asked; `bench/engines.py` asks real ones. What
llama-server answers was recorded from one (llama_server.json).
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from emotone.emotions import EmotionMix
from emotone.engines.mood_name import mood_in, mood_name
from emotone.engines.wire import NoAnswer, Server
from emotone.errors import ConfigError, MixError, ModelMissing, UnknownName, UsageError
from emotone.models.tiny import tiny_causal_lm
from emotone.server.child import command_of, environment_of, started
from emotone.server.front import largest_rank, loras_of, serve_before
from emotone.server.remote import Engine, build
from emotone.server.settings import Settings
from emotone.server.upstream import Upstream, refusal
from emotone.steering.gates import Factors
from emotone.steering.mood_adapters import MoodAdapters
from emotone.steering.tiny import tiny_vectors

POST = "My bus was late again."


def moods() -> MoodAdapters:
    import torch

    vectors = tiny_vectors(tiny_causal_lm().model)
    count = len(vectors.labels)
    factors = Factors(torch.ones(count, 2, 32), torch.ones(count, 32, 2))
    card = replace(vectors.card, norms=(1.0,), system_prompt="Be a friend.")
    return MoodAdapters(vectors.labels, {"model.layers.1.self_attn.o_proj": factors}, card)


@dataclass
class Double:
    """A vLLM that knows "tiny" and its moods, and says what it was asked."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    sick: bool = False
    loras: tuple[str, ...] = ()

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/health")
        async def health() -> Any:
            return PlainTextResponse("", 503 if self.sick else 200)

        @app.get("/metrics")
        async def metrics() -> Any:
            return PlainTextResponse("vllm:num_requests_running 0\n")

        @app.get("/lora-adapters")
        async def loras() -> Any:
            row = recorded()["lora_adapters"][0]
            return [row | {"id": i, "path": f"/m/{name}.gguf"} for i, name in enumerate(self.loras)]

        @app.post("/v1/{path:path}")
        async def write(path: str, request: Request) -> Any:
            body = await request.json()
            self.asked.append(body | {"path": path, "key": request.headers.get("authorization")})
            if body["model"].endswith("sadness:1"):  # as if there were no room for it
                return error(404, "The model does not exist.", "model")
            if body.get("temperature") == 5:
                return error(400, "temperature must be lower", "temperature")
            if body.get("temperature") == 6:
                return PlainTextResponse("Traceback /secret/place", 500)
            if body.get("stream") and body.get("lora"):
                return StreamingResponse(iter([recorded()["stream"]]), 200, {}, "text/event-stream")
            if body.get("stream"):
                return StreamingResponse(self.pieces(), media_type="text/event-stream")
            if body.get("temperature") == 7:
                await self.long(request)
            if body.get("lora"):
                return recorded()["answer"]
            text = {"message": {"role": "assistant", "content": "Oh no."}}
            choice = text if path.startswith("chat") else {"text": "Oh no."}
            return {"id": "1", "model": body["model"], "choices": [choice], "usage": {}}

        return app

    async def pieces(self) -> Any:
        try:
            for i in range(100):
                yield f"data: {json.dumps({'choices': [{'delta': {'content': str(i)}}]})}\n\n"
                await asyncio.sleep(0.1)
        finally:
            self.left.set()

    async def long(self, request: Request) -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.05)
        self.left.set()


def recorded() -> dict[str, Any]:
    """Return what a real llama-server was asked and answered."""
    return json.loads(Path(__file__).with_name("llama_server.json").read_text(encoding="utf-8"))


def error(status: int, message: str, param: str) -> JSONResponse:
    row = {"message": message, "type": "BadRequestError", "param": param, "code": status}
    return JSONResponse({"error": row}, status)


@contextmanager
def on_socket(app: Any, path: str) -> Iterator[None]:
    server = uvicorn.Server(
        uvicorn.Config(app, uds=path, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < end
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def client(tmp_path: Path, double: Double) -> Iterator[httpx.Client]:
    with door(tmp_path, double, moods()) as client:
        yield client


@contextmanager
def door(
    place: Path, double: Double, adapters: MoodAdapters, loras: dict[str, int] | None = None
) -> Iterator[httpx.Client]:
    transport = httpx.AsyncHTTPTransport(uds=str(place / "vllm"))
    upstream = Upstream("http://localhost", "secret", transport=transport)
    app = build(Settings(max_tokens=64, max_n=2), (), Engine(upstream, "tiny", adapters, loras))
    with (
        on_socket(double.app(), str(place / "vllm")),
        on_socket(app, str(place / "door")),
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(place / "door")),
            base_url="http://localhost",
            timeout=20,
        ) as client,
    ):
        yield client


def chat(client: httpx.Client, **body: Any) -> httpx.Response:
    messages = [{"role": "user", "content": POST}]
    return client.post("/v1/chat/completions", json={"messages": messages, **body})


# -- moods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"emotion": "fear:20 + joy:60"},
        {"emotion": {"joy": 60, "fear": 20}},
        {"model": "tiny@fear:20 + happy:60.0"},
        {"messages": [{"role": "user", "content": POST, "emotion": "joy:60+fear:20"}]},
    ],
)
def test_each_way_to_ask_for_a_mood_is_one_name(
    client: httpx.Client, double: Double, body: dict[str, Any]
):
    answer = chat(client, **body)
    assert answer.status_code == 200, answer.text
    [asked] = double.asked
    assert asked["model"] == "tiny@fear:20+joy:60"
    assert not set(asked) & {"emotion", "mood"}
    assert "emotion" not in asked["messages"][-1]
    assert asked["key"] == "Bearer secret"
    row = answer.json()
    assert row["emotone"]["emotion"] == "fear:20 + joy:60"
    assert row["model"] == body.get("model", "tiny")
    assert row["choices"][0]["message"]["content"] == "Oh no."


@pytest.mark.parametrize("emotion", [None, "", "joy:0"])
def test_no_mood_is_the_model_itself(client: httpx.Client, double: Double, emotion: Any):
    assert chat(client, emotion=emotion).status_code == 200
    assert double.asked[0]["model"] == "tiny"


def test_with_shared_adapters_no_mood_has_a_name_too(tmp_path: Path, double: Double):
    adapters = moods()
    shared = replace(adapters, card=replace(adapters.card, adapters="0" * 64))
    with door(tmp_path, double, shared) as client:
        assert chat(client).status_code == 200
    assert double.asked[0]["model"] == "tiny@none"


def test_the_system_prompt_of_the_moods_is_set_unless_there_is_one(
    client: httpx.Client, double: Double
):
    chat(client)
    own = [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": POST}]
    chat(client, messages=own)
    assert [m["content"] for m in double.asked[0]["messages"]] == ["Be a friend.", POST]
    assert [m["content"] for m in double.asked[1]["messages"]] == ["Rhyme.", POST]


def test_fields_of_the_engine_go_on_and_ours_do_not(client: httpx.Client, double: Double):
    chat(client, emotion="joy", top_k=3, logprobs=True, no_repeat=0, emotion_guard=False)
    asked = double.asked[0]
    assert (asked["top_k"], asked["logprobs"]) == (3, True)
    assert not set(asked) & {"no_repeat", "emotion_guard", "emotion"}


def test_a_completion_goes_on_as_it_is(client: httpx.Client, double: Double):
    body = {"model": "tiny@joy", "prompt": [1, 2, 3], "echo": True, "logprobs": 1}
    assert client.post("/v1/completions", json=body).json()["choices"][0]["text"] == "Oh no."
    asked = double.asked[0]
    assert (asked["path"], asked["model"], asked["prompt"]) == (
        "completions", "tiny@joy:100", [1, 2, 3],
    )  # fmt: skip


def test_json_is_written_without_a_mood(client: httpx.Client, double: Double):
    chat(client, emotion="joy", response_format={"type": "json_object"})
    chat(client, emotion="joy", response_format={"type": "json_object"}, emotion_in_code=True)
    assert [asked["model"] for asked in double.asked] == ["tiny", "tiny@joy:100"]


def test_a_post_of_self_harm_gets_no_anger_and_a_pointer(client: httpx.Client, double: Double):
    messages = [{"role": "user", "content": "I want to kill myself."}]
    answer = chat(client, messages=messages, emotion="anger:60 + sadness:40").json()
    assert double.asked[0]["model"] == "tiny@sadness:40"
    assert "findahelpline.com" in answer["choices"][0]["message"]["content"]
    body = {"messages": messages, "emotion": "anger", "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert "findahelpline.com" in next(answer.iter_lines())
    assert double.asked[1]["model"] == "tiny"


# -- llama.cpp -----------------------------------------------------------------------------------


def test_to_llama_cpp_a_mood_is_the_scales_of_its_adapters(tmp_path: Path, double: Double):
    adapters = moods()
    shared = replace(adapters, card=replace(adapters.card, adapters="0" * 64))
    loras = {"shared": 0, "joy": 3, "fear": 1, "anger": 2}
    doses = shared.doses(EmotionMix.parse("joy:60 + fear:20", shared.taxonomy))
    with door(tmp_path, double, shared, loras) as client:
        row = chat(client, emotion="joy:60 + fear:20", lora=[{"id": 2, "scale": 9}]).json()
        chat(client, model="tiny@joy:60+fear:20")
        chat(client)
        chat(client, emotion="joy", response_format={"type": "json_object"})
    named, by_name, plain, as_json = double.asked
    expected = [(0, 1.0), (3, doses["joy"]), (1, doses["fear"]), (2, 0.0)]
    assert [(r["id"], pytest.approx(r["scale"])) for r in named["lora"]] == expected
    assert by_name["lora"] == named["lora"]
    none = [{"id": 0, "scale": 1.0}, *({"id": n, "scale": 0.0} for n in (3, 1, 2))]
    assert plain["lora"] == as_json["lora"] == none
    assert [asked["cache_prompt"] for asked in double.asked] == [False] * 4
    assert {asked["model"] for asked in double.asked} == {"tiny"}
    assert row["emotone"]["system"] == "llamacpp"
    assert row["emotone"]["dose"] == doses


def test_what_llama_server_answers_passes(tmp_path: Path, double: Double):
    with door(tmp_path, double, moods(), {"joy": 3, "fear": 1, "anger": 2}) as client:
        row = chat(client, emotion="joy:60", temperature=0, max_tokens=6).json()
        pieces = chat(client, emotion="joy:60", temperature=0, max_tokens=6, stream=True).text
    whole = recorded()
    assert double.asked[0].keys() - {"path", "key"} == whole["asked"].keys()
    assert row["choices"] == whole["answer"]["choices"]
    assert row["usage"] == whole["answer"]["usage"]
    assert row["emotone"]["emotion"] == "joy:60"
    assert [line for line in pieces.splitlines() if "content" in line] == [
        line for line in whole["stream"].splitlines() if "content" in line
    ]
    assert refusal(400, json.dumps(whole["refusal"]).encode()).status_code == 400


def test_adapters_of_llama_server_are_known_by_their_files(tmp_path: Path, double: Double):
    adapters = moods()
    shared = replace(adapters, card=replace(adapters.card, adapters="0" * 64))
    server = Server(f"unix:{tmp_path}/llama")
    double.loras = (*adapters.labels, "other")
    with on_socket(double.app(), str(tmp_path / "llama")):
        numbers = {label: i for i, label in enumerate(adapters.labels)}
        assert loras_of(server, adapters) == numbers
        with pytest.raises(ConfigError, match="has no adapter of shared; start llama-server with"):
            loras_of(server, shared)
    silent = pytest.raises(NoAnswer, match="does not tell its adapters")
    with on_socket(FastAPI(), str(tmp_path / "other")), silent:
        loras_of(Server(f"unix:{tmp_path}/other"), adapters)
    with pytest.raises(UsageError, match="joins a llama-server that runs"):
        serve_before("llamacpp", Settings(), (), tmp_path, ready=print)


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"emotion": "happyish:60"}, 400, "unknown_name"),
        ({"emotion": "joy:600"}, 400, "invalid_emotion"),
        ({"emotion": "auto"}, 400, "invalid_emotion"),
        ({"emotion": "joy:0 -> joy:80"}, 400, "unsupported"),
        ({"emotion_meter": True}, 400, "unsupported"),
        ({"model": "tiny@joy:60:20"}, 400, "invalid_emotion"),
        ({"model": "other@joy:60"}, 404, "model_not_found"),
        ({"max_tokens": 65}, 400, "invalid_value"),
        ({"n": 3}, 400, "invalid_value"),
    ],
)
def test_what_cannot_be_meant_never_reaches_the_engine(
    client: httpx.Client, double: Double, body: dict[str, Any], status: int, code: str
):
    answer = chat(client, **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert not double.asked


def test_errors_of_the_engine_are_errors_of_ours(client: httpx.Client):
    wrong = chat(client, temperature=5)
    assert (wrong.status_code, wrong.json()["error"]) == (
        400,
        {
            "message": "temperature must be lower",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "invalid_value",
        },
    )
    broken = chat(client, temperature=6)
    assert broken.status_code == 500
    assert "secret" not in broken.text
    streamed = chat(client, temperature=5, stream=True)
    assert streamed.json()["error"]["message"] == "temperature must be lower"


def test_a_mood_that_the_engine_refuses_is_no_wrong_name_of_the_client(client: httpx.Client):
    answer = chat(client, emotion="sadness:1")
    assert answer.status_code == 503
    assert "emotone-vllm" in answer.json()["error"]["message"]
    assert answer.headers["retry-after"]


def test_without_an_engine_it_says_so(tmp_path: Path, client: httpx.Client):
    (tmp_path / "vllm").unlink()
    answer = chat(client)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert client.get("/health").status_code == 503


# -- streams -------------------------------------------------------------------------------------


def test_a_stream_comes_piece_by_piece_and_ends_when_its_reader_leaves(
    client: httpx.Client, double: Double
):
    body = {"messages": [{"role": "user", "content": POST}], "stream": True, "emotion": "joy"}
    began = time.monotonic()
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert json.loads(next(lines)[6:])["choices"][0]["delta"]["content"] == "0"
        assert time.monotonic() - began < 5  # all of it takes ten seconds
    assert double.left.wait(4)


def test_an_answer_that_nobody_waits_for_is_stopped(client: httpx.Client, double: Double):
    with pytest.raises(httpx.TimeoutException):
        body = {"messages": [{"role": "user", "content": POST}], "temperature": 7}
        client.post("/v1/chat/completions", json=body, timeout=1)
    assert double.left.wait(5)


# -- what it tells -------------------------------------------------------------------------------


def test_it_tells_of_itself_as_our_own_server_does(client: httpx.Client, double: Double):
    assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["tiny"]
    assert client.get("/v1/models/tiny@joy:60").json()["id"] == "tiny"
    assert client.get("/v1/models/other").status_code == 404
    emotions = client.get("/v1/emotions").json()
    assert [row["id"] for row in emotions["data"]] == list(moods().labels)
    assert all(row["calibrated"] for row in emotions["data"])
    assert "num_requests_running" in client.get("/metrics").text
    assert client.get("/health").json() == {"status": "ok"}
    double.sick = True
    assert client.get("/health").status_code == 503


# -- the names, and a server that is started -----------------------------------------------------


def test_a_mood_has_one_name():
    taxonomy = moods().taxonomy
    for text in ("joy:60+fear:20", "fear:20 + joy:60", " Fear: 20.0+happy:60 "):
        assert mood_name("m", mood_in(text, taxonomy)) == "m@fear:20+joy:60"
    assert mood_name("m", mood_in("none", taxonomy)) == "m@none"
    with pytest.raises(MixError):
        mood_in("auto", taxonomy)
    with pytest.raises(UnknownName):
        mood_in("happyish", taxonomy)


def test_the_command_has_room_for_all_moods_and_the_users_flags_last():
    line = command_of("/opt/vllm serve --max-loras 2", "folder", "tiny", 80, 33)
    assert line[:3] == ["/opt/vllm", "serve", "folder"]
    assert line[line.index("--max-lora-rank") + 1] == "64"
    assert line[-2:] == ["--max-loras", "2"]
    assert command_of("vllm", "folder", "tiny", 80, 8)[:2] == ["vllm", "serve"]
    row = environment_of(Path("moods"), "key", {"VLLM_PLUGINS": "mine", "A": "1"})
    assert row["VLLM_PLUGINS"] == "mine,emotone"
    assert (row["VLLM_API_KEY"], row["A"]) == ("key", "1")
    assert Path(row["EMOTONE_VLLM_MOODS"]).is_absolute()


def test_a_server_that_was_started_ends_with_the_door(tmp_path: Path):
    program = tmp_path / "vllm"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o755)
    with started(str(program), "folder", "tiny", tmp_path, 8) as child:
        assert child.death is None
        process = child.process
    assert process.poll() is not None
    with started("false", "folder", "tiny", tmp_path, 8) as child:
        child.process.wait(20)
        assert "code 1" in str(child.death)
    with pytest.raises(ModelMissing, match="--vllm"), started("no-such", "m", "n", tmp_path, 8):
        pass


def test_the_largest_rank_is_that_of_all_moods_with_the_shared_adapters(tmp_path: Path):
    adapters = moods()
    assert largest_rank(tmp_path, adapters) == 12
    (tmp_path / "adapter_config.json").write_text('{"r": 32}')
    shared = replace(adapters, card=replace(adapters.card, adapters="0"))
    assert largest_rank(tmp_path, shared) == 44


def test_a_place_that_is_no_url_is_refused():
    with pytest.raises(UsageError, match="http://HOST:PORT"):
        Upstream("127.0.0.1:80")
