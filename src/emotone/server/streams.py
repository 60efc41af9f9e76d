"""A reply as OpenAI's clients read it piece by piece."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

from emotone.server.answers import Ask, told, usage
from emotone.server.failures import error_of
from emotone.server.jobs import Failed, Finished, Piece, Withdrawn
from emotone.web.guard import Receive, Scope, Send


class ChatStream(StreamingResponse):
    """The stream of /v1/chat/completions; a reader who leaves frees the rows.

    Args:
        ask: What is answered.
        with_usage: Whether tokens are counted in a last piece.
        ended: Called once, however it ends: what it failed by, None for nothing, and the seconds
            until its first piece, None where none came.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        with_usage: bool,
        ended: Callable[[Exception | None, float | None], None],
    ) -> None:
        self._ask = ask
        self._with_usage = with_usage
        self._ended = ended
        self._error: Exception | None = Withdrawn()
        self._first: float | None = None
        super().__init__(self._events(), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._error is not None:
                self._ask.cancel()
            self._ended(self._error, self._first)

    async def _events(self) -> AsyncIterator[bytes]:
        ask, began = self._ask, time.monotonic()
        finished: list[Finished] = []
        for i in range(len(ask.jobs)):
            yield _chunk(ask, [_delta(i, {"role": "assistant", "content": ""})])
        while len(finished) < len(ask.jobs):
            choice, arrived = await ask.events.get()
            if isinstance(arrived, Failed):
                self._error = arrived.error
                yield _event(json.loads(bytes(error_of(arrived.error).body)))
                return
            if isinstance(arrived, Piece):
                self._first = self._first or time.monotonic() - began
                more = {"emotone": {"meter": list(arrived.meter)}} if arrived.meter else {}
                yield _chunk(ask, [_delta(choice, {"content": arrived.text})], **more)
                continue
            finished.append(arrived)
            if ask.pointer:
                yield _chunk(ask, [_delta(choice, {"content": f"\n\n{ask.pointer}"})])
            row = told(arrived, ask, meter=ask.jobs[choice].meter)
            last = _delta(choice, {}) | {"finish_reason": arrived.reply.finish_reason or "stop"}
            yield _chunk(ask, [last], emotone=row)
        self._error = None
        if self._with_usage:
            yield _chunk(ask, [], usage=usage(finished))
        yield b"data: [DONE]\n\n"


def _chunk(ask: Ask, choices: list[dict[str, Any]], **more: Any) -> bytes:
    row = {
        "id": ask.id,
        "object": "chat.completion.chunk",
        "created": ask.created,
        "model": ask.name,
        "choices": choices,
        **more,
    }
    return _event(row)


def _event(row: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(row, ensure_ascii=False)}\n\n".encode()


def _delta(choice: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}
