"""A double of vLLM's /v1/completions over a tiny model, on a socket of the file system.

It takes token ids, echo and log-probabilities, and a mood in the model's name. What it does with
the mood is the test's to say: all of it, a part, or nothing, without a word.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import torch

from emotone.emotions import EmotionMix
from emotone.models import CausalLM
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.moods import Moods


def writer(seed: int = 0) -> CausalLM:
    """A tiny model that writes ASCII, so that its text has the tokens that it wrote."""
    lm = tiny_causal_lm(seed)
    letters = lm.tokenizer("".join(map(chr, range(33, 127))))["input_ids"]
    others = torch.ones(len(lm.tokenizer), dtype=torch.bool)
    others[letters] = False
    with torch.no_grad():
        lm.model.get_output_embeddings().weight[others] = 0.0  # pyright: ignore
    return lm


@dataclass
class Double:
    """What is served.

    Args:
        lm: The model.
        moods: Vectors or mood adapters.
        scale: How much of a mood acts.
        echo: Whether it gives the prompt's log-probabilities; else it refuses to.
    """

    lm: CausalLM
    moods: Moods
    scale: float = 1.0
    echo: bool = True

    def complete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name, _, mix = body["model"].partition("@")
        if name != "tiny":
            return 404, {"error": {"message": f"The model `{name}` does not exist."}}
        if body.get("echo") and not self.echo:
            return 400, {"error": {"message": "Only no echo is supported"}}
        doses = {}
        if mix not in ("", "none"):
            doses = self.moods.doses(EmotionMix.parse(mix, self.moods.taxonomy))
        doses = {k: v * self.scale for k, v in doses.items()}
        ids, start = list(body["prompt"]), len(body["prompt"])
        with self.moods.steer(self.lm.model, raw_scale=doses), torch.inference_mode():
            for _ in range(body["max_tokens"]):
                ids.append(int(self._logits(ids)[-1].argmax()))
                if ids[-1] == self.lm.tokenizer.eos_token_id:
                    break
            logprobs = self._logits(ids)[:-1].log_softmax(-1)
        values = [None, *logprobs.gather(-1, torch.tensor(ids)[1:, None])[:, 0].tolist()]
        tokens = [self.lm.tokenizer.decode([i], skip_special_tokens=True) for i in ids]
        first = 0 if body.get("echo") else start
        told = {"tokens": tokens[first:], "token_logprobs": values[first:]}
        text = self.lm.tokenizer.decode(ids[first:], skip_special_tokens=True)
        return 200, {"choices": [{"text": text, "logprobs": told}]}

    def _logits(self, ids: list[int]) -> torch.Tensor:
        return self.lm.model(torch.tensor([ids]), use_cache=False).logits[0].float()


@contextmanager
def serving(double: Double, folder: Path) -> Iterator[str]:
    """Serve in a thread; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": "tiny"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/completions":
                self._send(404, {"detail": "Not Found"})
                return
            self._send(*double.complete(body))

        def _send(self, status: int, value: dict[str, Any]) -> None:
            blob = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(blob)))
            self.end_headers()
            self.wfile.write(blob)

        def log_message(self, *_: Any) -> None:
            pass

        def address_string(self) -> str:
            return "here"

    path = folder / "engine"
    with ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            server.shutdown()
            thread.join(10)
