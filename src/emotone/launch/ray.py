"""Blocks of work by the workers of a Ray cluster, with the results of one process.

What is to be done is sent to each worker once; a block goes to the worker that is free, and results
come back in the order of the blocks, whoever was first. A worker that dies is started again by Ray,
and its block is done anew: nothing is lost, and nothing comes twice, as a block has one result. Few
blocks are under way at once, so that a file of any length fits.

Source: Moritz et al. 2018, "Ray: a distributed framework for emerging AI applications", section 3.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from typing import Any

from emotone.errors import EmotoneError, Unsupported, UsageError

LOCAL = "local"
#: Blocks a worker has under way: one that it does and one that waits for it.
_AHEAD = 2
#: Finished blocks that may wait for an earlier one, for each worker.
_WAITING = 8


@dataclass(frozen=True, slots=True)
class Ray:
    """Workers; called as `map` is, so that it is a `Spread`.

    Args:
        workers: How many.
        cpus: Cores of each.
        gpus: Accelerators of each, 0 or 1.
    """

    workers: int
    cpus: int
    gpus: int

    def __call__(self, work: Callable[[Any], Any], blocks: Iterable[Any], /) -> Iterator[Any]:
        """Yield what the work makes of each block, in order.

        Raises:
            EmotoneError: As the work raised it.
            Unsupported: If the workers cannot start, for another reason.
        """
        import ray

        # Only the work needs a worker; without blocks nobody starts one.
        left = enumerate(blocks)
        first = list(islice(left, 1))
        if not first:
            return
        actor: Any = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=-1, max_task_retries=-1
        )(_Worker)
        sent = ray.put(work)
        idle = [actor.remote(sent, self.cpus) for _ in range(self.workers)] * _AHEAD
        try:
            yield from _in_order(idle, _chained(first, left), _WAITING * self.workers)
        finally:
            for worker in set(idle):
                ray.kill(worker)


class _Worker:
    """Does blocks one after the other, in a process of its own."""

    def __init__(self, work: Callable[[Any], Any], threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._work = work

    def do(self, block: Any) -> Any:
        return self._work(block)


def _chained(first: list[Any], left: Iterator[Any]) -> Iterator[Any]:
    yield from first
    yield from left


def _in_order(idle: list[Any], blocks: Iterator[tuple[int, Any]], most: int) -> Iterator[Any]:
    """Yield results in order; `idle` holds a worker as often as it may be given a block."""
    import ray

    idle = list(idle)
    under_way: dict[Any, tuple[int, Any]] = {}
    finished: dict[int, Any] = {}
    place = 0
    while True:
        while idle and len(finished) + len(under_way) < most and (row := next(blocks, None)):
            worker = idle.pop(0)
            under_way[worker.do.remote(row[1])] = row[0], worker
        if not under_way:
            return
        (ref,), _ = ray.wait(list(under_way), num_returns=1)
        number, worker = under_way.pop(ref)
        finished[number] = _result(ref)
        idle.append(worker)
        while place in finished:
            yield finished.pop(place)
            place += 1


def _result(ref: Any) -> Any:
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause: Any = error.cause
        if isinstance(cause, EmotoneError):
            raise cause from None
        raise
    except RayActorError as error:
        raise Unsupported(
            f"a worker could not start or go on ({str(error).splitlines()[-1].strip()}); see that"
            " emotone and its models are on every machine, and that memory is left"
        ) from error


@contextmanager
def ray_workers(address: str, workers: int | None = None) -> Iterator[Ray]:
    """Open workers on this machine or a cluster, and close them in the end.

    Args:
        address: "local" starts a cluster of this machine alone; else that of one, such as "auto" or
            "ray://head:10001".
        workers: How many; None takes one for each accelerator, or else one for four cores, two at
            least.

    Raises:
        Unsupported: If Ray is not installed, or there is no such cluster.
        UsageError: If there are to be fewer than one.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers cannot work; use 1 or more")
    # Ray reports what is run to its makers, and hides accelerators from workers that ask for none.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise Unsupported(
            "Ray is not installed; pip install 'emotone[ray]', or split the file with --shard"
        ) from error
    ours = not ray.is_initialized()
    if ours:
        here: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
        place = address if address != LOCAL else "local"
        try:
            ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise Unsupported(
                f"there is no Ray cluster at {address!r} ({reason}); start one with `ray start"
                " --head`, or use --ray local"
            ) from error
    try:
        there = ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
        count = workers or gpus or max(2, cpus // 4)
        yield Ray(count, max(1, cpus // count), 1 if gpus >= count else 0)
    finally:
        if ours:
            # What Ray still has to say of workers that died would go among the results.
            with redirect_stdout(sys.stderr):
                ray.shutdown()
