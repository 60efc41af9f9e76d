"""The names that a server answers to, each loaded when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emotone import systems
from emotone.door import Door, open_door
from emotone.errors import UnknownName, UsageError, unknown_name

#: The default system, with whoever answers a post's language best.
DEFAULT = "emotone"


@dataclass(frozen=True, slots=True)
class Served:
    """One name.

    Args:
        name: What clients write as `model`.
        system: The system; None for the default one.
        model: Its model; None for its own.
    """

    name: str
    system: str | None = None
    model: str | None = None

    def open(self, device: str) -> Door:
        """Put a door before it; weights are loaded when they are first needed."""
        return open_door(self.system, self.model, device=device)


def read(text: str) -> Served:
    """Read one item of `--model`: NAME, or NAME=SYSTEM, or NAME=SYSTEM:PLACE.

    A bare name is a system, a chat model of the catalogue, or a trained model of the zoo.

    Raises:
        UnknownName: If it is none.
        UsageError: If the name holds signs that a client cannot send.
    """
    name, sign, target = text.partition("=")
    if not name or any(c in "@/\\ " or not c.isprintable() for c in name):
        raise UsageError(f"the name {name!r} holds '@', '/' or a blank; use another")
    if not sign:
        here = everything()
        if name not in here:
            raise unknown_name("model", name, here)
        return here[name]
    system, _, place = target.partition(":")
    if system.replace("-", "_") not in systems.names():
        raise unknown_name("system", system, systems.names())
    return Served(name, system, place or None)


def everything() -> Mapping[str, Served]:
    """All that can be served here without a folder: name -> what it is."""
    from emotone.models import zoo
    from emotone.models.store import installed

    names = {DEFAULT: Served(DEFAULT)}
    names |= {s: Served(s, s) for s in ("steered", "prompted", "echo")}
    for model in installed():
        from emotone.models import catalog
        from emotone.steering.find import companion_named, vectors_named

        if catalog.entry(model).kind == "causal-lm" and (
            companion_named(model) or vectors_named(model) is not None
        ):
            names[model] = Served(model, "steered", model)
    for model in zoo.listed("systems"):
        if (system := zoo.trained_by(model)) is not None:
            names[model] = Served(model, system, model)
    return names


def chosen(items: Sequence[str]) -> Mapping[str, Served]:
    """Return what a server serves, the default first.

    Raises:
        UsageError: If a name occurs twice, or cannot be read.
    """
    if not items:
        return everything()
    names: dict[str, Served] = {}
    for item in items:
        served = read(item)
        if served.name in names:
            raise UsageError(f"{served.name} is served twice; give each name once")
        names[served.name] = served
    return names


def split_id(name: str, served: Mapping[str, Served]) -> tuple[Served, str]:
    """Part a model id like "smollm2@joy:60" into what is served and the mood, "" for none.

    Raises:
        UnknownName: If nothing of that name is served, or no mood stands behind its "@".
    """
    plain, sign, mood = name.partition("@")
    if plain not in served:
        raise UnknownName(str(unknown_name("model", plain[:100], served)))
    if sign and not mood:
        raise UnknownName(f"no mood stands behind {name!r}; add one, as in {f'{name}joy:60'!r}")
    return served[plain], mood
