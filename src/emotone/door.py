"""The Python door: one post in, one reply out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from emotone import config as configs
from emotone import systems
from emotone.emotions import EmotionMix
from emotone.errors import Unsupported
from emotone.protocols import Responder, StreamingResponder
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply


@dataclass(frozen=True, slots=True)
class Door:
    """A system with a door for single posts.

    Args:
        responder: The system itself, for batches; where it has a model of each language and none
            was named, that of English.
        others: Language -> loads the system for it; a post in its script is answered by that.
    """

    responder: Responder
    others: Mapping[str, Callable[[], Responder]] = field(
        default_factory=dict[str, "Callable[[], Responder]"]
    )

    @property
    def capabilities(self) -> Capabilities:
        """What the system can be asked for."""
        return self.responder.capabilities

    def reply(
        self,
        post: str | Dialogue,
        emotion: str | Mapping[str, float] | EmotionMix | None = None,
        *,
        empathy: str | EmpathyLevels | None = None,
        seed: int = 0,
        decoding: Decoding | None = None,
    ) -> Reply:
        """Answer one post or dialogue.

        Args:
            post: The text, or a dialogue with its history.
            emotion: Such as "sadness:80", {"joy": 60, "fear": 20}, or None.
            empathy: Such as "reaction:2 interpretation:1 exploration:0", for `emprl`.
            seed: The same seed gives the same reply.
            decoding: How to decode; its seed gives way to `seed`.
        """
        dialogue = _dialogue(post)
        responder = self._for(dialogue)
        return responder.reply(
            [dialogue],
            [_mix(emotion, responder.capabilities)],
            decoding=replace(decoding or Decoding(), seed=seed),
            empathy=[EmpathyLevels.parse(empathy) if isinstance(empathy, str) else empathy],
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
        dialogue = _dialogue(post)
        responder = self._for(dialogue)
        if not isinstance(responder, StreamingResponder):
            raise Unsupported("this system does not stream; use reply")
        return responder.stream(
            dialogue,
            _mix(emotion, responder.capabilities),
            decoding=replace(decoding or Decoding(), seed=seed),
        )

    def _for(self, dialogue: Dialogue) -> Responder:
        from emotone.data.text import language

        load = self.others.get(language(dialogue.posts[-1].text))
        return self.responder if load is None else load()


def _mix(
    emotion: str | Mapping[str, float] | EmotionMix | None, capabilities: Capabilities
) -> EmotionMix | None:
    if emotion is None or isinstance(emotion, EmotionMix):
        return emotion
    taxonomy = capabilities.taxonomy
    if isinstance(emotion, str):
        return EmotionMix.parse(emotion, taxonomy) if taxonomy else EmotionMix.parse(emotion)
    return EmotionMix.of(emotion, taxonomy) if taxonomy else EmotionMix.of(emotion)


def _dialogue(post: str | Dialogue) -> Dialogue:
    return post if isinstance(post, Dialogue) else Dialogue.of(post)


def open_door(system: str, model: str | None, device: str, settings: Mapping[str, Any]) -> Door:
    """Load a system and put a door before it."""
    overrides = [f"{k}={configs.literal(v)}" for k, v in settings.items()]

    def load(lang: str | None) -> Responder:
        return systems.load(system, model, device=device, overrides=overrides, lang=lang)

    languages = getattr(systems.module(system), "MODELS", {}) if model is None else {}
    others = {lang: cache(partial(load, lang)) for lang in languages if lang != "en"}
    return Door(load("en" if "en" in languages else None), others)
