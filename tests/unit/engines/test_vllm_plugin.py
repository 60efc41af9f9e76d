"""The plug-in of vLLM without vLLM: a double of the three classes of it that are used.

`python -m bench.engines` asks a real server.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from emotone.emotions import EmotionMix
from emotone.engines.mood_adapter import write_mood_adapter
from emotone.errors import CheckpointError, ConfigError
from emotone.steering.mood_adapters import open_mood_adapters
from emotone.training.adapters import WEIGHTS
from unit.engines.test_mood_adapter import companion

__all__ = ["companion"]

SOURCE = Path(__file__).parents[3] / "engines" / "vllm" / "src"


class LoRARequest:
    def __init__(self, name: str, number: int, path: str, *, base_model_name: str) -> None:
        self.name, self.number, self.path, self.base = name, number, path, base_model_name


class Registry:
    resolvers: dict[str, Any]

    def __init__(self) -> None:
        self.resolvers = {}

    def get_supported_resolvers(self) -> set[str]:
        return set(self.resolvers)

    def register_resolver(self, name: str, resolver: Any) -> None:
        self.resolvers[name] = resolver


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Stand in for vLLM, and take the plug-in out of memory afterwards."""
    doubles = {
        "vllm": {},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.lora.resolver": {"LoRAResolver": object, "LoRAResolverRegistry": Registry()},
    }
    for name, members in doubles.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(SOURCE))
    yield doubles["vllm.lora.resolver"]["LoRAResolverRegistry"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "emotone_vllm"]:
        del sys.modules[name]


def resolver_of(companion: Path, cache: Path, folders: int = 256) -> Any:
    from emotone_vllm.resolver import MoodResolver
    from emotone_vllm.settings import Settings

    return MoodResolver(Settings(companion, folders=folders, cache=cache))


def resolved(resolver: Any, name: str) -> Any:
    return asyncio.run(resolver.resolve_lora("/models/tiny", name))


def models() -> Any:
    """What vLLM's server keeps of names."""
    return SimpleNamespace(
        lora_requests={},
        base_model_paths=[SimpleNamespace(name="tiny")],
        lora_resolver_lock={},
    )


def test_a_name_becomes_the_adapter_of_its_mood(companion: Path, tmp_path: Path):
    resolver = resolver_of(companion, tmp_path / "cache")
    request = resolved(resolver, "tiny@joy:60+fear:20")
    moods = open_mood_adapters(companion)
    doses = moods.doses(EmotionMix.parse("joy:60 + fear:20", moods.taxonomy))
    write_mood_adapter(moods, doses, tmp_path / "mix", shared=companion)
    theirs, ours = (load_file(Path(p) / WEIGHTS) for p in (request.path, tmp_path / "mix"))
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[key], ours[key]) for key in ours)
    assert (request.name, request.base) == ("tiny@joy:60+fear:20", "tiny")
    # One mood, written in two ways, is one folder under one number.
    again = resolved(resolver, "tiny@fear:20.0+joy:60")
    assert (again.path, again.number) == (request.path, request.number)
    assert resolved(resolver, "tiny@none").path != request.path


@pytest.mark.parametrize(
    "name",
    [
        *("tiny", "tiny@", "tiny@nonsense:60", "tiny@joy:900", "tiny@joy:sixty", "other@joy:60"),
        *("tiny@../../etc", "tiny@auto", f"tiny@joy:60{' ' * 500}"),
    ],
)
def test_a_name_that_is_no_mood_is_no_model(companion: Path, tmp_path: Path, name: str):
    assert resolved(resolver_of(companion, tmp_path), name) is None


def test_the_name_not_used_for_longest_gives_way(companion: Path, tmp_path: Path):
    resolver, table = resolver_of(companion, tmp_path / "cache", folders=2), models()
    resolver.take_over(table)
    for name in ("tiny@joy:60", "tiny@fear:60"):
        table = resolver._models
        table.lora_requests[name] = resolved(resolver, name)
    assert "tiny@joy:60" in table.lora_requests  # a look-up, as vLLM makes one a request
    assert resolved(resolver, "tiny@sadness:60") is not None
    assert list(table.lora_requests) == ["tiny@joy:60"]
    assert len(list((tmp_path / "cache").glob("*/@*"))) == 2


def test_no_name_gives_way_that_a_running_request_may_use(companion: Path, tmp_path: Path):
    resolver = resolver_of(companion, tmp_path / "cache", folders=1)
    resolver.take_over(models())
    begun = resolver.uses.begin()
    assert resolved(resolver, "tiny@joy:60") is not None
    assert resolved(resolver, "tiny@fear:60") is None
    resolver.uses.end(begun, whole=True)
    assert resolved(resolver, "tiny@fear:60") is not None
    assert resolved(resolver, "tiny@joy:60") is not None


def test_without_its_second_part_new_names_are_refused_and_none_is_taken_away(
    companion: Path, tmp_path: Path
):
    resolver = resolver_of(companion, tmp_path / "cache", folders=1)
    place = resolved(resolver, "tiny@joy:60").path
    assert resolved(resolver, "tiny@fear:60") is None
    assert (Path(place) / WEIGHTS).is_file()


def test_a_request_that_was_left_counts_for_some_seconds_more(registry: Registry):
    from emotone_vllm.uses import LINGER, Uses

    clock = [0.0]
    uses = Uses(lambda: clock[0])
    begun = uses.begin()
    uses.look_up("a")
    uses.end(begun, whole=False)
    assert list(uses.idle(["a"])) == []
    clock[0] = LINGER + 1
    assert list(uses.idle(["a"])) == ["a"]


def test_it_is_registered_only_where_moods_are_named(
    companion: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    import emotone_vllm

    monkeypatch.delenv("EMOTONE_VLLM_MOODS", raising=False)
    emotone_vllm.register()
    assert registry.resolvers == {}
    monkeypatch.setenv("EMOTONE_VLLM_MOODS", str(companion))
    for _ in range(2):  # every process of vLLM loads its plug-ins, some of them twice
        emotone_vllm.register()
    assert list(registry.resolvers) == ["emotone"]


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_a_bound_that_cannot_be_meant_is_refused(number: str):
    from emotone_vllm.settings import read_settings

    with pytest.raises(ConfigError, match=r"EMOTONE_VLLM_FOLDERS is"):
        read_settings({"EMOTONE_VLLM_MOODS": "moods", "EMOTONE_VLLM_FOLDERS": number})


def test_moods_without_their_shared_adapters_are_refused(companion: Path, tmp_path: Path):
    (companion / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="copy the whole folder again"):
        resolver_of(companion, tmp_path / "cache").open()


def test_what_a_killed_server_left_is_removed_and_what_is_used_stays(
    companion: Path, tmp_path: Path
):
    cache = tmp_path / "cache"
    left = cache / "emotone-vllm-left"
    left.mkdir(parents=True)
    (left / "adapter").write_text("")
    first = resolver_of(companion, cache)
    place = Path(resolved(first, "tiny@joy:60").path)
    assert not left.exists()
    resolver_of(companion, cache).open()
    assert place.is_dir()


def watched(uses: Any, *messages: dict[str, Any], breaks: bool = False) -> None:
    """Let a request pass the plug-in, whose answer is some messages."""
    from emotone_vllm.turnover import _Watch

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        if breaks:
            raise ConnectionError

    async def send(message: Any) -> None:
        pass

    async def ask() -> None:
        await _Watch(app, uses)({"type": "http"}, None, send)  # pyright: ignore[reportArgumentType]

    if breaks:
        with pytest.raises(ConnectionError):
            asyncio.run(ask())
    else:
        asyncio.run(ask())


BODY = {"type": "http.response.body"}


def test_a_request_that_ended_whole_lets_its_names_go(registry: Registry):
    from emotone_vllm.uses import Uses

    uses = Uses(lambda: 0.0)
    uses.look_up("a")
    watched(uses, {"type": "http.response.start"}, BODY | {"more_body": True}, BODY)
    assert list(uses.idle(["a"])) == ["a"]


@pytest.mark.parametrize("breaks", [True, False])
def test_a_stream_that_was_left_keeps_its_names(registry: Registry, breaks: bool):
    from emotone_vllm.uses import LINGER, Uses

    clock = [0.0]
    uses = Uses(lambda: clock[0])
    begun = uses.begin()
    uses.end(begun, whole=True)
    watched(uses, BODY | {"more_body": True}, breaks=breaks)
    uses.look_up("a")
    assert list(uses.idle(["a"])) == []
    clock[0] = LINGER + 1
    assert list(uses.idle(["a"])) == ["a"]


def test_the_servers_part_takes_over_what_is_registered(
    companion: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from argparse import Namespace

    import emotone_vllm
    from emotone_vllm.turnover import Turnover

    parts: list[Any] = []
    app = SimpleNamespace(add_middleware=lambda kind, **more: parts.append((kind, more)))
    Turnover().attach_router(app)
    assert parts == []  # nothing is registered
    monkeypatch.setenv("EMOTONE_VLLM_MOODS", str(companion))
    monkeypatch.setenv("EMOTONE_VLLM_CACHE", str(tmp_path / "cache"))
    emotone_vllm.register()
    resolver = registry.resolvers["emotone"]
    table = models()
    Turnover().attach_router(app)
    state = SimpleNamespace(openai_serving_models=table)
    asyncio.run(Turnover().init_state(object(), state, Namespace()))
    assert parts[0][1] == {"uses": resolver.uses}
    table.lora_requests["tiny@joy:60"] = object()
    assert list(resolver.uses.idle(["tiny@joy:60"])) == ["tiny@joy:60"]
