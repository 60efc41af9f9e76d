"""Moods by name on a real engine, against transformers with the same adapters.

`python -m bench.engines URL --moods FOLDER [--model smollm2] [--names 1000] [--output FILE]`

URL is a vLLM that was started as docs/how-to/vllm.md says, with `EMOTONE_VLLM_FOLDERS` below
`--names`, or the door before a llama-server (docs/how-to/llamacpp.md). Asked are

- twenty posts in four moods, all at once and greedy: how many of the replies are the same texts
  in transformers, which reads the adapter of the mood by peft, and in how many `en-score` hears it;
- tokens a second of eight clients: the bare model, one mood for all, and four moods by turns;
- names that are no mood;
- many moods, one after the other: folders on vLLM's disk, and memory of the server (`--pid`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

from bench.serve import POSTS
from emotone.emotions import EVERYDAY, EmotionMix
from emotone.engines.mood_adapter import write_mood_adapter
from emotone.engines.reference import Reference
from emotone.judges import SCORE, open_judge
from emotone.models import CausalLM, load_causal_lm
from emotone.steering.mood_adapters import MoodAdapters, open_mood_adapters
from emotone.training.adapters import fold_adapters

MOODS = ("joy:100", "sadness:100", "anger:60+disgust:40", "fear:80")
MORE = (
    "I lost my keys on the train.",
    "We won the quiz last night.",
    "My flight is at five in the morning.",
    "The cat slept on my keyboard.",
    "I burned the rice again.",
    "Someone took my parking space.",
    "My brother calls every Sunday.",
    "The lift is broken, and I live on the ninth floor.",
    "I finally cleaned the garage.",
    "There is a spider in the bath.",
    "My tooth hurts.",
    "The new neighbours brought us a cake.",
)
NO_MOODS = ("@", "@nonsense:60", "@joy:900", "@joy:sixty", "@../../etc", "@joy:60+joy:20")


class Server:
    """A server that is asked for completions of token ids."""

    def __init__(self, url: str, name: str, tokens: int) -> None:
        self.client = httpx.Client(base_url=url, timeout=600)
        self.name, self.tokens = name, tokens

    def ask(self, name: str, prompt: list[int], *, tokens: int = 0, whole: bool = False) -> Any:
        """Return the answer to a prompt: the status, and the reply or the complaint."""
        length = tokens or self.tokens
        body: dict[str, Any] = {"model": name, "prompt": prompt, "temperature": 0}
        body |= {"max_tokens": length, "repetition_penalty": 1.0}
        if whole:  # of a fixed length
            body["ignore_eos"] = True
        answer = self.client.post("/v1/completions", json=body)
        if answer.status_code != 200:
            return answer.status_code, answer.text[:200]
        return 200, answer.json()["choices"][0]["text"]

    def speed(self, names: Sequence[str], prompt: list[int], clients: int = 8) -> float:
        """Tokens a second of some clients, each with a name of its own, median of three."""
        rates: list[float] = []

        def one(i: int) -> Any:
            return self.ask(names[i % len(names)], prompt, whole=True)

        for _ in range(4):
            began = time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                given = list(pool.map(one, range(2 * clients)))
            if any(status != 200 for status, _ in given):
                raise RuntimeError(f"the server refused: {given}")
            rates.append(2 * clients * self.tokens / (time.perf_counter() - began))
        return statistics.median(rates[1:])  # the first loads adapters


def expected(
    model: str, moods: MoodAdapters, shared: Path | None, mix: str, posts: list[str], tokens: int
) -> list[str]:
    """Write the greedy replies in transformers, from the adapter as peft reads it."""
    lm = load_causal_lm(model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "mood"
        doses = moods.doses(EmotionMix.parse(mix, EVERYDAY))
        write_mood_adapter(moods, doses, place, shared=shared)
        fold_adapters(lm.model, place)
    reference = Reference(lm, None, moods.card.system_prompt or "")
    return reference.replies(posts, tokens, moody=False)


def replies(server: Server, moods: MoodAdapters, place: Path, model: str) -> dict[str, Any]:
    """Ask for four moods in one batch, and compare with transformers and with the judge."""
    folder = place if place.is_dir() else place.parent
    shared = folder if moods.card.adapters else None
    posts = [*POSTS, *MORE]
    asked = [MOODS[i % len(MOODS)] for i in range(len(posts))]
    lm: CausalLM = load_causal_lm(model, device="cpu")
    reference = Reference(lm, None, moods.card.system_prompt or "")
    prompts = [reference.prompt(post) for post in posts]
    with ThreadPoolExecutor(len(posts)) as pool:
        given = list(
            pool.map(server.ask, [f"{server.name}@{mix}" for mix in asked], prompts),
        )
    if refused := [answer for answer in given if answer[0] != 200]:
        raise RuntimeError(f"the server refused {len(refused)} replies: {refused[0]}")
    same, first_words, heard = 0, 0, 0
    judge = open_judge(SCORE["en"], "everyday")
    rows: list[dict[str, str]] = []
    for mix in MOODS:
        own = [i for i, one in enumerate(asked) if one == mix]
        asking = [posts[i] for i in own]
        texts = expected(model, moods, shared, mix, asking, server.tokens)
        said = [str(given[i][1]).strip() for i in own]
        scores = judge.classify(said, [posts[i] for i in own])
        parts = {emotion.label for emotion, _ in EmotionMix.parse(mix, EVERYDAY).parts}
        for i, text, reply, score in zip(own, texts, said, scores, strict=True):
            same += reply == text.strip()
            first_words += reply.split()[:8] == text.split()[:8]
            heard += score.label in parts
            rows.append({"post": posts[i], "mood": mix, "engine": reply, "transformers": text})
    return {"same": same, "same first 8 words": first_words, "heard": heard, "rows": rows}


def many(server: Server, prompt: list[int], names: int, pid: int, cache: Path) -> dict[str, Any]:
    """Ask for so many moods, one after the other."""

    def megabytes() -> float:
        process = psutil.Process(pid)
        everybody = [process, *process.children(recursive=True)]
        return round(sum(p.memory_info().rss for p in everybody) / 2**20, 1)

    memory: dict[int, float] = {}
    refused = 0
    for i in range(names):
        mix = f"joy:{1 + i % 100}+sadness:{1 + i // 100 % 100}"
        status, _ = server.ask(f"{server.name}@{mix}", prompt, tokens=1)
        refused += status != 200
        if pid and (i + 1) % max(1, names // 10) == 0:
            memory[i + 1] = megabytes()
    folders = len(list(cache.glob("emotone-vllm-*/@*")))
    return {"names": names, "refused": refused, "folders": folders, "megabytes": memory}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("url")
    arguments.add_argument("--moods", type=Path, required=True)
    arguments.add_argument("--model", default="smollm2")
    arguments.add_argument("--tokens", type=int, default=32)
    arguments.add_argument("--names", type=int, default=1000)
    arguments.add_argument("--pid", type=int, default=0, help="of the server, for its memory")
    arguments.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()))
    arguments.add_argument("--output", type=Path)
    given = arguments.parse_args()
    moods = open_mood_adapters(given.moods)
    server = Server(given.url, given.model, given.tokens)
    results: dict[str, Any] = {"replies": replies(server, moods, given.moods, given.model)}
    counts = {k: v for k, v in results["replies"].items() if k != "rows"}
    print(f"of {len(results['replies']['rows'])} replies: {counts}", flush=True)
    prompt = list(range(100, 130))
    for title, names in (
        ("the bare model", [given.model]),
        ("one mood", [f"{given.model}@{MOODS[0]}"]),
        ("four moods", [f"{given.model}@{mix}" for mix in MOODS]),
    ):
        results[title] = round(server.speed(names, prompt), 1)
        print(f"{title}: {results[title]} tokens/s of eight clients", flush=True)
    results["no moods"] = {n: server.ask(given.model + n, prompt, tokens=1)[0] for n in NO_MOODS}
    print(f"names that are no mood: {results['no moods']}", flush=True)
    results["many"] = many(server, prompt, given.names, given.pid, given.cache)
    print(f"many moods: {results['many']}", flush=True)
    if given.output:
        text = json.dumps(results, ensure_ascii=False, indent=1)
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
