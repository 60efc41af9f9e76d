"""The server with many clients against one request after the other, and against peers.

`python -m bench.serve [--clients 1 8 32] [--tokens 40] [--rounds 3] [--peer URL] [--output FILE]`

Each client has a mood and a post of its own; replies are greedy and of a fixed length, streamed, so
that all write the same number of tokens. Tokens a second over all clients, and the time until the
first token comes, p50 and p95. Against `--peer`, a server of OpenAI's API with the same weights
(`transformers serve --continuous-batching`, vLLM's CPU build), in turn with ours and without moods.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2 as httpx

Kind = Literal["moods", "plain", "peer"]
MOODS = [
    "anger",
    "disgust:70",
    "fear:60",
    "joy:60 + fear:20",
    "sadness:80",
    "surprise",
    "joy:30",
    "",
]
POSTS = [
    "My best friend forgot my birthday.",
    "The train was late again this morning.",
    "I found an old photo of my school class.",
    "My neighbour plays the drums at night.",
    "I start a new job on Monday.",
    "The soup had a hair in it.",
    "My sister is getting married in May.",
    "I think I left the oven on.",
]


@contextmanager
def ours(threads: int, model: str = "smollm2") -> Iterator[tuple[str, int]]:
    """Start the server on a free port, and wait for its model; yields its address and process."""
    command = [sys.executable, "-m", "emotone", "serve", "--port", "0", "--model", model]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        address = process.stdout.readline().strip()
        while httpx.get(f"{address}/health").status_code != 200:
            time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(40)


def one(client: httpx.Client, model: str, i: int, tokens: int, kind: Kind) -> tuple[float, int]:
    """Ask for one reply; return the seconds to its first token, and its number of tokens."""
    body: dict[str, Any] = {
        "model": model, "stream": True, "temperature": 0, "max_tokens": tokens,
        "messages": [{"role": "user", "content": POSTS[i % len(POSTS)]}],
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    if kind != "peer":  # a peer knows no shortest reply, and ours would stop at its end
        body |= {"min_tokens": tokens, "emotion_guard": False}
    if kind == "moods":
        body["emotion"] = MOODS[i % len(MOODS)]
    began, first, written = time.perf_counter(), 0.0, 0
    with client.stream("POST", "/v1/chat/completions", json=body) as stream:
        stream.raise_for_status()
        for line in stream.iter_lines():
            if not line.startswith("data: {"):
                continue
            row = json.loads(line[6:])
            if "error" in row:
                raise RuntimeError(row["error"]["message"])
            if not first and row["choices"] and row["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - began
            if row.get("usage"):
                written = row["usage"]["completion_tokens"]
    return first, written


def load(address: str, model: str, clients: int, tokens: int, kind: Kind) -> dict[str, float]:
    """Let so many clients ask at once, each twice."""
    with httpx.Client(base_url=address, timeout=600) as client, ThreadPoolExecutor(clients) as pool:
        began = time.perf_counter()
        rows = list(pool.map(lambda i: one(client, model, i, tokens, kind), range(2 * clients)))
        seconds = time.perf_counter() - began
    firsts = sorted(first for first, _ in rows)
    return {
        "tokens/s": sum(n for _, n in rows) / seconds,
        "p50": firsts[len(firsts) // 2],
        "p95": firsts[int(0.95 * (len(firsts) - 1))],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    arguments.add_argument("--tokens", type=int, default=40)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--peer", help="address of another server of the same weights")
    arguments.add_argument("--peer-model", default="smollm2")
    arguments.add_argument("--output", type=Path)
    chosen = arguments.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {chosen.threads} threads", file=sys.stderr)
    results: dict[str, Any] = {}
    with ours(chosen.threads) as (address, _):
        load(address, "smollm2", 1, 8, "moods")  # what is loaded late is loaded now
        for clients in chosen.clients:
            rows = [
                load(address, "smollm2", clients, chosen.tokens, "moods")
                for _ in range(chosen.rounds)
            ]
            results[f"{clients} clients"] = {
                k: statistics.median(r[k] for r in rows) for k in rows[0]
            }
            show(f"{clients} clients", results[f"{clients} clients"])
        if "1 clients" in results:
            alone = results["1 clients"]["tokens/s"]
            for name, row in results.items():
                print(f"{name:>12}: {row['tokens/s'] / alone:.2f} x one after the other")
        if chosen.peer:
            for clients in chosen.clients:
                ratios: list[float] = []
                for _ in range(chosen.rounds):
                    own = load(address, "smollm2", clients, chosen.tokens, "plain")
                    peer = load(chosen.peer, chosen.peer_model, clients, chosen.tokens, "peer")
                    ratios.append(own["tokens/s"] / peer["tokens/s"])
                results[f"{clients} clients over peer"] = ratios
                print(f"{clients:>4} clients: {statistics.median(ratios):.2f} x peer {ratios}")
    if chosen.output:
        chosen.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def show(name: str, row: dict[str, float]) -> None:
    print(
        f"{name:>12}: {row['tokens/s']:.1f} tokens/s, first token p50 {row['p50']:.2f} s,"
        f" p95 {row['p95']:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
