"""Replies with a chosen emotion.

```python
import emotone

print(emotone.load().reply("My best friend forgot my birthday.", "sadness:80"))
```
"""

from __future__ import annotations

TYPE_CHECKING = False  # that of `typing`, which costs more than all the rest here
if TYPE_CHECKING:
    from typing import Any

    from emotone.door import Door
    from emotone.emotions import Emotion, EmotionMix, Taxonomy
    from emotone.evaluation.generate import generate_file as generate
    from emotone.evaluation.score import score_files as score
    from emotone.protocols import Responder
    from emotone.steering.extract import extract
    from emotone.systems.steered import calibrate_vectors as calibrate
    from emotone.types import Decoding, Dialogue, Example, Post, Reply

__version__ = "0.1.0"

__all__ = [
    "Decoding",
    "Dialogue",
    "Emotion",
    "EmotionMix",
    "Example",
    "Post",
    "Reply",
    "Responder",
    "Taxonomy",
    "calibrate",
    "extract",
    "generate",
    "load",
    "score",
]

#: Public names -> module and name there, imported when they are first named: a command starts at
#: once, and an interrupt then finds it ready.
_NAMES = {
    "Decoding": ("emotone.types", "Decoding"),
    "Dialogue": ("emotone.types", "Dialogue"),
    "Emotion": ("emotone.emotions", "Emotion"),
    "EmotionMix": ("emotone.emotions", "EmotionMix"),
    "Example": ("emotone.types", "Example"),
    "Post": ("emotone.types", "Post"),
    "Reply": ("emotone.types", "Reply"),
    "Responder": ("emotone.protocols", "Responder"),
    "Taxonomy": ("emotone.emotions", "Taxonomy"),
    "calibrate": ("emotone.systems.steered", "calibrate_vectors"),
    "extract": ("emotone.steering.extract", "extract"),
    "generate": ("emotone.evaluation.generate", "generate_file"),
    "score": ("emotone.evaluation.score", "score_files"),
}
_ROOMS = (
    *("data", "door", "emotions", "errors", "judges", "models", "protocols", "report"),
    *("systems", "types"),
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _NAMES:
        module, there = _NAMES[name]
        return getattr(import_module(module), there)
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_ROOMS})


def load(
    system: str | None = None, model: str | None = None, *, device: str = "auto", **settings: Any
) -> Door:
    """Load a system and return it with a door for single posts.

    Args:
        system: Name of the system; None for `steered`, and for Chinese posts the best that is here
            for them.
        model: Catalogue name, folder or hub id; None for the system's default.
        device: "auto", "cpu", "cuda" or "mps".
        **settings: Settings of the system's `Config`, such as `candidates=1`.

    Raises:
        UnknownName: If the system or the model is unknown.
        ConfigError: If a setting is unknown or has the wrong type.
    """
    from emotone.door import open_door

    door = open_door(system, model, device=device, settings=settings)
    door.responder_for("")  # what is wrong is said now, and not at the first post
    return door
