"""The Python door: one post in, one reply out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from emotone import config as configs
from emotone import systems
from emotone.emotions import EmotionMix
from emotone.errors import Unsupported
from emotone.protocols import Responder, StreamingResponder
from emotone.types import Capabilities, Decoding, Dialogue, Reply


@dataclass(frozen=True, slots=True)
class Door:
    """A system with a door for single posts.

    Args:
        responder: The system itself, for batches.
    """

    responder: Responder

    @property
    def capabilities(self) -> Capabilities:
        """What the system can be asked for."""
        return self.responder.capabilities

    def reply(
        self,
        post: str | Dialogue,
        emotion: str | Mapping[str, float] | EmotionMix | None = None,
        *,
        seed: int = 0,
        decoding: Decoding | None = None,
    ) -> Reply:
        """Answer one post or dialogue.

        Args:
            post: The text, or a dialogue with its history.
            emotion: Such as "sadness:80", {"joy": 60, "fear": 20}, or None.
            seed: The same seed gives the same reply.
            decoding: How to decode; its seed gives way to `seed`.
        """
        return self.responder.reply(
            [_dialogue(post)],
            [self._mix(emotion)],
            decoding=replace(decoding or Decoding(), seed=seed),
        )[0]

    def stream(
        self,
        post: str | Dialogue,
        emotion: str | Mapping[str, float] | EmotionMix | None = None,
        *,
        seed: int = 0,
        decoding: Decoding | None = None,
    ) -> Iterator[str]:
        """Yield the reply piece by piece.

        Raises:
            Unsupported: If the system cannot stream.
        """
        if not isinstance(self.responder, StreamingResponder):
            raise Unsupported("this system does not stream; use reply")
        return self.responder.stream(
            _dialogue(post),
            self._mix(emotion),
            decoding=replace(decoding or Decoding(), seed=seed),
        )

    def _mix(self, emotion: str | Mapping[str, float] | EmotionMix | None) -> EmotionMix | None:
        if emotion is None or isinstance(emotion, EmotionMix):
            return emotion
        taxonomy = self.capabilities.taxonomy
        if isinstance(emotion, str):
            return EmotionMix.parse(emotion, taxonomy) if taxonomy else EmotionMix.parse(emotion)
        return EmotionMix.of(emotion, taxonomy) if taxonomy else EmotionMix.of(emotion)


def _dialogue(post: str | Dialogue) -> Dialogue:
    return post if isinstance(post, Dialogue) else Dialogue.of(post)


def open_door(system: str, model: str | None, device: str, settings: Mapping[str, Any]) -> Door:
    """Load a system and put a door before it."""
    overrides = [f"{k}={configs.literal(v)}" for k, v in settings.items()]
    return Door(systems.load(system, model, device=device, overrides=overrides))
