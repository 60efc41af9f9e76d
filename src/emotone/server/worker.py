"""The one thread in which models run: it loads them, writes their replies, and answers to nobody.

Requests come through a queue and answers leave through each request's own `emit`; the event loop
never waits for a model, and no model is touched by two threads. Systems whose replies can share
passes (`BatchResponder`) write them in a running batch; others answer one after another, those of
like decoding together.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from emotone.door import Door, Note
from emotone.emotions import EmotionMix
from emotone.errors import EmotoneError, RunError, Unsupported
from emotone.lm.batching import Batch, Row, Task, unfit
from emotone.lm.decode import cut
from emotone.protocols import BatchResponder, Responder
from emotone.server import moods
from emotone.server.served import Served
from emotone.types import Decoding, Dialogue, EmpathyLevels, Reply

log = logging.getLogger("emotone.server")
#: Requests of a system without a running batch that are answered together.
_GROUP = 16
_FENCE = "```"


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
    """Why there is no reply."""

    error: Exception


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
    note: Note = field(default=lambda _: None)
    cancelled: bool = False

    def cancel(self) -> None:
        """Let the reply go; its rows leave the batch at the next step."""
        self.cancelled = True


class Overloaded(RunError):
    """More requests wait than are allowed to."""


class Unready(RunError):
    """Nothing is answered now."""


_Call = tuple[Callable[[], Any], "Future[Any]"]


def _settle(task: Callable[[], Any], outcome: Future[Any]) -> None:
    try:
        outcome.set_result(task())
    except Exception as error:
        outcome.set_exception(error)


class Worker:
    """The thread.

    Args:
        served: What may be asked, by name.
        device: Where models run.
        rows: Replies that a model writes at once.
        waiting: Requests that wait at most.
        prefix_bytes: Memory for beginnings of prompts, of each model.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        *,
        device: str = "auto",
        rows: int = 32,
        waiting: int = 64,
        prefix_bytes: int = 1 << 28,
    ) -> None:
        self.served = served
        self.rows = rows
        self._device = device
        self._prefix_bytes = prefix_bytes
        self._arrivals: queue.Queue[Job | _Call | None] = queue.Queue()
        self._room = threading.BoundedSemaphore(waiting + rows)
        self._waiting: list[_Planned] = []
        self._doors: dict[str, Door] = {}
        self._engines: dict[int, _Engine | None] = {}
        self._stack = ExitStack()
        self._thread = threading.Thread(target=self._run, name="emotone-worker", daemon=True)
        self._ready = threading.Event()
        self._seeds = random.Random()
        self.death: BaseException | None = None

    # -- from other threads ------------------------------------------------------------------

    def start(self, load: Sequence[str] = ()) -> None:
        """Begin; models of these names are loaded before the first request."""
        self._first = list(load)
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Finish what runs, and end."""
        self._arrivals.put(None)
        self._thread.join(seconds)

    @property
    def ready(self) -> bool:
        """Whether requests are answered now."""
        return self._ready.is_set() and self._thread.is_alive()

    @property
    def running(self) -> int:
        """Replies that are being written."""
        return sum(len(e.batch.rows) for e in self._engines.values() if e is not None)

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return self._arrivals.qsize() + len(self._waiting)

    def submit(self, job: Job) -> None:
        """Ask for a reply.

        Raises:
            Overloaded: If too many wait.
            RunError: If the worker is dead.
        """
        if not self.ready:
            raise self.unready()
        if not self._room.acquire(blocking=False):
            raise Overloaded(f"{self.pending} requests wait already; try again in a few seconds")
        emit = job.emit

        def last(event: Event) -> None:
            if not isinstance(event, Piece):
                self._room.release()
            emit(event)

        job.emit = last
        self._arrivals.put(job)

    def call(self, task: Callable[[], Any]) -> Future[Any]:
        """Let the thread run something between two steps; return its outcome-to-be."""
        outcome: Future[Any] = Future()
        self._arrivals.put((task, outcome))
        return outcome

    def unready(self) -> RunError:
        """Say why no request is taken now."""
        if self.death is not None or not self._thread.is_alive():
            return Unready("the thread that runs the models has ended; start the server again")
        return Unready("the models are loading; try again in a few seconds")

    def door(self, served: Served) -> Door:
        """Return the door of a name; its weights are loaded by the worker only."""
        if served.name not in self._doors:
            self._doors[served.name] = served.open(self._device)
        return self._doors[served.name]

    # -- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._stack:
                for name in self._first:
                    _ = self.door(self.served[name]).responder
                self._ready.set()
                self._loop()
        except BaseException as error:
            self.death = error
            for planned in self._waiting:
                _fail(planned.job, RunError("the thread that runs the models has ended"))
            log.critical("the thread that runs the models has ended", exc_info=error)

    def _loop(self) -> None:
        ending = False
        while True:
            busy = self._waiting or any(e and e.busy for e in self._engines.values())
            if ending and not busy and self._arrivals.empty():
                return
            idle = not busy
            while idle or not self._arrivals.empty():
                arrival = self._arrivals.get()
                idle = False
                if arrival is None:
                    ending = True
                elif isinstance(arrival, Job):
                    self._plan(arrival)
                else:
                    _settle(*arrival)
            self._begin()
            for engine in self._engines.values():
                if engine is not None and engine.busy:
                    self._guarded(engine)

    def _guarded(self, engine: _Engine) -> None:
        """Advance a batch; where it fails, its requests do, and it begins anew."""
        try:
            engine.advance()
        except Exception as error:
            engine.fail(error)

    def _plan(self, job: Job) -> None:
        """Find out once who answers a request, in which moods and how, and let it wait."""
        try:
            responder = self.door(job.served).responder_for(job.dialogue.posts[-1].text)
            taxonomy = responder.capabilities.taxonomy
            frames = [_without(m, job.withhold) for m in job.feeling.within(taxonomy, job.note)]
            engine, task = self._engine_of(job, responder, frames)
            if engine is None or task is None:
                _check(job, frames, steers=False, listens=False)
            self._waiting.append(_Planned(job, responder, frames, engine, task))
        except Exception as error:
            _fail(job, error)

    def _begin(self) -> None:
        """Let waiting requests begin in order, as far as there is room."""
        waiting, self._waiting = self._waiting, []
        apart: dict[tuple[int, Any], list[_Planned]] = {}
        for planned in waiting:
            job, engine, task = planned.job, planned.engine, planned.task
            if job.cancelled:
                _fail(job, RunError("the request was withdrawn"))
            elif engine is None or task is None:
                like = (id(planned.responder), replace(job.decoding, seed=0))
                apart.setdefault(like, []).append(planned)
            elif not engine.room(len(task.seeds)):
                self._waiting.append(planned)
            else:
                try:
                    engine.begin(job, task, planned.frames)
                except Exception as error:
                    _fail(job, error)
        for group in apart.values():
            self._answer(group)

    def _engine_of(
        self, job: Job, responder: Responder, frames: list[EmotionMix | None]
    ) -> tuple[_Engine | None, Task | None]:
        if not isinstance(responder, BatchResponder) or job.empathy is not None:
            return None, None
        if not job.seeded:
            job.decoding = replace(job.decoding, seed=self._seeds.randrange(2**31))
            job.seeded = True
        task: Task = responder.task(
            job.dialogue, frames[-1], decoding=job.decoding, streaming=job.streaming
        )
        key = id(task.lm.model)
        if key not in self._engines:
            fit = unfit(task.lm.model) is None
            self._engines[key] = (
                _Engine(task, self.rows, self._prefix_bytes, self._stack) if fit else None
            )
        return self._engines[key], task

    def _answer(self, group: list[_Planned]) -> None:
        """Answer requests of one system and decoding; rows of a batch have rising seeds."""
        for start in range(0, len(group), _GROUP):
            part = group[start : start + _GROUP]
            decoding = part[0].job.decoding
            free = decoding.strategy != "sample" or not any(p.job.seeded for p in part)
            batches = [part] if free else [[one] for one in part]
            for batch in batches:
                seed = batch[0].job.decoding.seed
                if not batch[0].job.seeded and decoding.strategy == "sample":
                    seed = self._seeds.randrange(2**31)
                self._reply(batch, replace(decoding, seed=seed))

    def _reply(self, batch: list[_Planned], decoding: Decoding) -> None:
        try:
            replies = batch[0].responder.reply(
                [planned.job.dialogue for planned in batch],
                [planned.frames[-1] for planned in batch],
                decoding=decoding,
                empathy=[planned.job.empathy for planned in batch],
            )
        except Exception as error:
            if len(batch) > 1 and isinstance(error, EmotoneError):  # whose fault it is
                for one in batch:
                    self._reply([one], decoding)
                return
            for planned in batch:
                _fail(planned.job, error)
            return
        for planned, reply in zip(batch, replies, strict=True):
            job = planned.job
            reply = replace(reply, text=cut(reply.text, job.stop).rstrip())
            if job.streaming:
                job.emit(Piece(reply.text))
            job.emit(Finished(reply, 0))


def _without(mix: EmotionMix | None, withheld: frozenset[str]) -> EmotionMix | None:
    if mix is None or not withheld:
        return mix
    parts = tuple((e, v) for e, v in mix.parts if e.label not in withheld or v <= 0)
    return EmotionMix(parts) if parts else None


def _check(job: Job, frames: Sequence[EmotionMix | None], *, steers: bool, listens: bool) -> None:
    """Raise if a request asks for what its system lacks within a reply."""
    if len(frames) > 1 and not steers:
        raise Unsupported(f"{job.served.name} keeps one mood through a reply; give no way '->'")
    if job.meter and not listens:
        raise Unsupported(f"{job.served.name} has no listener; leave emotion_meter out")


def _fail(job: Job, error: Exception) -> None:
    """Tell a request why it failed; what is not ours is told to the log alone."""
    if not isinstance(error, EmotoneError):
        log.error("a reply of %s could not be written", job.served.name, exc_info=error)
        error = RunError("the reply could not be written; the server's log says why")
    job.emit(Failed(error))


@dataclass(frozen=True, slots=True, eq=False)
class _Planned:
    """A request that waits, and how it will be answered.

    Args:
        job: The request.
        responder: Who answers.
        frames: Its moods, one for each station.
        engine: Whose batch it joins; None for a system that answers by itself.
        task: What is written there.
    """

    job: Job
    responder: Responder
    frames: list[EmotionMix | None]
    engine: _Engine | None
    task: Task | None


@dataclass(slots=True, eq=False)
class _Candidate:
    """One of its replies: its row, and what was done to it and heard in it so far.

    Args:
        row: In the batch until it is done.
        guard: Watches it.
        pushed: Scale of its push, and its share of the way between moods.
        meter: What the listener heard in each token.
    """

    row: Row
    guard: moods.Guard = field(default_factory=moods.Guard)
    pushed: tuple[float, float] = (1.0, 0.0)
    meter: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class _Writing:
    """One request whose candidates are in the batch."""

    def __init__(
        self,
        job: Job,
        task: Task,
        doses: list[Mapping[str, float]],
        candidates: list[_Candidate],
    ) -> None:
        self.job = job
        self.task = task
        self.doses = doses
        self.candidates = candidates
        self.guarded = job.guard and any(any(frame.values()) for frame in doses)
        self.sent = 0


class _Engine:
    """The running batch of one model, and the requests whose replies it writes."""

    def __init__(self, task: Task, rows: int, prefix_bytes: int, stack: ExitStack) -> None:
        self._lm = task.lm
        self._vectors = task.vectors
        self._rows = rows
        self._prefix_bytes = prefix_bytes
        self._live: Any = None
        if task.vectors is not None:
            from emotone.steering.live import LiveSteering

            self._live = stack.enter_context(LiveSteering(task.lm.model, task.vectors).on())
        self._writing: list[_Writing] = []
        self.batch = self._anew()

    def _anew(self) -> Batch:
        return Batch(self._lm, self._live, prefix_bytes=self._prefix_bytes)

    @property
    def busy(self) -> bool:
        return bool(self._writing)

    def room(self, count: int) -> bool:
        """Tell whether so many rows may join; a request that never fits runs alone."""
        return not self.batch.rows or len(self.batch.rows) + count <= self._rows

    def begin(self, job: Job, task: Task, frames: Sequence[EmotionMix | None]) -> None:
        """Read a request's prompt and let its candidates join."""
        listens = self._live is not None and self._live.listener is not None
        _check(job, frames, steers=self._vectors is not None, listens=listens)
        doses: list[Mapping[str, float]] = [task.doses]
        if len(frames) > 1:
            doses = [{} if mix is None else self._vectors.doses(mix) for mix in frames]
        push = self._push(moods.between(doses, 0.0), 1.0)
        drafts = [self.batch.draft(task.decoding, seed, job.stop) for seed in task.seeds]
        rows = self.batch.join(task.prompt, drafts, push, task.decoding)
        writing = _Writing(job, task, doses, [_Candidate(row) for row in rows])
        self._writing.append(writing)
        self._after(writing)

    def advance(self) -> None:
        """Give every reply its next token, and let those that are done go."""
        for writing in [w for w in self._writing if w.job.cancelled]:
            self._withdraw(writing)
        running = list(self.batch.rows)
        if running:
            self.batch.step()
            self._hear(running)
        for writing in list(self._writing):
            self._after(writing)

    def fail(self, error: Exception) -> None:
        """Tell all requests, and begin a new batch."""
        for writing in self._writing:
            _fail(writing.job, error)
        self._writing.clear()
        self.batch = self._anew()

    def _push(self, doses: Mapping[str, float], scale: float) -> Any:
        if self._live is None or not any(doses.values()) or not scale:
            return None
        return self._vectors.displacement(raw_scale={k: v * scale for k, v in doses.items()})

    def _hear(self, running: Sequence[Row]) -> None:
        metered = [c for w in self._writing if w.job.meter for c in w.candidates]
        if not metered or (heard := self._live.heard()) is None:
            return
        labels = self._live.listener.labels
        place = {id(row): i for i, row in enumerate(running)}
        for candidate in metered:
            if (i := place.get(id(candidate.row))) is None:
                continue
            # What was read is the token before the one that was just chosen.
            token = self._lm.tokenizer.decode(candidate.row.draft.ids[-2:-1])
            before, after = (
                {k: round(float(p), 4) for k, p in zip(labels, side[i], strict=True)}
                for side in heard
            )
            candidate.meter.append({"token": token, "before": before, "after": after})

    def _after(self, writing: _Writing) -> None:
        """Look at what a request's rows wrote: send, lower, change the push, end."""
        job = writing.job
        for candidate in writing.candidates:
            if candidate.row.draft.done:
                self._leave(candidate.row)
                continue
            if writing.guarded:
                candidate.guard.look(candidate.row)
            self._set_push(writing, candidate)
        if job.streaming:
            first = writing.candidates[0]
            if piece := first.row.draft.piece():
                job.emit(Piece(piece, first.meter[writing.sent :]))
                writing.sent = len(first.meter)
        if all(candidate.row.draft.done for candidate in writing.candidates):
            self._writing.remove(writing)
            self._finish(writing)

    def _leave(self, row: Row) -> None:
        if row in self.batch.rows:
            self.batch.leave(row)

    def _set_push(self, writing: _Writing, candidate: _Candidate) -> None:
        """Change a row's push where its place, the guard or a fence of code asks for it."""
        row, scale, share = candidate.row, candidate.guard.scale, 0.0
        if len(writing.doses) > 1:
            share = len(row.draft.ids) / writing.task.decoding.max_tokens
        if writing.job.fences and row.draft.text.count(_FENCE) % 2:
            scale = 0.0
        if candidate.pushed != (scale, share):
            candidate.pushed = (scale, share)
            row.push = self._push(moods.between(writing.doses, share), scale)

    def _finish(self, writing: _Writing) -> None:
        if self._live is not None:
            self._live.rest()  # what chooses reads the model as it is
        written = [candidate.row.draft.written() for candidate in writing.candidates]
        try:
            reply = writing.task.finish(written)
        except Exception as error:
            _fail(writing.job, error)
            return
        place = next((i for i, w in enumerate(written) if w.text == reply.text), 0)
        chosen = writing.candidates[place]
        meter = chosen.meter[writing.sent :]  # nothing was sent of what is not streamed
        writing.job.emit(Finished(reply, len(writing.task.prompt), meter, chosen.guard.times))

    def _withdraw(self, writing: _Writing) -> None:
        for candidate in writing.candidates:
            self._leave(candidate.row)
        self._writing.remove(writing)
        _fail(writing.job, RunError("the request was withdrawn"))
