"""The running batch of one model, and the requests whose replies it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from emotone.emotions import EmotionMix
from emotone.lm.batching import Batch, Row, Task
from emotone.lm.decode import cut
from emotone.server import moods
from emotone.server.jobs import Finished, Job, Piece, Withdrawn, check, fail
from emotone.types import Decoding

_FENCE = "```"


@dataclass(slots=True, eq=False)
class _Candidate:
    """One of its replies: its row, and what was done to it and heard in it so far.

    Args:
        row: In the batch until it is done.
        guard: Watches it.
        pushed: Scale of its push, and its tokens on the way between moods.
        meter: What the listener heard in each token.
    """

    row: Row
    guard: moods.Guard = field(default_factory=moods.Guard)
    pushed: tuple[float, float] = (1.0, 0.0)
    meter: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class _Writing:
    """One request whose candidates are in the batch."""

    def __init__(self, job: Job, task: Task, doses: list[Mapping[str, float]]) -> None:
        self.job = job
        self.task = task
        self.doses = doses
        self.places = moods.spread(job.feeling.places, len(doses), _end(task.decoding))
        self.candidates: list[_Candidate] = []
        self.guarded = job.guard and any(any(frame.values()) for frame in doses)
        self.sent = 0


def _end(decoding: Decoding) -> float:
    """Where a way ends: a reply ends with the first sentence that ends after so many tokens."""
    return max(1.0, decoding.max_tokens * decoding.sentence_end_after)


class Engine:
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
        """Whether it writes for anybody."""
        return bool(self._writing)

    @property
    def candidates(self) -> list[_Candidate]:
        """The replies that are being written."""
        return [candidate for writing in self._writing for candidate in writing.candidates]

    def room(self, count: int) -> bool:
        """Tell whether so many rows may join; a request that never fits runs alone."""
        return not self.batch.rows or len(self.batch.rows) + count <= self._rows

    def begin(self, job: Job, task: Task, frames: Sequence[EmotionMix | None]) -> None:
        """Read a request's prompt and let its candidates join."""
        listens = self._live is not None and self._live.listener is not None
        check(job, frames, steers=self._vectors is not None, listens=listens)
        doses: list[Mapping[str, float]] = [task.doses]
        if len(frames) > 1:
            doses = [{} if mix is None else self._vectors.doses(mix) for mix in frames]
        writing = _Writing(job, task, doses)
        push = self._push(moods.between(doses, writing.places, 0.0), 1.0)
        drafts = [self.batch.draft(task.decoding, seed, job.stop) for seed in task.seeds]
        rows = self.batch.join(task.prompt, drafts, push, task.decoding) if drafts else []
        writing.candidates = [_Candidate(row) for row in rows]
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
            self._fail(writing, error)
        self._writing.clear()
        self.batch = self._anew()

    def _push(self, doses: Mapping[str, float], scale: float) -> Any:
        if self._live is None or not any(doses.values()) or not scale:
            return None
        return self._vectors.push({k: v * scale for k, v in doses.items()})

    def rest(self) -> None:
        """Push nothing until the next pass, so that the model can be read as it is."""
        if self._live is not None:
            self._live.rest()

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
        if job.streaming and writing.candidates:
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
        row, scale, at = candidate.row, candidate.guard.scale, 0.0
        if len(writing.doses) > 1:
            at = min(len(row.draft.ids), writing.places[-1])
        if writing.job.fences and row.draft.text.count(_FENCE) % 2:
            scale = 0.0
        if candidate.pushed != (scale, at):
            candidate.pushed = (scale, at)
            row.push = self._push(moods.between(writing.doses, writing.places, at), scale)

    def _finish(self, writing: _Writing) -> None:
        self.rest()  # what chooses reads the model as it is
        written = [candidate.row.draft.written() for candidate in writing.candidates]
        try:
            reply = writing.task.finish(written)
        except Exception as error:
            self._fail(writing, error)
            return
        read = len(writing.task.prompt)
        if "retrieved" in reply.applied:  # none of the candidates
            reply = replace(reply, text=cut(reply.text, writing.job.stop).strip())
            if writing.job.streaming and reply.text:
                writing.job.emit(Piece(reply.text))
            writing.job.emit(Finished(reply, read))
            return
        place = next((i for i, w in enumerate(written) if w.text == reply.text), 0)
        chosen = writing.candidates[place]
        meter = chosen.meter[writing.sent :]  # nothing was sent of what is not streamed
        writing.job.emit(Finished(reply, read, meter, chosen.guard.times))

    def _withdraw(self, writing: _Writing) -> None:
        for candidate in writing.candidates:
            self._leave(candidate.row)
        self._writing.remove(writing)
        self._fail(writing, Withdrawn())

    def _fail(self, writing: _Writing, error: Exception) -> None:
        """Tell a request why it failed, and how much was read and written for it."""
        tokens = max((len(c.row.draft.ids) for c in writing.candidates), default=0)
        fail(writing.job, error, prompt_tokens=len(writing.task.prompt), tokens=tokens)
