"""Echo: repeats the post.

The floor of every comparison and the double for trying commands: no weights, no emotion, no
seed. Asking it for an emotion raises, as it must for every system that lacks one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emotone.emotions import EmotionMix
from emotone.errors import Unsupported
from emotone.requests import check_request
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply


@dataclass(frozen=True, slots=True)
class Config:
    """Echo has nothing to set."""


class Echo:
    """Repeats the last post."""

    capabilities = Capabilities(None, history=True, streaming=True, decoding={})

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each dialogue with its last post."""
        check_request("echo", self.capabilities, dialogues, emotions, empathy, decoding)
        return [
            Reply(
                text,
                None,
                "echo",
                "none",
                decoding.seed + i,
                len(text.split()),
                finish_reason="stop",
            )
            for i, text in enumerate(d.posts[-1].text.strip() for d in dialogues)
        ]

    def stream(
        self, dialogue: Dialogue, emotion: EmotionMix | None, *, decoding: Decoding
    ) -> Iterator[str]:
        """Yield the last post word by word."""
        text = self.reply([dialogue], [emotion], decoding=decoding)[0].text
        head, *rest = text.split(" ")
        yield head
        yield from (f" {word}" for word in rest)


def load(model: str | None = None, *, device: str = "auto", config: Config | None = None) -> Echo:
    """Return the echo; it has no weights."""
    if model is not None:
        raise Unsupported(f"echo has no weights, but model {model!r} was asked; leave it out")
    return Echo()


def train(config: Config, out: Path) -> Path:
    """Raise: there is nothing to train."""
    raise Unsupported("echo has nothing to train; use it as it is")


def tiny() -> Echo:
    """Return the echo itself."""
    return Echo()
