"""One file a published system; the file's name is the system's name, and nothing is registered.

A system module offers `Config` (a frozen dataclass), `load(model, *, device, config)`,
`train(config, out)` and `tiny()`, a seconds-on-CPU instance for tests and docs. One whose models
speak one language each may offer `MODELS`, language -> name of its model.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType

from emotone import config as configs
from emotone.errors import unknown_name
from emotone.outside import outside_module
from emotone.protocols import Responder

DEFAULT = "steered"


def names() -> list[str]:
    """List the systems, which are the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def module(name: str) -> ModuleType:
    """Import a system by file name, or by dotted name for code from outside.

    Raises:
        UnknownName: If there is no such system.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise unknown_name("system", repr(name), names())
    plain = name.replace("-", "_")
    if plain in names():
        return import_module(f"{__name__}.{plain}")
    return outside_module("system", name, names(), needs=("Config", "load"))


def models(name: str) -> Mapping[str, str]:
    """Return language -> model of a system that has a model for each; empty for any other."""
    return getattr(module(name), "MODELS", {})


def answerer(lang: str) -> tuple[str, str | None]:
    """Name who answers a language best where no system is named, without loading it.

    Returns:
        The system and its model: a chat model of the language that has learned to talk and is
        here, else a trained model of the zoo, else the default.
    """
    from emotone.models import catalog, zoo

    if lang in catalog.languages_of(catalog.DEFAULT):
        return DEFAULT, None
    from emotone.models.store import installed
    from emotone.steering.find import companion_named

    for model in installed():
        if lang in catalog.languages_of(model) and companion_named(model):
            return DEFAULT, model
    trained = models("ecm").get(lang)
    return ("ecm", trained) if trained in zoo.listed("systems") else (DEFAULT, None)


def load(
    name: str = DEFAULT,
    model: str | None = None,
    *,
    device: str = "auto",
    overrides: Sequence[str] = (),
) -> Responder:
    """Load a system, ready to answer.

    Args:
        name: Name of the system; "-" and "_" are the same.
        model: Catalogue name, folder or hub id of its weights; None for the system's default.
        device: "auto", "cpu", "cuda" or "mps".
        overrides: Items like "candidates=1" for the system's `Config`.

    Raises:
        UnknownName: If there is no such system.
        ConfigError: If an override names no field of its config.
    """
    system = module(name)
    # A model folder may say how its replies are chosen; only settings that are given overrule it.
    config = configs.load(system.Config, None, overrides) if overrides else None
    return system.load(model, device=device, config=config)
