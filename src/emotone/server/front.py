"""`emotone serve --engine vllm`: join or start a vLLM server, and open the door before it.

Needs the extra `serve`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from emotone.engines.asking import Asker
from emotone.engines.wire import Server
from emotone.errors import ConfigError, RunError
from emotone.models.store import locate
from emotone.server.child import Child, started
from emotone.server.remote import Engine, build
from emotone.server.settings import Settings
from emotone.server.upstream import Upstream
from emotone.steering.mood_adapters import MoodAdapters, open_mood_adapters
from emotone.training.adapters import CONFIG
from emotone.web.listen import bind, listen


def serve_before_vllm(
    settings: Settings,
    keys: Sequence[str],
    moods: Path,
    *,
    url: str = "",
    command: str = "vllm",
    ready: Callable[[str], None],
) -> None:
    """Serve until asked to stop.

    Args:
        settings: What it may do. Its one model is the name at vLLM, or NAME=PLACE for a server that
            is started; without one it is that of the mood adapters.
        keys: API keys; () asks for none.
        moods: File or folder of mood adapters.
        url: A vLLM server that runs; "" starts one. Its key is read from VLLM_API_KEY.
        command: What starts one.
        ready: Called with the address.

    Raises:
        ConfigError: If several models are named.
        NoAnswer: If the server of `url` does not answer.
        RunError: If vLLM ended.
    """
    adapters = open_mood_adapters(moods)
    if len(settings.models) > 1:
        raise ConfigError(f"{len(settings.models)} models are named; vLLM serves one at a time")
    model = settings.models[0] if settings.models else adapters.card.model
    name, sign, place = model.partition("=")
    if not settings.models and url:
        name = Asker(Server(url, os.environ.get("VLLM_API_KEY", "")), 1).models()[0]
    own = bind(settings.host, settings.port)
    with _engine(url, command, place if sign else name, name, moods, adapters) as (engine, child):
        listen(
            build(settings, keys, engine),
            own,
            ready=ready,
            death=lambda: None if child is None else child.death,
        )


@contextmanager
def _engine(
    url: str, command: str, model: str, name: str, moods: Path, adapters: MoodAdapters
) -> Iterator[tuple[Engine, Child | None]]:
    if url:
        upstream = Upstream(url, os.environ.get("VLLM_API_KEY", ""))
        yield Engine(upstream, name, adapters), None
        return
    place = locate(model).path or model
    with started(command, place, name, moods, largest_rank(moods, adapters)) as child:
        yield Engine(Upstream(child.url, child.key), name, adapters), child


def largest_rank(moods: Path, adapters: MoodAdapters) -> int:
    """Return the rank of a mix of all emotions, with the shared adapters.

    Raises:
        RunError: If the shared adapters are not beside the mood adapters.
    """
    rank = adapters.rank * len(adapters.labels)
    if not adapters.card.adapters:
        return rank
    file = (moods if moods.is_dir() else moods.parent) / CONFIG
    try:
        return rank + int(json.loads(file.read_text(encoding="utf-8"))["r"])
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"the shared adapters of {moods} have no readable {CONFIG} beside them; copy the whole"
            " folder again"
        ) from error
