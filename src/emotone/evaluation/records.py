"""The lines of `replies.jsonl`; those of `examples.jsonl` belong to `emotone.data.examples`."""

from __future__ import annotations

import json

from emotone.data.examples import read_examples, turns
from emotone.types import Example, Reply

__all__ = ["read_examples", "reply_line", "turns"]


def reply_line(example: Example, reply: Reply) -> str:
    """Write one line of `replies.jsonl`: all that scoring needs, nothing else to join."""
    row = {
        "id": example.id,
        "dialogue": turns(example.dialogue),
        "reference": example.reply,
        "text": reply.text,
        "emotion": None if reply.emotion is None else str(reply.emotion),
        "system": reply.system,
        "model": reply.model,
        "lang": example.lang,
        "seed": reply.seed,
        "logprob": reply.logprob,
        "tokens": reply.tokens,
        "applied": dict(reply.applied),
    }
    return json.dumps(row, ensure_ascii=False)
