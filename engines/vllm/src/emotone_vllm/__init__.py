"""Moods by name on a vLLM server: `smollm2@joy:60+fear:20` is a model that it serves.

vLLM asks a `LoRAResolver` for models that it does not know. Ours writes the mood as an adapter.
Nothing but the settings is read here, since every process of vLLM loads its plug-ins.
"""

from __future__ import annotations

__version__ = "0.1.0"

#: Under this name vLLM knows the resolver, and `VLLM_PLUGINS` both of the plug-ins.
NAME = "emotone"


def register() -> None:
    """Register the resolver with vLLM; without mood adapters in the environment do nothing."""
    from emotone_vllm.settings import read_settings

    settings = read_settings()
    if settings is None:
        return
    from vllm.lora.resolver import LoRAResolverRegistry

    from emotone_vllm.resolver import MoodResolver

    if NAME not in LoRAResolverRegistry.get_supported_resolvers():
        LoRAResolverRegistry.register_resolver(NAME, MoodResolver(settings))
