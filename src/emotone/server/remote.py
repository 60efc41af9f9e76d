"""The door before an engine that runs elsewhere: our API, written by vLLM or llama.cpp.

Moods come in as they do to our own server, by the field `emotion`, by the model's name and by the
messages. To vLLM they go on as the name of an adapter (`emotone.engines.mood_name`), which the
plug-in emotone-vllm knows; to llama.cpp as the scales of the adapters that it has loaded
(`emotone.engines.gguf_lora`). All other fields are the engine's.

Needs the extra `serve`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from emotone import __version__
from emotone.emotions import EmotionMix
from emotone.engines.gguf_lora import SHARED
from emotone.engines.mood_name import mood_name
from emotone.errors import Unsupported
from emotone.lm import care
from emotone.lm.chat import FRIEND, NO_SYSTEM
from emotone.server import wire
from emotone.server.answers import (
    JSON_NOTE,
    count_of,
    dialogue_of,
    feeling_of,
    length_of,
    plain_json,
)
from emotone.server.app import bare, dressed
from emotone.server.failures import ERRORS
from emotone.server.served import Served, split_id
from emotone.server.settings import Settings
from emotone.server.telling import emotions_of
from emotone.server.upstream import Gone, Passed, Upstream, refusal, silent, while_there
from emotone.server.worker import without
from emotone.server.writing import StrictRoute
from emotone.steering.moods import Moods
from emotone.types import Capabilities, Decoding
from emotone.web.guard import App, failure, retry

#: Fields of ours that end here; the engine knows none of them.
_OURS = ("emotion", "mood", "empathy", "emotion_meter", "emotion_guard", "emotion_in_code",
         "no_repeat", "model")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """What is behind the door.

    Args:
        upstream: Where it is.
        name: What it serves the model as.
        moods: The mood adapters that it has.
        loras: Of llama.cpp: an emotion, or `gguf_lora.SHARED`, -> number of its adapter. None for
            vLLM.
    """

    upstream: Upstream
    name: str
    moods: Moods
    loras: Mapping[str, int] | None = None

    @property
    def kind(self) -> str:
        """Name of the engine, as `--engine` has it."""
        return "vllm" if self.loras is None else "llamacpp"

    def scales(self, mix: EmotionMix | None) -> list[dict[str, float]]:
        """Scale of each adapter of llama.cpp for a mood; without a list it keeps the last one."""
        scales = {SHARED: 1.0} | dict(self.moods.doses(mix) if mix else {})
        loras = self.loras or {}
        return [{"id": number, "scale": scales.get(k, 0.0)} for k, number in loras.items()]


@dataclass(slots=True)
class _Asked:
    """A mood that was read.

    Args:
        model: What the engine is asked for.
        mix: The mood.
        remarks: What the client is told.
        pointer: A sentence that points to help; "" for none.
    """

    model: str
    mix: EmotionMix | None
    remarks: list[str] = field(default_factory=list[str])
    pointer: str = ""


def build(settings: Settings, keys: Sequence[str], engine: Engine) -> App:
    """Build the application.

    Args:
        settings: What it may do; what speaks of models of this process does not matter.
        keys: API keys; () asks for none.
        engine: What answers.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await engine.upstream.close()

    app = bare(
        "Replies with a chosen emotion by another engine, over OpenAI's API.", life, settings
    )
    app.include_router(_writing(settings, engine))
    app.include_router(_telling(engine))

    @app.exception_handler(httpx.HTTPError)
    async def unanswered(_: Request, _error: httpx.HTTPError) -> JSONResponse:
        return silent()

    @app.exception_handler(Gone)
    async def gone(_: Request, _error: Gone) -> Response:
        return Response(status_code=499)  # nobody reads it

    return dressed(app, settings, keys)


# -- what writes ---------------------------------------------------------------------------------


def _writing(settings: Settings, engine: Engine) -> APIRouter:
    router = APIRouter(route_class=StrictRoute)

    async def answer(request: Request, path: str, body: wire.Request, asked: _Asked) -> Response:
        row = {k: v for k, v in body.model_dump(exclude_unset=True).items() if k not in _OURS}
        for message in row.get("messages", ()):
            message.pop("emotion", None)
        if isinstance(body, wire.ChatRequest):
            row["messages"] = [*_system(body, engine.moods), *row["messages"]]
            if body.max_tokens is None and body.max_completion_tokens is None:
                row["max_tokens"] = min(Decoding().max_tokens, settings.max_tokens)
        row["model"] = asked.model
        if engine.loras is not None:
            # Its cache of prompts goes by tokens, and would go on from what another mood has read.
            row |= {"model": engine.name, "lora": engine.scales(asked.mix), "cache_prompt": False}
        reply = await while_there(request, engine.upstream.begin(path, row))
        if reply.status_code == 200 and body.stream:
            return Passed(reply, _pointing(asked, body) if asked.pointer else b"")
        try:
            blob = await while_there(request, reply.aread())
        finally:
            await reply.aclose()
        if reply.status_code == 404 and asked.model != engine.name and engine.loras is None:
            sentence = (
                f"the engine does not serve {asked.model[:200]!r} now: it runs without the plug-in"
                " emotone-vllm, or has no room for another mood; its log says which"
            )
            return retry(failure(503, sentence, code="unavailable"), 5)
        if reply.status_code != 200:
            return refusal(reply.status_code, blob)
        return JSONResponse(_told(json.loads(blob), body, asked, engine))

    @router.post("/v1/chat/completions", responses=ERRORS)
    async def chat(request: Request, body: wire.ChatRequest) -> Response:
        """Answer a conversation in a mood."""
        posts = [m for m in body.messages if m.role in ("user", "assistant")]
        dialogue_of(posts, settings)  # refuses what is too long
        return await answer(
            request, "/v1/chat/completions", body, _ask(body, posts, settings, engine)
        )

    @router.post("/v1/completions", responses=ERRORS)
    async def completion(request: Request, body: wire.Request) -> Response:
        """Go on with a prompt as the engine does, in a mood."""
        return await answer(request, "/v1/completions", body, _ask(body, [], settings, engine))

    return router


def _ask(
    body: wire.Request, posts: Sequence[wire.Message], settings: Settings, engine: Engine
) -> _Asked:
    """Read the mood of a request.

    Raises:
        UnknownName: If the model, or an emotion, is not served.
        MixError: If the mood cannot be read.
        UsageError: If what is asked cannot be meant here.
    """
    _, in_name = split_id(body.model or engine.name, {engine.name: Served(engine.name)})
    chat = body if isinstance(body, wire.ChatRequest) else None
    if body.empathy or (chat is not None and chat.emotion_meter):
        raise Unsupported("this engine offers neither empathy levels nor a meter; leave them out")
    longest = max(filter(None, [body.max_tokens, chat and chat.max_completion_tokens]), default=0)
    length_of(longest, settings)
    count_of(body, settings)
    feeling = feeling_of(body, posts, in_name, settings)
    if len(feeling.frames) > 1:
        raise Unsupported(
            "a way from one mood to another needs a server of our own: an engine keeps one adapter"
            " through a reply; ask for one mood"
        )
    asked = _Asked(engine.name, None)
    [mix] = feeling.within(engine.moods.taxonomy, asked.remarks.append)
    prompt = wire.extra_fields(body).get("prompt")
    last = posts[-1].text() if posts else prompt if isinstance(prompt, str) else ""
    if settings.care and care.needs_care(last):
        mix = without(mix, care.WITHHELD)
        asked.pointer = care.pointer(last)
        asked.remarks.append(care.NOTE)
    if mix and plain_json(body):
        mix = None
        asked.remarks.append(JSON_NOTE)
    if mix and not any(engine.moods.doses(mix).values()):
        mix = None
    asked.mix = mix
    if mix is not None or engine.moods.card.adapters:
        asked.model = mood_name(engine.name, mix)
    return asked


def _system(body: wire.ChatRequest, moods: Moods) -> list[dict[str, str]]:
    """Return the system message that the moods were learned with, where the client sent none."""
    prompt = moods.card.system_prompt or FRIEND
    if prompt == NO_SYSTEM or any(m.role in ("system", "developer") for m in body.messages):
        return []
    return [{"role": "system", "content": prompt}]


def _facts(asked: _Asked, engine: Engine) -> dict[str, Any]:
    row: dict[str, Any] = {
        "emotion": None if asked.mix is None else str(asked.mix),
        "system": engine.kind,
        "model": asked.model,
        "dose": engine.moods.doses(asked.mix) if asked.mix else {},
        "notes": asked.remarks,
    }
    return row | ({"care": asked.pointer} if asked.pointer else {})


def _told(
    answer: dict[str, Any], body: wire.Request, asked: _Asked, engine: Engine
) -> dict[str, Any]:
    """Add to an answer what is ours."""
    for choice in answer.get("choices", ()):
        place, key = (choice["message"], "content") if "message" in choice else (choice, "text")
        if asked.pointer:
            place[key] = f"{place.get(key) or ''}\n\n{asked.pointer}".strip()
    return answer | {"model": body.model or engine.name, "emotone": _facts(asked, engine)}


def _pointing(asked: _Asked, body: wire.Request) -> bytes:
    """Build the piece of a stream that points to help, before the reply."""
    text = f"{asked.pointer}\n\n"
    chat = isinstance(body, wire.ChatRequest)
    part = {"delta": {"role": "assistant", "content": text}} if chat else {"text": text}
    row = {
        "id": "chatcmpl-care" if chat else "cmpl-care",
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": int(time.time()),
        "model": body.model or asked.model,
        "choices": [
            {"index": index, **part, "logprobs": None, "finish_reason": None}
            for index in range(body.n or 1)
        ],
    }
    return f"data: {json.dumps(row, ensure_ascii=False)}\n\n".encode()


# -- what tells ----------------------------------------------------------------------------------


def _telling(engine: Engine) -> APIRouter:
    router = APIRouter()
    began = int(time.time())
    row = {"id": engine.name, "object": "model", "created": began, "owned_by": "emotone"}
    served = {engine.name: Served(engine.name)}

    @router.get("/v1/models")
    async def models() -> Mapping[str, Any]:
        """List the model; it may be asked with a mood in its name, as in "smollm2@joy:60"."""
        return {"object": "list", "data": [row]}

    @router.get("/v1/models/{name:path}", responses=ERRORS)
    async def model(name: str) -> Mapping[str, Any]:
        """Describe the model."""
        split_id(name, served)
        return row

    @router.get("/v1/emotions", responses=ERRORS)
    async def emotions(model: str = "") -> Mapping[str, Any]:
        """List the emotions, how they may be written, and what the adapters' card says."""
        split_id(model or engine.name, served)
        moods = engine.moods
        able = Capabilities(moods.taxonomy, graded=True, mixes=True, history=True, streaming=True)
        return emotions_of(engine.name, SimpleNamespace(capabilities=able, vectors=moods), ())

    @router.get("/health")
    async def health() -> Response:
        """Whether the engine writes replies now."""
        good = await engine.upstream.healthy()
        return JSONResponse({"status": "ok" if good else "loading"}, 200 if good else 503)

    @router.get("/version")
    async def version() -> Mapping[str, str]:
        """The version of emotone."""
        return {"version": __version__}

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """The engine's figures for Prometheus."""
        answer = await engine.upstream.get("/metrics")
        kind = answer.headers.get("content-type", "text/plain")
        return Response(answer.content, answer.status_code, media_type=kind)

    return router
