"""Blocks of work by the workers of a Ray cluster, with the results of one process.

What is to be done is sent to each worker once; a block goes to the worker that is free, and results
come back in the order of the blocks, whoever was first. A worker that dies is started again by Ray,
and its block is done anew, a few times at most: nothing comes twice, as a block has one result. Few
blocks are under way at once, so that a file of any length fits.

Source: Moritz et al. 2018, "Ray: a distributed framework for emerging AI applications", section 3.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from emotone.errors import EmotoneError, Unsupported, UsageError

LOCAL = "local"
#: Finished blocks that may wait for an earlier one, for each worker.
_WAITING = 8
#: Times that a block is begun anew where its worker dies; one that always kills it ends the run.
_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Ray:
    """Workers; called as `map` is, so that it is a `Spread`.

    Args:
        workers: How many.
        cpus: Cores of each.
        gpus: Accelerators of each, 0 or 1.
        ahead: Blocks that a worker may be given at once: 2 keep it busy, 1 binds none to one that
            is busy for long.
    """

    workers: int
    cpus: int
    gpus: int
    ahead: int = 2

    def __call__(self, work: Callable[[Any], Any], blocks: Iterable[Any], /) -> Iterator[Any]:
        """Yield what the work makes of each block, in order.

        Raises:
            EmotoneError: As the work raised it.
            Unsupported: If the workers cannot start, for another reason.
        """
        import ray

        # A worker for each block at most; without blocks nobody starts one.
        left = enumerate(blocks)
        first = list(islice(left, self.workers))
        if not first:
            return
        actor: Any = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=-1, max_task_retries=_RETRIES
        )(_Worker)
        sent = ray.put(work)
        workers = [actor.remote(sent, self.cpus, os.getcwd()) for _ in first]
        try:
            yield from _in_order(workers * self.ahead, chain(first, left), _WAITING * len(workers))
        finally:
            if ray.is_initialized():  # else a reader that failed has ended all before
                for worker in workers:
                    ray.kill(worker)


class _Worker:
    """Does blocks one after the other, in a process of its own."""

    def __init__(self, work: Callable[[Any], Any], threads: int, folder: str) -> None:
        import torch

        torch.set_num_threads(threads)
        if os.path.isdir(folder):  # so that relative paths mean what they mean to the caller
            os.chdir(folder)
        self._work = work

    def do(self, block: Any) -> Any:
        return self._work(block)


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
def ray_workers(address: str, workers: int | None = None, *, ahead: int = 2) -> Iterator[Ray]:
    """Open workers on this machine or a cluster, and close them in the end.

    Args:
        address: "local" starts a cluster of this machine alone; else that of one, "auto" or such as
            "head:6379".
        workers: How many; None takes one for each accelerator, or else one for four cores, two at
            least where there is room.
        ahead: See `Ray`.

    Raises:
        Unsupported: If Ray is not installed, there is no such cluster, or it has no room for them.
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
    with _results_alone():
        if ours:
            here: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
            except (ConnectionError, ValueError, RuntimeError) as error:
                reason = str(error).splitlines()[0]
                raise Unsupported(
                    f"there is no Ray cluster at {address!r} ({reason}); start one with `ray start"
                    " --head`, or use --ray local"
                ) from error
        try:
            machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            yield replace(sized(machines, workers), ahead=ahead)
        finally:
            if ours:
                with redirect_stdout(sys.stderr):  # its last words are said by the main thread
                    ray.shutdown()


def sized(machines: Sequence[Mapping[str, float]], workers: int | None) -> Ray:
    """Share the cores of a cluster out, so that each worker finds room on one machine.

    Args:
        machines: "CPU" and "GPU" of each machine.
        workers: How many; None chooses.

    Raises:
        Unsupported: If there is no room for so many.
    """
    cores = [int(machine.get("CPU", 0)) for machine in machines]
    gpus = [int(machine.get("GPU", 0)) for machine in machines]
    most = workers or sum(gpus) or max(2, sum(each // 4 for each in cores))
    for count in [most] if workers else range(most, 0, -1):
        accelerated = sum(gpus) >= count
        for cpus in range(sum(cores) // count, 0, -1):
            rooms = [
                min(each // cpus, own) if accelerated else each // cpus
                for each, own in zip(cores, gpus, strict=True)
            ]
            if sum(rooms) >= count:
                return Ray(count, cpus, int(accelerated))
    raise Unsupported(
        f"{most} workers find no room on machines with {', '.join(map(str, cores)) or 'no'} cores;"
        " use fewer"
    )


@contextmanager
def _results_alone() -> Iterator[None]:
    """Keep what Ray's threads print of workers that died away from the results on stdout."""
    stdout = sys.stdout
    sys.stdout = _OfMainThread(stdout)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        sys.stdout = stdout


class _OfMainThread:
    """A stream for the main thread; what others write goes to stderr."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        main = threading.current_thread() is threading.main_thread()
        return (self._stream if main else sys.stderr).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
