"""Let old moods give way to new ones: vLLM itself never forgets a name that was resolved."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from emotone_vllm import NAME
from emotone_vllm.resolver import registered
from emotone_vllm.uses import Uses

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Turnover:
    """vLLM's plug-in of the server's process; it adds no path. Loaded if VLLM_PLUGINS names it."""

    name = NAME
    required_tasks = ("generate",)

    def attach_router(self, app: Any) -> None:
        """Watch when requests begin and end."""
        resolver = registered()
        if resolver is not None:
            app.add_middleware(_Watch, uses=resolver.uses)

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:  # noqa: ARG002
        """Take over the table of names, and load the adapters, so that damage shows at once."""
        resolver = registered()
        if resolver is not None and engine_client is not None:
            resolver.open()
            resolver.take_over(state.openai_serving_models)


class _Watch:
    """Notes when a request begins and ends."""

    def __init__(self, app: Any, uses: Uses) -> None:
        self._app, self._uses = app, uses

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Let a request pass."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        whole = False

        async def watched(message: _Message) -> None:
            nonlocal whole
            await send(message)
            last = message["type"] == "http.response.body" and not message.get("more_body")
            whole = whole or last

        begun = self._uses.begin()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._uses.end(begun, whole=whole)
