"""From a model's name with a mood to its adapter, by vLLM's own `LoRAResolver`."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vllm.lora.request import LoRARequest
from vllm.lora.resolver import LoRAResolver

from emotone.emotions import EmotionMix
from emotone.engines.mood_name import LONGEST, mood_in
from emotone.errors import UsageError
from emotone_vllm.settings import Settings
from emotone_vllm.uses import Table, Uses

if TYPE_CHECKING:
    from emotone_vllm.folders import Folders

_log = logging.getLogger("vllm.emotone")


class MoodResolver(LoRAResolver):
    """Writes the adapter of a mood when its name is first asked for.

    A name that cannot be read gives None, so that vLLM answers that there is no such model. At most
    `settings.folders` names are known at once. Then the one that was not used for longest gives
    way, if `take_over` was called and no request can be using it; else new names are refused.

    Args:
        settings: What is served.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.uses = Uses()
        self._served: tuple[str, ...] = settings.names
        self._places: dict[str, Path] = {}
        self._models: Any = None
        self._folders: Folders | None = None
        self._one = asyncio.Lock()

    def take_over(self, models: Any) -> None:
        """Learn the names that vLLM serves its model by, and let old moods give way from now on.

        Args:
            models: vLLM's `OpenAIServingModels`, whose table of names notes look-ups from now on.
        """
        models.lora_requests = Table(models.lora_requests, self.uses)
        self._served = self._served or tuple(row.name for row in models.base_model_paths)
        self._models = models

    def open(self) -> Folders:
        """Load the mood adapters, once.

        Raises:
            CheckpointError: If they are damaged.
        """
        if self._folders is None:
            from emotone_vllm.folders import Folders

            self._folders = Folders(self.settings.moods, self.settings.cache)
        return self._folders

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """Return the adapter of a name like "smollm2@joy:60"; None for what is none."""
        try:
            return await self._resolve(base_model_name, lora_name)
        finally:
            self._drop_locks()

    async def _resolve(self, base: str, name: str) -> LoRARequest | None:
        plain, _, mood = name.partition("@")
        if plain not in (self._served or (base, Path(base).name)) or not 0 < len(mood) <= LONGEST:
            return None
        async with self._one:
            try:
                folders = await asyncio.to_thread(self.open)
                mix = mood_in(mood, folders.adapters.taxonomy)
                if not self._room(name):
                    return None
                place = await asyncio.to_thread(folders.write, mix)
            except UsageError as error:
                _log.info("no mood %.100r: %s", name, error)
                return None
            self._places[name] = place
            self.uses.look_up(name)
            # Some releases of vLLM put a number of their own in place of this one.
            return LoRARequest(name, stable_id(mix), str(place), base_model_name=plain)

    def _room(self, name: str) -> bool:
        """Make room for a name; tell whether there is some."""
        while name not in self._places and len(self._places) >= self.settings.folders:
            oldest = next(self.uses.idle(self._places), None) if self._models else None
            if oldest is None:
                _log.warning(
                    "no room for the mood %.100r: %d are kept, and none may be forgotten now",
                    name,
                    len(self._places),
                )
                return False
            self._models.lora_requests.pop(oldest, None)
            self.uses.forget(oldest)
            place = self._places.pop(oldest)
            if place not in self._places.values():  # one mood may be written in several ways
                shutil.rmtree(place, ignore_errors=True)
        return True

    def _drop_locks(self) -> None:
        """Drop what vLLM keeps of names that it refused: a lock for each that was ever asked."""
        locks: dict[str, asyncio.Lock] = self._models.lora_resolver_lock if self._models else {}
        if len(locks) > 2 * self.settings.folders:
            for name in [name for name, lock in locks.items() if not lock.locked()]:
                del locks[name]


def stable_id(mix: EmotionMix | None) -> int:
    """Return a number above 0 for a mood, the same in every process."""
    return int.from_bytes(hashlib.sha256(str(mix).encode()).digest()[:4]) or 1


def registered() -> MoodResolver | None:
    """Return the resolver that vLLM knows, if it does."""
    from vllm.lora.resolver import LoRAResolverRegistry

    from emotone_vllm import NAME

    rows: Any = LoRAResolverRegistry.resolvers
    return rows.get(NAME)
