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
from dataclasses import dataclass, replace
from typing import Any

from emotone.door import Door
from emotone.emotions import EmotionMix
from emotone.errors import EmotoneError, RunError
from emotone.judges.hearing import Hearing
from emotone.lm.batching import Task, unfit
from emotone.lm.decode import cut
from emotone.protocols import BatchResponder, Responder
from emotone.server.engine import Engine
from emotone.server.jobs import Event, Failed, Finished, Job, Piece, Withdrawn, check, fail
from emotone.server.served import Served
from emotone.types import Decoding

log = logging.getLogger("emotone.server")
#: Requests of a system without a running batch that are answered together.
_GROUP = 16


class Overloaded(RunError):
    """More requests wait than are allowed to."""


class Unready(RunError):
    """Nothing is answered now."""


_Call = tuple[Callable[[], Any], "Future[Any]"]


def _settle(task: Callable[[], Any], outcome: Future[Any]) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        outcome.set_result(task())
    except BaseException as error:
        outcome.set_exception(error)
        if not isinstance(error, Exception):
            raise


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
        self._engines: dict[int, Engine | None] = {}
        self._stack = ExitStack()
        self._thread = threading.Thread(target=self._run, name="emotone-worker", daemon=True)
        self._ready = threading.Event()
        self._open: set[Job] = set()
        self._lock = threading.Lock()  # of what is taken, so that nothing comes after the end
        self._seeds = random.Random()
        self._closed = False
        self.death: BaseException | None = None
        self.ended: Callable[[Finished | Failed], None] = lambda _: None
        """Hears of each request that has ended, in the thread."""

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
        return sum(len(e.batch.rows) for e in [*self._engines.values()] if e is not None)

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return self._arrivals.qsize() + len(self._waiting)

    def submit(self, job: Job) -> None:
        """Ask for a reply.

        Raises:
            Overloaded: If too many wait.
            Unready: If the worker is dead, or does not take requests yet.
        """
        emit = job.emit

        def last(event: Event) -> None:
            if not isinstance(event, Piece):
                self._open.discard(job)
                self._room.release()
                self.ended(event)
            emit(event)

        with self._lock:
            if not self.ready:
                raise self.unready()
            if not self._room.acquire(blocking=False):
                raise Overloaded(
                    f"{self.pending} requests wait already; try again in a few seconds"
                )
            job.emit = last
            self._open.add(job)
            self._arrivals.put(job)

    def call(self, task: Callable[[], Any]) -> Future[Any]:
        """Let the thread run something between two steps; return its outcome-to-be."""
        outcome: Future[Any] = Future()
        with self._lock:
            if self.ready:
                self._arrivals.put((task, outcome))
            else:
                outcome.set_exception(self.unready())
        return outcome

    def unready(self) -> RunError:
        """Say why no request is taken now."""
        if self._closed:
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
            log.critical("the thread that runs the models has ended", exc_info=error)
        finally:
            self._close()

    def _close(self) -> None:
        """Tell all who still wait, wherever they stand, that nothing comes."""
        with self._lock:
            self._ready.clear()
            self._closed = True
        for job in list(self._open):
            fail(job, self.unready())
        self._waiting.clear()
        self._engines.clear()
        while not self._arrivals.empty():
            arrival = self._arrivals.get()
            if isinstance(arrival, tuple) and arrival[1].set_running_or_notify_cancel():
                arrival[1].set_exception(self.unready())

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
                    if self._plan(arrival):
                        break  # others who are written for wait for one reading at most
                else:
                    _settle(*arrival)
            self._begin()
            for engine in self._engines.values():
                if engine is not None and engine.busy:
                    self._guarded(engine)

    def _guarded(self, engine: Engine) -> None:
        """Advance a batch; where it fails, its requests do, and it begins anew."""
        try:
            engine.advance()
        except Exception as error:
            engine.fail(error)

    def _plan(self, job: Job) -> bool:
        """Find out once who answers a request, in which moods and how, and let it wait.

        Returns:
            Whether it joins a running batch.
        """
        if job.cancelled:
            fail(job, Withdrawn())
            return False
        try:
            responder = self.door(job.served).responder_for(job.dialogue.posts[-1].text)
            hearing = Hearing(responder, job.dialogue, job.note)
            for engine in self._engines.values():
                if engine is not None:
                    engine.rest()  # what reads the post now reads the model as it is
            moods = job.feeling.within(responder.capabilities.taxonomy, job.note, hearing)
            job.emit = _telling(job.emit, hearing)
            frames = [without(mix, job.withhold) for mix in moods]
            engine, task = self._engine_of(job, responder, frames)
            if engine is None or task is None:
                check(job, frames, steers=False, listens=False)
            self._waiting.append(_Planned(job, responder, frames, engine, task))
        except Exception as error:
            fail(job, error)
            return False
        return engine is not None

    def _begin(self) -> None:
        """Let waiting requests begin in order, as far as there is room."""
        waiting, self._waiting = self._waiting, []
        apart: dict[tuple[int, Any], list[_Planned]] = {}
        for planned in waiting:
            job, engine, task = planned.job, planned.engine, planned.task
            if job.cancelled:
                fail(job, Withdrawn())
            elif engine is None or task is None:
                like = (id(planned.responder), replace(job.decoding, seed=0))
                apart.setdefault(like, []).append(planned)
            elif not engine.room(len(task.seeds)):
                self._waiting.append(planned)
            else:
                try:
                    engine.begin(job, task, planned.frames)
                except Exception as error:
                    fail(job, error)
        for group in apart.values():
            self._answer(group)

    def _engine_of(
        self, job: Job, responder: Responder, frames: list[EmotionMix | None]
    ) -> tuple[Engine | None, Task | None]:
        if not isinstance(responder, BatchResponder) or job.empathy is not None:
            return None, None
        if not job.seeded:
            job.decoding = replace(job.decoding, seed=self._seeds.randrange(2**31))
            job.seeded = True
        task: Task = responder.task(
            job.dialogue,
            frames[-1],
            decoding=job.decoding,
            streaming=job.streaming,
            own_words=job.own_words or len(frames) > 1,  # a reply by hand has one mood
        )
        key = id(task.lm.model)
        if key not in self._engines:
            fit = unfit(task.lm.model) is None
            self._engines[key] = (
                Engine(task, self.rows, self._prefix_bytes, self._stack) if fit else None
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
                fail(planned.job, error)
            return
        for planned, reply in zip(batch, replies, strict=True):
            job = planned.job
            reply = replace(reply, text=cut(reply.text, job.stop).rstrip())
            if job.streaming:
                job.emit(Piece(reply.text))
            job.emit(Finished(reply, 0))


def _telling(emit: Callable[[Event], None], hearing: Hearing) -> Callable[[Event], None]:
    """Let a reply say what was heard in its post."""

    def told(event: Event) -> None:
        if isinstance(event, Finished):
            event = replace(event, reply=hearing.tell(event.reply))
        emit(event)

    return told


def without(mix: EmotionMix | None, withheld: frozenset[str]) -> EmotionMix | None:
    """Leave emotions out of a mix; to have less of one is left."""
    if mix is None or not withheld:
        return mix
    parts = tuple((e, v) for e, v in mix.parts if e.label not in withheld or v <= 0)
    return EmotionMix(parts) if parts else None


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
    engine: Engine | None
    task: Task | None
