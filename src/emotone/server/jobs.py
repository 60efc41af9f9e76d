"""What somebody waits for: a request for one reply, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emotone.door import Note
from emotone.emotions import EmotionMix
from emotone.errors import EmotoneError, RunError, Unsupported
from emotone.server import moods
from emotone.server.served import Served
from emotone.types import Decoding, Dialogue, EmpathyLevels, Reply

log = logging.getLogger("emotone.server")


class Withdrawn(RunError):
    """Whoever asked does not wait any more."""

    def __init__(self) -> None:
        super().__init__("the request was withdrawn")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply, and what the listener heard in its tokens."""

    text: str
    meter: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole reply.

    Args:
        reply: The reply.
        prompt_tokens: Tokens that the model read; 0 where nobody counts them.
        meter: Of all its tokens, where asked.
        backed_off: How often the guard lowered its dose.
    """

    reply: Reply
    prompt_tokens: int
    meter: Sequence[Mapping[str, Any]] = ()
    backed_off: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no reply.

    Args:
        error: The reason.
        prompt_tokens: Tokens that the model read meanwhile.
        tokens: Tokens that it wrote meanwhile.
    """

    error: Exception
    prompt_tokens: int = 0
    tokens: int = 0


Event = Piece | Finished | Failed


@dataclass(slots=True, eq=False)
class Job:
    """One reply that somebody waits for.

    Args:
        served: Who answers.
        dialogue: What is answered.
        feeling: In which mood.
        decoding: How to decode; its seed counts only with `seeded`.
        emit: Takes each event, from the worker's thread.
        seeded: Whether the seed was asked for.
        streaming: Whether pieces are wanted.
        stop: Texts that end the reply.
        empathy: Levels, for systems that take them.
        meter: Whether what the listener hears is wanted.
        guard: Whether a loop lowers the dose.
        fences: Whether code between fences is left without a push.
        withhold: Emotions that the reply is not to have.
        own_words: Whether no reply by hand may be taken (`emotone.steering.retrieve`).
        note: Takes remarks for the client.
    """

    served: Served
    dialogue: Dialogue
    feeling: moods.Feeling
    decoding: Decoding
    emit: Callable[[Event], None]
    seeded: bool = False
    streaming: bool = False
    stop: Sequence[str] = ()
    empathy: EmpathyLevels | None = None
    meter: bool = False
    guard: bool = True
    fences: bool = True
    withhold: frozenset[str] = frozenset()
    own_words: bool = False
    note: Note = field(default=lambda _: None)
    cancelled: bool = False

    def cancel(self) -> None:
        """Let the reply go; its rows leave the batch at the next step."""
        self.cancelled = True


def check(job: Job, frames: Sequence[EmotionMix | None], *, steers: bool, listens: bool) -> None:
    """Raise if a request asks for what its system lacks within a reply."""
    if len(frames) > 1 and not steers:
        raise Unsupported(f"{job.served.name} keeps one mood through a reply; give no way '->'")
    if job.meter and not listens:
        raise Unsupported(f"{job.served.name} has no listener; leave emotion_meter out")


def fail(job: Job, error: Exception, *, prompt_tokens: int = 0, tokens: int = 0) -> None:
    """Tell a request why it failed; what is not ours is told to the log alone."""
    if not isinstance(error, EmotoneError):
        log.error("a reply of %s could not be written", job.served.name, exc_info=error)
        error = RunError("the reply could not be written; the server's log says why")
    job.emit(Failed(error, prompt_tokens, tokens))
