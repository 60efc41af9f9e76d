"""`emotone serve --engine vllm` and `llamacpp`: open the door before a server of theirs.

vLLM is joined or started. llama-server is joined: it was started with the adapters that `emotone
export gguf-lora --each` wrote, one an emotion, and says which it has.

Needs the extra `serve`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from emotone.engines.asking import Asker
from emotone.engines.gguf_lora import SHARED, SUFFIX
from emotone.engines.wire import NoAnswer, Server
from emotone.errors import ConfigError, RunError, UsageError
from emotone.models.store import locate
from emotone.server.child import Child, started
from emotone.server.remote import Engine, build
from emotone.server.settings import Settings
from emotone.server.upstream import Upstream
from emotone.steering.mood_adapters import MoodAdapters, open_mood_adapters
from emotone.training.adapters import CONFIG
from emotone.web.listen import bind, listen

VLLM, LLAMACPP = "vllm", "llamacpp"
#: Engine -> the variable that holds its key.
_KEYS = {VLLM: "VLLM_API_KEY", LLAMACPP: "LLAMA_API_KEY"}


def serve_before(
    engine: str,
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
        engine: "vllm" or "llamacpp".
        settings: What it may do. Its one model is the name at the engine, or NAME=PLACE for a
            server that is started; without one it is that of the mood adapters.
        keys: API keys; () asks for none.
        moods: File or folder of mood adapters.
        url: A server that runs; "" starts one of vLLM. Its key is read from VLLM_API_KEY or
            LLAMA_API_KEY.
        command: What starts one of vLLM.
        ready: Called with the address.

    Raises:
        ConfigError: If several models are named, or the engine lacks adapters.
        UsageError: If llama-server is to be started.
        NoAnswer: If the server of `url` does not answer.
        RunError: If vLLM ended.
    """
    if engine == LLAMACPP and not url:
        raise UsageError(
            "--engine llamacpp joins a llama-server that runs; start it with the files of `emotone"
            " export gguf-lora --each`, and give its --url"
        )
    adapters = open_mood_adapters(moods)
    if len(settings.models) > 1:
        raise ConfigError(f"{len(settings.models)} models are named; {engine} serves one at a time")
    model = settings.models[0] if settings.models else adapters.card.model
    name, sign, place = model.partition("=")
    key = os.environ.get(_KEYS[engine], "")
    server = Server(url, key) if url else None
    if server is not None and not settings.models:
        name = Asker(server, 1).models()[0]
    loras = None if engine != LLAMACPP or server is None else loras_of(server, adapters)
    own = bind(settings.host, settings.port)
    if server is not None:
        joined = Engine(Upstream(url, key), name, adapters, loras)
        listen(build(settings, keys, joined), own, ready=ready, death=lambda: None)
        return
    with _started(command, place if sign else name, name, moods, adapters) as (opened, child):
        listen(
            build(settings, keys, opened),
            own,
            ready=ready,
            death=lambda: child.death,
        )


def loras_of(server: Server, adapters: MoodAdapters) -> dict[str, int]:
    """Return the number of each emotion's adapter at a llama-server, and of the shared ones.

    They are known by their files' names.

    Raises:
        NoAnswer: If it does not say.
        ConfigError: If it has not loaded one of them.
    """
    answer = server.get("/lora-adapters")
    if not answer.good or not isinstance(answer.value, list):
        raise NoAnswer(
            f"{server.url} does not tell its adapters ({answer.complaint()}); name a llama-server"
        )
    rows: list[Any] = answer.value
    found = {PurePath(str(row["path"]).replace("\\", "/")).stem: int(row["id"]) for row in rows}
    wanted = [*adapters.labels, *([SHARED] if adapters.card.adapters else [])]
    if missing := [label for label in wanted if label not in found]:
        files = ",".join(f"{label}{SUFFIX}:0" for label in wanted)
        raise ConfigError(
            f"{server.url} has no adapter of {', '.join(missing)}; start llama-server with"
            f" --lora-scaled {files}"
        )
    return {label: found[label] for label in wanted}


@contextmanager
def _started(
    command: str, model: str, name: str, moods: Path, adapters: MoodAdapters
) -> Iterator[tuple[Engine, Child]]:
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
