"""The door that Python and the commands go through: one post in, one reply out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from emotone import config as configs
from emotone import systems
from emotone.emotions import EKMAN, Auto, EmotionMix, MixText, Taxonomy
from emotone.emotions.taxonomy import folded
from emotone.errors import ConfigError, DataError, MixError, Unsupported, UsageError, unknown_name
from emotone.judges.hearing import Hearing
from emotone.protocols import NBestResponder, OneLanguageResponder, Responder, StreamingResponder
from emotone.requests import check_request
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Post, Reply, Speaker

#: The ways to ask for an emotion, such as "sadness:80", {"joy": 60, "fear": 20} or "auto".
AnyEmotion = str | Mapping[str, float] | MixText | EmotionMix | Auto | None
#: Asks `Door.replies` for every emotion of a system.
ALL = "all"
#: Takes a sentence for the user that is not a result.
Note = Callable[[str], None]
#: A chat API's message, such as {"role": "user", "content": "hello"}.
Message = Mapping[str, Any]
#: The ways to give what is answered; all but a text may hold several turns.
AnyPost = str | Dialogue | Sequence[Message | Post]


class Turn:
    """One request at a time: a system's weights are steered for one and must wait for it.

    An open stream keeps its turn between its pieces, which different threads may take.
    """

    #: Seconds without progress after which a thread that waits for its own stream is told so.
    PATIENCE = 1.0

    def __init__(self) -> None:
        self._lock = threading.Lock()  # not an RLock: a stream may be closed by another thread
        self._owner: int | None = None

    def take(self) -> None:
        """Wait for the turn.

        Raises:
            UsageError: If a stream that this thread last read from is still open, so that nobody
                else is going to end it.
        """
        while not self._lock.acquire(timeout=self.PATIENCE):
            if self._owner == threading.get_ident():
                raise UsageError(
                    "a stream that this thread began is still open; read it to its end or call its "
                    "close() before the next request"
                )
        self.touch()

    def touch(self) -> None:
        """Note that this thread has the turn now."""
        self._owner = threading.get_ident()

    def give_back(self) -> None:
        """Let the next request go on."""
        self._owner = None
        self._lock.release()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the turn while a `with` block lasts."""
        self.take()
        try:
            yield
        finally:
            self.give_back()


@dataclass(frozen=True, slots=True)
class Door:
    """A system with a door for single posts.

    Threads may share one: requests wait for each other, also for a stream that is open. The system
    itself (`responder`) does not wait.

    Args:
        open: Language -> the system with its model of the language, loaded when it is first asked
            for.
        languages: The languages of its models, that of posts in any other first. ("",) for a
            system with one model.
        remark: Language -> what is noted when a post in it is answered, if anything.
    """

    open: Callable[[str], Responder]
    languages: tuple[str, ...] = ("",)
    remark: Callable[[str], str | None] = field(default=lambda _: None, repr=False)
    turn: Turn = field(default_factory=Turn, repr=False, compare=False)

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

        return self.speaking(language(text))

    def speaking(self, lang: str) -> Responder:
        """Return the system with its model of a language; the first where it has none of it."""
        return self.open(lang if lang in self.languages else self.languages[0])

    def _asked(self, dialogue: Dialogue, note: Note | None) -> Responder:
        """Return who answers a dialogue, and note who it is and what it cannot read of the post."""
        from emotone.data.text import language

        text = dialogue.posts[-1].text
        responder = self.responder_for(text)
        if note is not None and (remark := self.remark(language(text))) is not None:
            note(remark)
        if note is not None and (lack := unread(responder, text)) is not None:
            note(f"the post is {lack}; the reply may not be to the point")
        return responder

    def reply(
        self,
        post: AnyPost,
        emotion: AnyEmotion = None,
        *,
        empathy: str | EmpathyLevels | None = None,
        seed: int = 0,
        decoding: Decoding | None = None,
        note: Note | None = None,
    ) -> Reply:
        """Answer one post or dialogue.

        Args:
            post: The text; or a dialogue, as a `Dialogue` or as messages like
                [{"role": "user", "content": "hello"}], of which the last awaits the reply.
            emotion: Such as "sadness:80", {"joy": 60, "fear": 20}, "valence:-40 arousal:70",
                "auto:friend" (see `emotone.emotions.auto`), or None.
            empathy: Such as "reaction:2 interpretation:1 exploration:0", for `emprl`.
            seed: The same seed gives the same reply.
            decoding: How to decode; its seed gives way to `seed`.
            note: Called with a sentence for each alias that was read, such as "'happy' read as
                joy", and where the system cannot read the post (see `unread`).

        Raises:
            UsageError: If an argument is not of these forms, or the system lacks what is asked; or
                if a stream that this thread began is still open.
        """
        dialogue, decoding = dialogue_of(post), _decoding(decoding, seed)
        levels = _levels(empathy)
        responder = self._asked(dialogue, note)
        asked = asked_of(emotion, responder.capabilities.taxonomy, note)
        hearing = Hearing(responder, dialogue, note)
        with self.turn.taken():
            mix = hearing.mix(asked)
            reply = responder.reply([dialogue], [mix], decoding=decoding, empathy=[levels])[0]
        return hearing.tell(reply)

    def replies(
        self,
        post: AnyPost,
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
        dialogue, decoding = dialogue_of(post), _decoding(decoding, seed)
        levels = _levels(empathy)
        responder = self._asked(dialogue, note)
        taxonomy = responder.capabilities.taxonomy
        emotions: list[AnyEmotion] = [emotion]
        if isinstance(emotion, str) and folded(emotion) == ALL:
            if taxonomy is None:
                raise Unsupported("this system takes no emotion; leave --emotion all out")
            emotions = list(taxonomy.labels)
        asked = [asked_of(one, taxonomy, note) for one in emotions]
        hearing = Hearing(responder, dialogue, note)
        with self.turn.taken():
            return [
                hearing.tell(reply)
                for one in asked
                for reply in _several(responder, dialogue, hearing.mix(one), n, decoding, levels)
            ]

    def stream(
        self,
        post: AnyPost,
        emotion: AnyEmotion = None,
        *,
        seed: int = 0,
        decoding: Decoding | None = None,
        note: Note | None = None,
    ) -> Generator[str]:
        """Yield the reply piece by piece; the arguments are those of `reply`.

        From its first piece to its end other requests wait. One that is left before its end is
        closed when nothing refers to it any more, or by its `close()`.

        Raises:
            Unsupported: If the system cannot stream.
            UsageError: As `reply`.
        """
        dialogue, decoding = dialogue_of(post), _decoding(decoding, seed)
        responder = self._asked(dialogue, note)
        if not isinstance(responder, StreamingResponder):
            raise Unsupported("this system does not stream; ask it for the whole reply")
        asked = asked_of(emotion, responder.capabilities.taxonomy, note)
        with self.turn.taken():  # a tokenizer, too, serves one thread at a time
            mix = Hearing(responder, dialogue, note).mix(asked)
            pieces = responder.stream(dialogue, mix, decoding=decoding)
        return self._in_turn(pieces)

    def _in_turn(self, pieces: Iterator[str]) -> Generator[str]:
        self.turn.take()
        try:
            for piece in pieces:
                yield piece
                self.turn.touch()  # another thread may have asked for this piece
        finally:
            try:
                close = getattr(pieces, "close", None)  # leave the model as it was, then let others
                if close is not None:
                    close()
            finally:
                self.turn.give_back()


def open_door(
    system: str | None = None,
    model: str | None = None,
    *,
    device: str = "auto",
    settings: Mapping[str, Any] | Sequence[str] = (),
    lang: str | None = None,
) -> Door:
    """Put a door before a system, whose weights are loaded when they are first needed.

    Args:
        system: Name of the system; None for the default one, and for posts in a language that its
            model cannot read the best that is here (`systems.answerer`).
        model: Catalogue name, folder or hub id; None for the system's own, of which there may be
            one for each language.
        device: "auto", "cpu", "cuda" or "mps".
        settings: Settings of the system's `Config`, as a mapping or as texts like "candidates=1".
        lang: The one language of the posts; None goes by the script of each.

    Raises:
        UnknownName: If there is no such system, or it has no model of the language.
        UsageError: When it is loaded, if the model that was named has another language.
    """
    best = system is None and model is None and not settings
    system = system or systems.DEFAULT
    models: Mapping[str, str | None] = systems.models(system) if model is None else {}
    if best:
        models = dict.fromkeys(("en", "zh") if lang is None else (lang,))
    elif lang is not None and models:
        if lang not in models:
            raise unknown_name(f"language of {system}", lang, models)
        models = {lang: models[lang]}
    overrides = configs.as_overrides(settings)

    def answerer(language: str) -> tuple[str, str | None]:
        return systems.answerer(language) if best else (system, models.get(language, model))

    @cache
    def load(system: str, name: str | None) -> Responder:
        responder = systems.load(system, name, device=device, overrides=overrides)
        if isinstance(responder, OneLanguageResponder) and lang not in (None, responder.lang):
            raise UsageError(
                f"the model {name} answers in {responder.lang}, and the language asked for is"
                f" {lang}; leave one of them out"
            )
        return responder

    loading = threading.RLock()

    def load_once(language: str) -> Responder:
        with loading:  # `cache` alone would load a model once for each thread that waits for it
            return load(*answerer(language))

    def remark(language: str) -> str | None:
        system, name = answerer(language)
        named = best and lang is None and name is not None
        return (
            f"{system} answers here, by its model {name}; --system names another" if named else None
        )

    english_first = sorted(models, key=lambda language: language != "en")
    return Door(load_once, tuple(english_first) or ("",), remark)


def unread(responder: Responder, text: str) -> str | None:
    """Say why a system cannot read a post; None where it can, or nobody knows.

    Returns:
        What completes "the post is": "without a word", "in Korean, which ...", "in traditional
        Chinese, ...", or "of words that ...".
    """
    from emotone.data import scripts

    if not responder.capabilities.decoding:  # what searches for nothing reads nothing
        return None
    if scripts.wordless(text):
        return "without a word"
    languages = responder.capabilities.languages
    other = scripts.foreign(text)
    if languages and other is not None:
        return f"in {other}, which the model is not made for"
    if languages and "zh" not in languages and scripts.named(text) == "Chinese":
        return "in Chinese, which the model is not made for"
    if "zh" in languages and scripts.is_traditional(text) and scripts.converter() is None:
        return "in traditional Chinese, which pip install 'emotone[traditional]' makes simplified"
    if isinstance(responder, OneLanguageResponder):
        known, words = responder.known_words(text)
        if known * 4 <= words:
            return "of words that the model does not know"
    return None


def asked_of(
    emotion: AnyEmotion, taxonomy: Taxonomy | None, note: Note | None = None
) -> EmotionMix | Auto | None:
    """Read an emotion by a system's label set, as far as that goes without the post.

    Returns:
        What `mix_of` does; or `auto`, of which `Hearing.mix` makes a mix when it hears the post.

    Raises:
        UsageError: As `mix_of`; Unsupported if it is `auto` and the system takes no emotion.
    """
    if isinstance(emotion, str):
        emotion = MixText.read(emotion)
    auto = emotion.auto if isinstance(emotion, MixText) else emotion
    if not isinstance(auto, Auto):
        return mix_of(emotion, taxonomy, note)
    if taxonomy is None:
        raise Unsupported(f"this system takes no emotion, but {auto} was asked; leave it out")
    return auto


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
    if not isinstance(emotion, str | MixText):
        raise MixError(
            f"the emotion is {_kind(emotion)}; give a text like 'joy:60 + fear:20', a mapping like "
            "{'joy': 60, 'fear': 20}, an EmotionMix, or None"
        )
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
    if not isinstance(n, int) or n < 1:
        raise ConfigError(f"{n!r} replies are asked for; ask for 1 or more")
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


_FORMS = (
    "give a text, a Dialogue, or a list of messages like [{'role': 'user', 'content': 'hello'}], "
    "the last of them by the user"
)


def dialogue_of(post: AnyPost) -> Dialogue:
    """Read a post, or the turns of a dialogue.

    Raises:
        DataError: If it is neither, or a message has another role than "user" and "assistant".
    """
    if isinstance(post, Dialogue):
        return post
    if isinstance(post, str):
        return Dialogue.of(post)
    if isinstance(post, Sequence) and not isinstance(post, bytes | bytearray):
        return Dialogue(tuple(_turn(message, i) for i, message in enumerate(post, 1)))
    raise DataError(f"the post is {_kind(post)}; {_FORMS}")


def _turn(message: Any, number: int) -> Post:
    if isinstance(message, Post):
        return message
    if not isinstance(message, Mapping):
        raise DataError(f"message {number} is {_kind(message)}; {_FORMS}")
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        raise DataError(
            f"message {number} has the role {role!r}, but the system text is a setting of the "
            "system and not a turn; leave it out here, and open the system with emotone.door."
            "open_door(NAME, settings={'system': TEXT})"
        )
    if role not in ("user", "assistant"):
        raise DataError(f"message {number} has the role {role!r}; use 'user' or 'assistant'")
    if not isinstance(content, str):
        raise DataError(f"message {number} has a content that is {_kind(content)}; give a text")
    return Post(content, Speaker(role))


def _decoding(decoding: Decoding | None, seed: int) -> Decoding:
    if not isinstance(decoding, Decoding | None):
        raise ConfigError(
            f"decoding is {_kind(decoding)}; give one like emotone.Decoding(max_tokens=40), or None"
        )
    return replace(decoding or Decoding(), seed=seed)


def _levels(empathy: str | EmpathyLevels | None) -> EmpathyLevels | None:
    if isinstance(empathy, str):
        return EmpathyLevels.parse(empathy)
    if not isinstance(empathy, EmpathyLevels | None):
        raise DataError(
            f"empathy is {_kind(empathy)}; give a text like "
            "'reaction:2 interpretation:1 exploration:0', EmpathyLevels, or None"
        )
    return empathy


def _kind(value: Any) -> str:
    """Say what a value is, for a message: its type, and itself where that is short."""
    shown, kind = repr(value), type(value).__name__
    return (
        "None" if value is None else f"of type {kind}" if len(shown) > 40 else f"{shown} ({kind})"
    )
