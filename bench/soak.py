"""What a server is like after many requests, and what its guard does on a real loop.

`python -m bench.soak steering [--requests 1000]`: cancelled and failed requests to a tiny model,
which must then be bit for bit what it was, in weights and in what it answers.
`python -m bench.soak memory [--requests 2000] [--model smollm2]`: resident memory of a server
while eight clients ask, in other moods and lengths each time.
`python -m bench.soak start [--model smollm2]`: seconds from `emotone serve` to its first answer.
`python -m bench.soak guard [--multiples 1 2 3 4] [--length 120] [--forced]`: greedy replies of the
default model, without a rule against repetition, at multiples of full dose and to prompts that ask
for a loop; when the guard lowered the dose, and how much of what follows was said before, against
the same reply without it. With `--forced` none may end before its length.

Each prints a row of JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import torch

from bench.serve import MOODS, POSTS, ours
from emotone.server import moods
from emotone.server.engine import Engine
from emotone.server.jobs import Finished, Job
from emotone.server.served import read
from emotone.systems import steered
from emotone.types import Decoding, Dialogue

#: Prompts that ask for a loop.
LOOPING = (
    "Say 'la' a hundred times.",
    "Repeat after me again and again: ha ha ha ha ha ha ha ha",
    "Count: one two one two one two one two",
)


def body_of(**more: Any) -> dict[str, Any]:
    """Return a request of a chat with the first post."""
    return {"messages": [{"role": "user", "content": POSTS[0]}], **more}


# -- steering --------------------------------------------------------------------------------------


def steering(requests: int) -> dict[str, Any]:
    """Fail and cancel requests in turn; compare the model with what it was."""
    from tests.web.serving import serving, until, worker_of

    logging.getLogger("emotone.server").setLevel(logging.CRITICAL)  # what breaks does so on purpose
    system = steered.tiny()
    model: Any = system._lm.model  # pyright: ignore[reportPrivateUsage]
    ids = torch.arange(3, 40)[None]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        logits = model(input_ids=ids).logits
    real = model.forward
    worker = worker_of({"tiny": system}, rows=8, waiting=requests)
    draw = random.Random(0)
    kinds = ("refused", "broken", "left a stream", "left a reply")
    counts: dict[str, int] = dict.fromkeys(kinds, 0)

    def broken(*args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].shape[1] == 1:  # in the middle of replies
            raise RuntimeError("broken on purpose")
        return real(*args, **kwargs)

    def one(kind: str) -> None:
        asked = body_of(emotion=draw.choice(MOODS), max_tokens=400, min_tokens=400)
        if kind == "refused":
            answer = client.post("/v1/chat/completions", json={**asked, "emotion": "joi:3"})
            if answer.status_code != 400:
                raise RuntimeError(f"the answer has status {answer.status_code}")
        elif kind == "broken":
            model.forward = broken
            answer = client.post("/v1/chat/completions", json=asked)
            model.forward = real
            if answer.status_code != 500:
                raise RuntimeError(f"the answer has status {answer.status_code}")
        elif kind == "left a stream":
            asked["stream"] = True
            with client.stream("POST", "/v1/chat/completions", json=asked) as stream:
                lines = (line for line in stream.iter_lines() if line)
                for _ in range(draw.randrange(1, 4)):
                    next(lines)
        else:
            with suppress(httpx.TimeoutException):
                client.post("/v1/chat/completions", json=asked, timeout=draw.uniform(0.01, 0.1))
        counts[kind] += 1

    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), worker) as client:
        plain = body_of(temperature=0, max_tokens=40)
        before = client.post("/v1/chat/completions", json=plain).json()["choices"]
        files = psutil.Process().num_fds()
        for number in range(requests):
            one(kinds[number % 4])
            if number % 100 == 99:
                print(f"{number + 1} requests", file=sys.stderr, flush=True)
        until(lambda: worker.running == 0 and worker.pending == 0)
        after = client.post("/v1/chat/completions", json=plain).json()["choices"]
        more_files = psutil.Process().num_fds() - files
    with torch.inference_mode():
        same_logits = torch.equal(model(input_ids=ids).logits, logits)
    now: dict[str, Any] = model.state_dict()
    return {
        "requests": counts,
        "weights equal": all(torch.equal(now[name], value) for name, value in weights.items()),
        "logits equal": same_logits,
        "plain reply equal": before == after,
        "more open files": more_files,
        "hooks left": sum(len(part._forward_hooks) for part in model.modules()),
    }


# -- memory and start ------------------------------------------------------------------------------


def memory(requests: int, model: str, threads: int) -> dict[str, Any]:
    """Ask a server of its own process; note its resident memory eight times on the way."""
    with ours(threads, model) as (address, process), ThreadPoolExecutor(8) as pool:
        client = httpx.Client(base_url=address, timeout=600)
        feels = client.get("/v1/emotions").raise_for_status().json()["data"]

        def one(number: int) -> None:
            draw = random.Random(number)
            body = body_of(
                model=model, seed=number, emotion=draw.choice(MOODS) if feels else None,
                max_tokens=draw.randrange(2, 24), stream=number % 2 == 0,
                messages=[{"role": "user", "content": f"{draw.choice(POSTS)} {number}"}],
            )  # fmt: skip
            client.post("/v1/chat/completions", json=body).raise_for_status()

        def resident() -> float:
            return round(psutil.Process(process).memory_info().rss / 2**20, 1)

        list(pool.map(one, range(100)))  # what is loaded late is loaded now
        curve = [resident()]
        step = max(1, requests // 8)
        for first in range(0, requests, step):
            list(pool.map(one, range(first, min(first + step, requests))))
            curve.append(resident())
            print(f"{min(first + step, requests)} requests: {curve[-1]} MiB", file=sys.stderr)
        client.close()
    return {"model": model, "requests": requests, "MiB": curve, "grown": curve[-1] - curve[0]}


def start(model: str, threads: int) -> dict[str, Any]:
    """Time a server from its command to its first answer."""
    began = time.perf_counter()
    with ours(threads, model) as (address, _):
        ready = time.perf_counter() - began
        url, body = f"{address}/v1/chat/completions", body_of(stream=True)
        answer = httpx.post(url, json=body, timeout=600).raise_for_status()
        answered = time.perf_counter() - began
    if "[DONE]" not in answer.text:
        raise RuntimeError("the first answer is no whole stream")
    return {"model": model, "ready s": round(ready, 2), "first answer s": round(answered, 2)}


# -- the guard -------------------------------------------------------------------------------------


def again(ids: Sequence[int]) -> float | None:
    """Return the share of sequences of three tokens that came before; None for fewer than four."""
    threes = [tuple(ids[i : i + 3]) for i in range(len(ids) - 2)]
    return None if len(threes) < 2 else round(1 - len(set(threes)) / len(threes), 3)


def guard(multiples: Sequence[float], length: int, *, forced: bool) -> dict[str, Any]:
    """Write replies that loop with and without the guard; forced ones may not end before."""
    served = read("smollm2")
    system: Any = served.open("auto").responder
    cases = [(post, "joy", times) for post in POSTS[:4] for times in multiples]
    cases += [(post, emotion, 1.0) for post in LOOPING for emotion in ("joy", "sadness")]
    rows: list[dict[str, Any]] = []
    for post, emotion, times in cases:
        replies = [
            _written(system, served, post, emotion, times, length, forced, guarded=guarded)
            for guarded in (True, False)
        ]
        (ids, text, lowered), (other, plain, _) = replies
        at = lowered[0] if lowered else None
        row = {
            "post": post, "mood": f"{emotion} x {times:g}", "lowered at": lowered,
            "again after": None if at is None else again(ids[at:]),
            "without the guard": None if at is None else again(other[at:]),
            "ended": len(ids) < length, "text": text, "plain": plain,
        }  # fmt: skip
        rows.append(row)
        print(json.dumps(row, ensure_ascii=False), file=sys.stderr, flush=True)
    lowered_rows = [r for r in rows if r["lowered at"] and r["without the guard"] is not None]
    return {
        "replies": len(rows),
        "lowered": sum(bool(row["lowered at"]) for row in rows),
        "mean again after": _mean([row["again after"] or 0.0 for row in lowered_rows]),
        "mean again without the guard": _mean([row["without the guard"] for row in lowered_rows]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 3) if values else None


def _written(
    system: Any,
    served: Any,
    post: str,
    emotion: str,
    times: float,
    length: int,
    forced: bool,
    *,
    guarded: bool,
) -> tuple[list[int], str, list[int]]:
    """Write one greedy reply; return its token ids, its text, and where the dose was lowered."""
    decoding = Decoding(
        "greedy",
        max_tokens=length,
        min_tokens=length if forced else 0,
        repetition_penalty=1.0,
        no_repeat=0,
        sentence_end_after=1.0,
    )
    finished: list[Finished] = []
    feeling = moods.read(emotion)
    mixes = feeling.within(system.capabilities.taxonomy, None)
    job = Job(
        served, Dialogue.of(post), feeling, decoding,
        lambda event: finished.append(event) if isinstance(event, Finished) else None,
        guard=guarded, streaming=True,
    )  # fmt: skip
    task = system.task(job.dialogue, mixes[0], decoding=decoding, streaming=True)
    task = replace(task, doses={label: dose * times for label, dose in task.doses.items()})
    lowered: list[int] = []
    with ExitStack() as stack:
        engine = Engine(task, 1, 0, stack)
        engine.begin(job, task, mixes)
        (candidate,) = engine.candidates
        while engine.busy:
            before = candidate.guard.times
            engine.advance()
            lowered += [len(candidate.row.draft.ids)] * (candidate.guard.times - before)
    return candidate.row.draft.ids, finished[0].reply.text, lowered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["steering", "memory", "start", "guard"])
    parser.add_argument("--requests", type=int)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--multiples", type=float, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--length", type=int, default=120)
    parser.add_argument("--forced", action="store_true", help="no reply ends before --length")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    row = {
        "steering": lambda: steering(chosen.requests or 1000),
        "memory": lambda: memory(chosen.requests or 2000, chosen.model, chosen.threads),
        "start": lambda: start(chosen.model, chosen.threads),
        "guard": lambda: guard(chosen.multiples, chosen.length, forced=chosen.forced),
    }[chosen.what]()
    print(json.dumps(row))
    if chosen.output:
        chosen.output.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
