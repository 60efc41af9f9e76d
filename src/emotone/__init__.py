"""Replies with a chosen emotion.

```python
import emotone

print(emotone.load().reply("My best friend forgot my birthday.", "sadness:80"))
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotone.door import Door

from emotone.emotions import Emotion, EmotionMix, Taxonomy
from emotone.protocols import Responder
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
    "load",
]


def load(
    system: str = "steered", model: str | None = None, *, device: str = "auto", **settings: Any
) -> Door:
    """Load a system and return it with a door for single posts.

    Args:
        system: Name of the system.
        model: Catalogue name, folder or hub id; None for the system's default.
        device: "auto", "cpu", "cuda" or "mps".
        **settings: Settings of the system's `Config`, such as `candidates=1`.

    Raises:
        UnknownName: If the system or the model is unknown.
        ConfigError: If a setting is unknown or has the wrong type.
    """
    from emotone.door import open_door

    return open_door(system, model, device, settings)
