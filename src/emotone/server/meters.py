"""Figures of a server for Prometheus: requests, waiting, time to the first token, tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from emotone.server.jobs import Failed, Finished, Withdrawn
from emotone.server.worker import Worker

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


@dataclass(slots=True)
class Count:
    """A request that is being counted.

    Args:
        path: What was called.
        model: Who answers, once it is known.
        streams: Whether its stream says when it has ended.
    """

    path: str
    model: str = ""
    streams: bool = False
    began: float = field(default_factory=time.monotonic)


class Meters:
    """The figures of one server.

    Args:
        worker: What is asked how much it runs and waits, and tells of each reply that has ended.
    """

    def __init__(self, worker: Worker) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "emotone_requests", "Requests that ended.", ["path", "model", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._first = Histogram(
            "emotone_time_to_first_token_seconds", "Of streams.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._whole = Histogram(
            "emotone_e2e_request_latency_seconds", "Of whole requests.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._read = Counter("emotone_prompt_tokens", "Tokens read.", registry=registry)
        self._written = Counter("emotone_generation_tokens", "Tokens written.", registry=registry)
        running = Gauge("emotone_num_requests_running", "Replies in batches.", registry=registry)
        running.set_function(lambda: worker.running)
        waiting = Gauge("emotone_num_requests_waiting", "Requests that wait.", registry=registry)
        waiting.set_function(lambda: worker.pending)
        worker.ended = self._tokens

    @contextmanager
    def request(self, path: str) -> Iterator[Count]:
        """Count a request when it ends; one that streams is counted by its stream."""
        count = Count(path)
        try:
            yield count
        except BaseException as error:
            self._end(count, error)
            raise
        if not count.streams:
            self._end(count, None)

    def streamed(self, count: Count) -> Callable[[Exception | None, float | None], None]:
        """Leave a request to its stream; return what the stream calls at its end."""
        count.streams = True

        def ended(error: Exception | None, first: float | None) -> None:
            if first is not None:
                self._first.observe(first)
            self._end(count, error)

        return ended

    def _end(self, count: Count, error: BaseException | None) -> None:
        left = isinstance(error, Withdrawn | asyncio.CancelledError)
        outcome = "answered" if error is None else "cancelled" if left else "failed"
        self._requests.labels(count.path, count.model, outcome).inc()
        self._whole.observe(time.monotonic() - count.began)

    def _tokens(self, event: Finished | Failed) -> None:
        self._read.inc(event.prompt_tokens)
        self._written.inc(event.reply.tokens if isinstance(event, Finished) else event.tokens)

    def text(self) -> bytes:
        """Return all figures in Prometheus' format."""
        return generate_latest(self._registry)
