"""From a request's body to jobs, and from their events to what OpenAI's clients read."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emotone.emotions import MixText
from emotone.errors import DataError, UsageError
from emotone.lm import care
from emotone.server import moods
from emotone.server.jobs import Event, Failed, Finished, Job
from emotone.server.served import Served, split_id
from emotone.server.settings import Settings
from emotone.server.wire import FORGOTTEN, REFUSED, ChatRequest, Message, Request, extra_fields
from emotone.server.worker import Worker
from emotone.types import Decoding, Dialogue, EmpathyLevels, Post, Speaker

_STOPS, _STOP_LENGTH = 8, 200
_FIELDS = ("temperature", "top_p", "top_k", "min_tokens", "repetition_penalty", "no_repeat")


@dataclass(slots=True, eq=False)
class Ask:
    """A request that was read.

    Args:
        id: Of the answer.
        name: The model as the client wrote it.
        jobs: One for each choice.
        events: Where the jobs' events arrive, with the number of their choice.
        pointer: A sentence that points to help; "" for none.
        remarks: What the client is told beside the reply.
        created: When it was read, in seconds of Unix.
    """

    id: str
    name: str
    jobs: list[Job]
    events: asyncio.Queue[tuple[int, Event]]
    pointer: str = ""
    remarks: list[str] = field(default_factory=list[str])
    created: int = field(default_factory=lambda: int(time.time()))

    def cancel(self) -> None:
        """Let all of it go."""
        for job in self.jobs:
            job.cancel()


def check_fields(body: Request, settings: Settings) -> list[str]:
    """Return remarks on fields that are not known.

    Raises:
        UsageError: If one would change the reply and cannot be honoured; with `strict` any.
    """
    extra = extra_fields(body)
    for name in REFUSED:
        value = extra.get(name)  # `best_of` may be 1, which Python takes for True
        if value is True or value not in (None, 0, [], {}, "none", "auto", "", 1):
            raise UsageError(f"the field {name} is not offered here; leave it out")
    unknown = sorted(set(extra) - set(REFUSED) - FORGOTTEN)
    if unknown and settings.strict:
        raise UsageError(f"unknown field {unknown[0][:60]!r}; leave it out")
    return [f"unknown field {name[:60]!r} was ignored" for name in unknown[:8]]


def dialogue_of(messages: Sequence[Message], settings: Settings) -> tuple[Dialogue, list[str]]:
    """Read messages, and what they say of the server's own prompt.

    Raises:
        DataError: If they are too many, too long, or of another form.
    """
    if len(messages) > settings.max_messages:
        raise DataError(
            f"{len(messages)} messages came; send the last {settings.max_messages} at most"
        )
    if sum(len(m.text()) for m in messages) > settings.max_chars:
        raise DataError(f"the messages are longer than {settings.max_chars} characters; shorten")
    posts: list[Post] = []
    remarks: list[str] = []
    for i, message in enumerate(messages, 1):
        if message.role in ("system", "developer"):
            remarks.append("system messages are not read: each model here has a prompt of its own")
        elif message.role not in ("user", "assistant"):
            raise DataError(f"message {i} has the role {message.role[:40]!r}; use user, assistant")
        elif isinstance(message.content, list) and any(
            p.type not in _TEXT for p in message.content
        ):
            raise DataError(f"message {i} holds more than text; send text only")
        elif message.role == "assistant" and not message.text().strip():
            # A reply may end before its first word, and clients send back what they got.
            remarks.append("an empty message of the assistant was left out")
        else:
            posts.append(Post(message.text(), Speaker(message.role)))
    return Dialogue(tuple(posts)), list(dict.fromkeys(remarks))


_TEXT = ("text", "input_text", "output_text")


def decoding_of(body: Request, longest: int | None, settings: Settings) -> Decoding:
    """Read how to decode; temperature 0 is greedy.

    Raises:
        UsageError: If the reply asked for is too long.
    """
    given: dict[str, Any] = {
        name: value for name in _FIELDS if (value := getattr(body, name)) is not None
    }
    longest = longest if longest is not None else body.max_tokens
    if longest is not None:
        given["max_tokens"] = length_of(longest, settings)
    if given.get("temperature") == 0:
        kept = ("max_tokens", "min_tokens", "repetition_penalty", "no_repeat")
        return Decoding("greedy", **{k: v for k, v in given.items() if k in kept})
    return Decoding(seed=(body.seed or 0) % 2**63, **given)


def length_of(longest: int, settings: Settings) -> int:
    """Check the most tokens that are asked for."""
    if longest > settings.max_tokens:
        raise UsageError(f"max_tokens is {longest}; use {settings.max_tokens} or less")
    return longest


def count_of(body: Request, settings: Settings) -> int:
    """Return how many replies are asked for."""
    count = body.n or 1
    if count > settings.max_n:
        raise UsageError(f"n is {count}; use {settings.max_n} or less")
    return count


#: What is told where `plain_json` holds.
JSON_NOTE = "JSON is written without a mood; emotion_in_code changes that"


def wants_json(body: Request) -> bool:
    """Whether JSON is asked for."""
    form = body.response_format if isinstance(body, ChatRequest) else None
    return form is not None and form.type != "text"


def plain_json(body: Request) -> bool:
    """Whether JSON is asked for, and no mood in it."""
    return wants_json(body) and not body.emotion_in_code


def ask(
    body: Request,
    dialogue: Dialogue,
    messages: Sequence[Message],
    worker: Worker,
    settings: Settings,
    remarks: Sequence[str],
    *,
    longest: int | None = None,
    kind: str = "chatcmpl",
) -> Ask:
    """Turn a request into jobs and hand them to the worker.

    Raises:
        UnknownName: If the model is not served.
        UsageError: If what is asked cannot be meant.
        Overloaded: If too many wait.
    """
    loop = asyncio.get_running_loop()
    served, in_name = _served(body.model, worker.served)
    decoding = decoding_of(body, longest, settings)
    feeling = feeling_of(body, messages, in_name, settings)
    stop = [body.stop] if isinstance(body.stop, str) else list(body.stop or ())
    if len(stop) > _STOPS or any(not s or len(s) > _STOP_LENGTH for s in stop):
        raise UsageError(f"give at most {_STOPS} stop texts of 1 to {_STOP_LENGTH} characters")
    count = count_of(body, settings)
    if count > 1 and decoding.strategy == "greedy":
        raise UsageError("several replies at temperature 0 are all the same; ask for one")
    cares = settings.care and care.needs_care(dialogue.posts[-1].text)
    chat = body if isinstance(body, ChatRequest) else None
    if plain_json(body):
        feeling = moods.Feeling()
        remarks = [*remarks, JSON_NOTE]
    events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
    said = Ask(f"{kind}-{uuid.uuid4().hex}", body.model or served.name, [], events)
    said.remarks += remarks
    if cares:
        said.pointer = care.pointer(dialogue.posts[-1].text)
        said.remarks.append(care.NOTE)

    def emitter(choice: int) -> Any:
        return lambda event: loop.call_soon_threadsafe(events.put_nowait, (choice, event))

    def note(text: str) -> None:
        if text not in said.remarks:
            said.remarks.append(text)

    for choice in range(count):
        said.jobs.append(
            Job(
                served,
                dialogue,
                feeling,
                replace(decoding, seed=decoding.seed + choice),
                emitter(choice),
                seeded=body.seed is not None or decoding.strategy == "greedy",
                streaming=bool(body.stream),
                stop=stop,
                empathy=EmpathyLevels.parse(body.empathy) if body.empathy else None,
                meter=chat is not None and chat.emotion_meter,
                guard=body.emotion_guard,
                fences=not body.emotion_in_code,
                withhold=care.WITHHELD if cares else frozenset(),
                own_words=wants_json(body),
                note=note,
            )
        )
    try:
        for job in said.jobs:
            worker.submit(job)
    except Exception:
        said.cancel()
        raise
    return said


def _served(name: str, served: Mapping[str, Served]) -> tuple[Served, str]:
    return split_id(name or next(iter(served)), served)


def feeling_of(
    body: Request, messages: Sequence[Message], in_name: str, settings: Settings
) -> moods.Feeling:
    """The mood of a request: its field, else the model name's, its last message's, the server's."""
    asked = [moods.read(m.emotion) for m in messages if m.role == "user"] or [moods.Feeling()]
    if body.emotion not in (None, ""):
        asked[-1] = moods.read(body.emotion)
    elif in_name:
        asked[-1] = moods.read(in_name)
    elif asked[-1] == moods.Feeling() and settings.emotion:
        asked[-1] = moods.Feeling((MixText.read(settings.emotion),))
    if isinstance(body, ChatRequest) and body.mood is not None:
        return moods.remembered(asked, body.mood.half_life)
    return asked[-1]


# -- answers -------------------------------------------------------------------------------------


def told(finished: Finished, said: Ask, *, meter: bool) -> dict[str, Any]:
    """Say what was done for a reply: the field `emotone` of an answer."""
    reply = finished.reply
    dose = reply.applied.get("dose", {})
    row: dict[str, Any] = {
        "emotion": None if reply.emotion is None else str(reply.emotion),
        "system": reply.system,
        "model": reply.model,
        "seed": reply.seed,
        "dose": dose,
        "applied": {k: v for k, v in reply.applied.items() if k != "dose"},
        "backed_off": finished.backed_off,
        "notes": said.remarks,
    }
    if said.pointer:
        row["care"] = said.pointer
    if meter:
        row["meter"] = list(finished.meter)
    return row


def text_of(reply_text: str, said: Ask) -> str:
    """Return a reply's text, with the pointer to help where there is one."""
    return f"{reply_text}\n\n{said.pointer}".strip() if said.pointer else reply_text


async def whole(said: Ask) -> list[Finished]:
    """Wait for all choices.

    Raises:
        Exception: What a choice failed by; the others are let go.
    """
    finished: dict[int, Finished] = {}
    try:
        while len(finished) < len(said.jobs):
            choice, event = await said.events.get()
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                finished[choice] = event
    finally:
        if len(finished) < len(said.jobs):
            said.cancel()
    return [finished[i] for i in range(len(said.jobs))]


def usage(finished: Sequence[Finished]) -> dict[str, int]:
    """Count tokens as OpenAI does; the prompt of several choices counts once."""
    prompt = max((f.prompt_tokens for f in finished), default=0)
    completion = sum(f.reply.tokens for f in finished)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def chat_answer(said: Ask, finished: Sequence[Finished]) -> dict[str, Any]:
    """Build the answer of /v1/chat/completions."""
    choices = [
        {
            "index": i,
            "message": {
                "role": "assistant",
                "content": text_of(f.reply.text, said),
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": f.reply.finish_reason or "stop",
            "emotone": told(f, said, meter=said.jobs[i].meter),
        }
        for i, f in enumerate(finished)
    ]
    return {
        "id": said.id,
        "object": "chat.completion",
        "created": said.created,
        "model": said.name,
        "system_fingerprint": finished[0].reply.model,
        "choices": choices,
        "usage": usage(finished),
        "emotone": choices[0]["emotone"],
    }
