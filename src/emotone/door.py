"""The door that Python and the commands go through: one post in, one reply out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from emotone import config as configs
from emotone import systems
from emotone.emotions import EKMAN, EmotionMix, MixText, Taxonomy
from emotone.emotions.taxonomy import folded
from emotone.errors import ConfigError, Unsupported, unknown_name
from emotone.protocols import NBestResponder, Responder, StreamingResponder
from emotone.requests import check_request
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply

#: The ways to ask for an emotion, such as "sadness:80" or {"joy": 60, "fear": 20}.
AnyEmotion = str | Mapping[str, float] | MixText | EmotionMix | None
#: Asks `Door.replies` for every emotion of a system.
ALL = "all"
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

    def replies(
        self,
        post: str | Dialogue,
        emotion: AnyEmotion = None,
        *,
        n: int = 1,
        empathy: str | EmpathyLevels | None = None,
        seed: int = 0,
        decoding: Decoding | None = None,
        note: Note | None = None,
    ) -> list[Reply]:
        """Answer one post several times, or in every emotion.

        Args:
            post: As for `reply`.
            emotion: As for `reply`; "all" answers in each emotion of the system's labels, in their
                order, with the same seeds.
            n: Replies in each emotion. Sampled ones have the seeds `seed` to `seed + n - 1`, each
                the reply of its seed; a beam search gives its n best, of which there may be fewer.
            empathy: As for `reply`.
            seed: Of the first reply.
            decoding: As for `reply`.
            note: As for `reply`.

        Raises:
            Unsupported: If "all" is asked of a system without emotions, or several replies of a
                search that finds one.
        """
        dialogue = _dialogue(post)
        responder = self.responder_for(dialogue.posts[-1].text)
        taxonomy = responder.capabilities.taxonomy
        emotions: list[AnyEmotion] = [emotion]
        if isinstance(emotion, str) and folded(emotion) == ALL:
            if taxonomy is None:
                raise Unsupported("this system takes no emotion; leave --emotion all out")
            emotions = list(taxonomy.labels)
        decoding = replace(decoding or Decoding(), seed=seed)
        mixes = [mix_of(one, taxonomy, note) for one in emotions]
        levels = EmpathyLevels.parse(empathy) if isinstance(empathy, str) else empathy
        return [
            reply
            for mix in mixes
            for reply in _several(responder, dialogue, mix, n, decoding, levels)
        ]

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


def _several(
    responder: Responder,
    dialogue: Dialogue,
    mix: EmotionMix | None,
    n: int,
    decoding: Decoding,
    empathy: EmpathyLevels | None,
) -> list[Reply]:
    if n < 1:
        raise ConfigError(f"{n} replies are asked for; ask for 1 or more")
    if n > 1 and decoding.strategy == "beam":
        check_request("this system", responder.capabilities, [], [], [empathy], decoding)
        if n > decoding.beams:
            raise ConfigError(f"{n} replies of {decoding.beams} beams; use {n} beams or more")
        if not isinstance(responder, NBestResponder):
            raise Unsupported("the beam search of this system gives one reply; ask for 1")
        return responder.n_best(dialogue, mix, n, decoding=decoding)
    if n > 1 and decoding.strategy == "greedy":
        raise Unsupported(
            f"{n} replies are asked for, and a greedy search finds one; leave out --greedy to "
            "sample, or use --beams where the system has them"
        )
    return responder.reply([dialogue] * n, [mix] * n, decoding=decoding, empathy=[empathy] * n)


def _dialogue(post: str | Dialogue) -> Dialogue:
    return post if isinstance(post, Dialogue) else Dialogue.of(post)
