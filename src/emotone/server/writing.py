"""OpenAI's endpoints: what writes replies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from emotone.errors import UsageError
from emotone.server import answers, wire
from emotone.server.answers import Ask
from emotone.server.failures import ERRORS
from emotone.server.jobs import Finished
from emotone.server.meters import Meters
from emotone.server.settings import Settings
from emotone.server.streams import ChatStream
from emotone.server.worker import Worker

#: Seconds between two looks at whether a client is still there.
_LOOK = 0.2


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Read the body as JSON; numbers that JSON does not have, and endless nesting, are none."""
        body = await self.body()
        try:
            return json.loads(body, parse_constant=_no_number)
        except (RecursionError, UnicodeDecodeError) as error:
            raise json.JSONDecodeError(str(error) or "nested too deeply", "", 0) from error


def _no_number(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is no number of JSON", "", 0)


class StrictRoute(APIRoute):
    """A path whose bodies are JSON by the letter."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Build what reads a request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


def router(worker: Worker, settings: Settings, meters: Meters) -> APIRouter:
    """Build the paths that write."""
    writing = APIRouter(route_class=StrictRoute)

    def begin(body: wire.Request, messages: Sequence[wire.Message], **more: Any) -> Ask:
        if not worker.ready:
            raise worker.unready()
        remarks = answers.check_fields(body, settings)
        dialogue, about = answers.dialogue_of(messages, settings)
        return answers.ask(body, dialogue, messages, worker, settings, [*remarks, *about], **more)

    async def wait(request: Request, ask: Ask) -> list[Finished]:
        """Wait for the replies, as long as the client does."""
        waiting = asyncio.ensure_future(answers.whole(ask))
        while not (await asyncio.wait([waiting], timeout=_LOOK))[0]:
            if await request.is_disconnected():
                ask.cancel()
        return waiting.result()

    @writing.post("/v1/chat/completions", responses=ERRORS)
    async def chat(request: Request, body: wire.ChatRequest) -> Response:
        """Answer a conversation in a mood."""
        with meters.request("chat") as count:
            ask = begin(body, body.messages, longest=body.max_completion_tokens)
            count.model = ask.jobs[0].served.name
            if body.stream:
                with_usage = body.stream_options is not None and body.stream_options.include_usage
                return ChatStream(ask, with_usage=with_usage, ended=meters.streamed(count))
            finished = await wait(request, ask)
            return JSONResponse(answers.chat_answer(ask, finished))

    @writing.post("/v1/completions", responses=ERRORS)
    async def completion(request: Request, body: wire.CompletionRequest) -> Response:
        """Answer each prompt as a post."""
        with meters.request("completion") as count:
            if body.stream or body.echo:
                raise UsageError("/v1/completions offers no stream and no echo; use the chat path")
            prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
            if not 1 <= len(prompts) <= settings.max_n:
                raise UsageError(f"{len(prompts)} prompts came; send 1 to {settings.max_n}")
            texts = [[wire.Message(role="user", content=prompt)] for prompt in prompts]
            asks: list[Ask] = []
            try:
                for messages in texts:
                    asks.append(begin(body, messages, kind="cmpl"))
                count.model = asks[0].jobs[0].served.name
                rows = [await wait(request, ask) for ask in asks]
            except BaseException:
                for ask in asks:
                    ask.cancel()
                raise
            every = [f for finished in rows for f in finished]
            choices = [
                {
                    "index": i,
                    "text": answers.text_of(f.reply.text, ask),
                    "logprobs": None,
                    "finish_reason": f.reply.finish_reason or "stop",
                    "emotone": answers.told(f, ask, meter=False),
                }
                for i, (ask, f) in enumerate(
                    (ask, f) for ask, finished in zip(asks, rows, strict=True) for f in finished
                )
            ]
            head = {"id": asks[0].id, "object": "text_completion", "created": asks[0].created}
            return JSONResponse(
                {**head, "model": asks[0].name, "choices": choices, "usage": answers.usage(every)}
            )

    @writing.post("/v1/responses", responses=ERRORS)
    async def response(request: Request, body: wire.ResponseRequest) -> Response:
        """Answer an input; without tools, streams and stored state."""
        with meters.request("response") as count:
            if body.stream or body.n not in (None, 1):
                raise UsageError("/v1/responses offers one reply and no stream; use the chat path")
            given = body.input
            messages = (
                [wire.Message(role="user", content=given)] if isinstance(given, str) else given
            )
            ask = begin(body, messages, longest=body.max_output_tokens, kind="resp")
            count.model = ask.jobs[0].served.name
            finished = await wait(request, ask)
            return JSONResponse(_response_of(ask, finished[0]))

    return writing


def _response_of(ask: Ask, finished: Finished) -> dict[str, Any]:
    text = answers.text_of(finished.reply.text, ask)
    cut = finished.reply.finish_reason == "length"
    used = answers.usage([finished])
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "id": ask.id.replace("resp", "msg"),
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if cut else "completed",
        "content": [part],
    }
    return {
        "id": ask.id,
        "object": "response",
        "created_at": ask.created,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "model": ask.name,
        "output": [message],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": {
            "input_tokens": used["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": used["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used["total_tokens"],
        },
        "emotone": answers.told(finished, ask, meter=False),
    }
