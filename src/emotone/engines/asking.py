"""Ask a server for a greedy reply, and for as many log-probabilities as it gives.

Engines differ in what they offer, so the ways below are tried in turn, and the first that a server
takes is kept: token ids with the prompt's log-probabilities (vLLM, SGLang), token ids with those of
the reply (llama.cpp), a chat with those of the reply, a chat without any (`emotone serve`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotone.engines.wire import Answer, NoAnswer, Server


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked.

    Args:
        post: What the user says.
        system: System prompt; "" for none.
        prompt: Both in the model's chat format, as token ids.
    """

    post: str
    system: str
    prompt: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back for a probe.

    Args:
        text: The reply.
        of_prompt: Log-probability of each token of the prompt but the first, in nats; () where
            the server gives none.
        of_reply: The same of each token of the reply.
    """

    text: str
    of_prompt: tuple[float, ...] = ()
    of_reply: tuple[float, ...] = ()


Way = Callable[[Probe, int], tuple[str, dict[str, Any]]]
"""A probe and the tokens of its reply -> a path and a body."""

#: Greedy, without penalties; what an engine does not know of these it leaves alone.
_GREEDY = {"temperature": 0.0, "repetition_penalty": 1.0}


def _echoed(probe: Probe, tokens: int) -> tuple[str, dict[str, Any]]:
    path, body = _completion(probe, tokens)
    return path, body | {"echo": True}


def _completion(probe: Probe, tokens: int) -> tuple[str, dict[str, Any]]:
    body = {"prompt": list(probe.prompt), "max_tokens": tokens, "logprobs": 1}
    return "completions", body | _GREEDY


def _scored_chat(probe: Probe, tokens: int) -> tuple[str, dict[str, Any]]:
    path, body = _chat(probe, tokens)
    return path, body | {"logprobs": True}


def _chat(probe: Probe, tokens: int) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "system", "content": probe.system}] if probe.system else []
    messages.append({"role": "user", "content": probe.post})
    # The last three are our own server's, whose care for a reply would change a greedy one.
    ours = {"no_repeat": 0, "emotion_guard": False, "emotion_in_code": True}
    return "chat/completions", {"messages": messages, "max_tokens": tokens} | _GREEDY | ours


WAYS: Mapping[str, Way] = {
    "prompt and reply log-probabilities": _echoed,
    "reply log-probabilities": _completion,
    "reply log-probabilities of a chat": _scored_chat,
    "replies of a chat": _chat,
}


class Asker:
    """Asks one server, always in the same way.

    Args:
        server: The server.
        tokens: Longest reply.
    """

    def __init__(self, server: Server, tokens: int) -> None:
        self._server = server
        self._tokens = tokens
        self.way = ""

    def models(self) -> list[str]:
        """Return the names that the server lists.

        Raises:
            NoAnswer: If it lists none.
        """
        answer = self._server.get("models")
        rows: Any = answer.value.get("data") if isinstance(answer.value, dict) else None
        names = [str(row["id"]) for row in rows or () if isinstance(row, dict) and "id" in row]
        if not answer.good or not names:
            raise NoAnswer(
                f"{self._server.url} lists no models ({answer.complaint()}); name a server of"
                " OpenAI's API"
            )
        return names

    def hear(self, model: str, probe: Probe) -> Heard:
        """Ask a model for the reply to a probe.

        Raises:
            NoAnswer: If the server takes no way of asking.
        """
        refusals: list[str] = []
        for name in [self.way] if self.way else WAYS:
            path, body = WAYS[name](probe, self._tokens)
            answer = self._server.post(path, {"model": model} | body)
            heard = _read(answer, probe)
            if heard is not None and (name == self.way or _gives(heard, name)):
                self.way = name
                return heard
            refusals.append(
                "no log-probabilities came" if heard is not None else answer.complaint()
            )
        told = "; ".join(dict.fromkeys(refusals))
        raise NoAnswer(
            f"{self._server.url} wrote no reply as {model!r} ({told}); name what it serves with"
            " --plain-name and --mood-name"
        )


def _gives(heard: Heard, way: str) -> bool:
    """Tell whether an answer holds what it was asked for; some servers leave it out in silence."""
    scored = heard.of_prompt if WAYS[way] is _echoed else heard.of_reply
    return bool(scored) or WAYS[way] is _chat


def _read(answer: Answer, probe: Probe) -> Heard | None:
    """Read a completion or a chat; None where there is no reply in it."""
    if not answer.good or not isinstance(answer.value, dict):
        return None
    try:
        choice = answer.value["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        texts, values = _tokens(choice.get("logprobs"))
    except (KeyError, IndexError, TypeError):
        return None
    if not isinstance(text, str):
        return None
    length = len(probe.prompt)
    # Nothing comes before the first token of a prompt, so that it alone has no log-probability.
    if values and values[0] is None and len(values) >= length:
        of_prompt = _numbers(values[1:length])
        return Heard("".join(texts[length:]), of_prompt, _numbers(values[length:]))
    return Heard(text, (), _numbers(values))


def _tokens(logprobs: Any) -> tuple[list[str], list[Any]]:
    """Return tokens as text, and their log-probabilities, of both of OpenAI's forms."""
    if not logprobs:
        return [], []
    if logprobs.get("content") is not None:
        rows = logprobs["content"]
        return [row["token"] for row in rows], [row["logprob"] for row in rows]
    return list(logprobs.get("tokens") or ()), list(logprobs.get("token_logprobs") or ())


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    """Return log-probabilities; () where one is missing."""
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        return ()
    return tuple(float(v) for v in values)
