"""Figures of a server for Prometheus: requests, waiting, time to the first token, tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from emotone.server.jobs import Finished
from emotone.server.worker import Worker

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


@dataclass(slots=True)
class _Counted:
    model: str = ""


class Meters:
    """The figures of one server.

    Args:
        worker: What is asked how much it runs and waits.
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

    @contextmanager
    def request(self, path: str) -> Iterator[_Counted]:
        """Count a request when it ends; its model is set when it is known."""
        counted, began = _Counted(), time.monotonic()
        outcome = "failed"
        try:
            yield counted
            outcome = "answered"
        finally:
            self._requests.labels(path, counted.model, outcome).inc()
            self._whole.observe(time.monotonic() - began)

    async def timed(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a stream on, and note when its first content came."""
        began, number = time.monotonic(), 0
        async for event in events:
            number += 1
            if number == 2:  # the first names the role only
                self._first.observe(time.monotonic() - began)
            yield event

    def written(self, finished: Sequence[Finished]) -> None:
        """Count the tokens of replies."""
        self._read.inc(sum(f.prompt_tokens for f in finished))
        self._written.inc(sum(f.reply.tokens for f in finished))

    def text(self) -> bytes:
        """Return all figures in Prometheus' format."""
        return generate_latest(self._registry)
