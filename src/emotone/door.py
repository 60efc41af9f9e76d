"""The door that Python and the commands go through: one post in, one reply out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from emotone import config as configs
from emotone import systems
from emotone.emotions import EKMAN, EmotionMix, MixText, Taxonomy
from emotone.errors import Unsupported, unknown_name
from emotone.protocols import Responder, StreamingResponder
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply

#: The ways to ask for an emotion, such as "sadness:80" or {"joy": 60, "fear": 20}.
AnyEmotion = str | Mapping[str, float] | MixText | EmotionMix | None
#: Takes a sentence for the user that is not a result.
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Door:
    """A system with a door for single posts.

    Args:
        open: Language -> the system with its model of the language, loaded when it is first asked
            for.
        languages: The languages of its models, that of posts in any other first. ("",) for a
            system with one model.
    """

    open: Callable[[str], Responder]
    languages: tuple[str, ...] = ("",)

    @classmethod
    def of(cls, responder: Responder) -> Door:
        """Put a door before a system that is loaded."""
        return cls(lambda _: responder)

    @property
    def responder(self) -> Responder:
        """The system itself, for batches; where it has models of several languages, the first."""
        return self.open(self.languages[0])

    @property
    def capabilities(self) -> Capabilities:
        """What the system can be asked for."""
        return self.responder.capabilities

    def responder_for(self, text: str) -> Responder:
        """Return the system with its model of the language that a text is written in."""
        from emotone.data.text import language

        lang = language(text)
        return self.open(lang if lang in self.languages else self.languages[0])

    def reply(
        self,
        post: str | Dialogue,
        emotion: AnyEmotion = None,
        *,
        empathy: str | EmpathyLevels | None = None,
        seed: int = 0,
        decoding: Decoding | None = None,
        note: Note | None = None,
    ) -> Reply:
        """Answer one post or dialogue.

        Args:
            post: The text, or a dialogue with its history.
            emotion: Such as "sadness:80", {"joy": 60, "fear": 20}, or None.
            empathy: Such as "reaction:2 interpretation:1 exploration:0", for `emprl`.
            seed: The same seed gives the same reply.
            decoding: How to decode; its seed gives way to `seed`.
            note: Called with a sentence for each alias that was read, such as "'happy' read as
                joy".
        """
        dialogue = _dialogue(post)
        responder = self.responder_for(dialogue.posts[-1].text)
        return responder.reply(
            [dialogue],
            [mix_of(emotion, responder.capabilities.taxonomy, note)],
            decoding=replace(decoding or Decoding(), seed=seed),
            empathy=[EmpathyLevels.parse(empathy) if isinstance(empathy, str) else empathy],
        )[0]

    def stream(
        self,
        post: str | Dialogue,
        emotion: AnyEmotion = None,
        *,
        seed: int = 0,
        decoding: Decoding | None = None,
        note: Note | None = None,
    ) -> Iterator[str]:
        """Yield the reply piece by piece; the arguments are those of `reply`.

        Raises:
            Unsupported: If the system cannot stream.
        """
        dialogue = _dialogue(post)
        responder = self.responder_for(dialogue.posts[-1].text)
        if not isinstance(responder, StreamingResponder):
            raise Unsupported("this system does not stream; use reply")
        return responder.stream(
            dialogue,
            mix_of(emotion, responder.capabilities.taxonomy, note),
            decoding=replace(decoding or Decoding(), seed=seed),
        )


def open_door(
    system: str = systems.DEFAULT,
    model: str | None = None,
    *,
    device: str = "auto",
    settings: Mapping[str, Any] | Sequence[str] = (),
    lang: str | None = None,
) -> Door:
    """Put a door before a system, whose weights are loaded when they are first needed.

    Args:
        system: Name of the system.
        model: Catalogue name, folder or hub id; None for the system's own, of which there may be
            one for each language.
        device: "auto", "cpu", "cuda" or "mps".
        settings: Settings of the system's `Config`, as a mapping or as texts like "candidates=1".
        lang: The one language of the posts; None goes by the script of each.

    Raises:
        UnknownName: If there is no such system, or it has no model of the language.
    """
    models: Mapping[str, str | None] = systems.models(system) if model is None else {}
    if lang is not None and models:
        if lang not in models:
            raise unknown_name(f"language of {system}", lang, models)
        models = {lang: models[lang]}
    overrides = configs.as_overrides(settings)

    @cache
    def load(language: str) -> Responder:
        name = models.get(language, model)
        return systems.load(system, name, device=device, overrides=overrides)

    english_first = sorted(models, key=lambda language: language != "en")
    return Door(load, tuple(english_first) or ("",))


def mix_of(
    emotion: AnyEmotion, taxonomy: Taxonomy | None, note: Note | None = None
) -> EmotionMix | None:
    """Read an emotion by a system's label set; by Ekman's where the system takes no emotion.

    Raises:
        MixError: If it is not a mix.
        UnknownName: If an emotion is not in the set.
    """
    labels = taxonomy or EKMAN
    if emotion is None or isinstance(emotion, EmotionMix):
        return emotion
    if isinstance(emotion, Mapping):
        return EmotionMix.of(emotion, labels)
    written = MixText.read(emotion) if isinstance(emotion, str) else emotion
    mix, aliases = written.within(labels)
    if note is not None:
        for alias in aliases:
            note(alias)
    return mix


def _dialogue(post: str | Dialogue) -> Dialogue:
    return post if isinstance(post, Dialogue) else Dialogue.of(post)
