"""Perplexity of references under a system, with the numbers of each reference kept.

`measure` writes what `emotone perplexity` writes, and beside it `nats.jsonl`, so that systems can
be compared on the same references. That file holds no text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emotone.errors import DataError
from emotone.evaluation.perplexity import check_likelihoods, perplexity
from emotone.evaluation.scores import Scores, write_scores
from emotone.files import replacing
from emotone.types import Dialogue, Example

FILE = "nats.jsonl"

Nats = tuple[float, int, int]
"""Nats, tokens and characters of one reference."""


class _Recorded:
    """A system that keeps what it said of each reference."""

    def __init__(self, responder: Any) -> None:
        self.responder = check_likelihoods(responder)
        self.capabilities = responder.capabilities
        self.known: dict[tuple[Dialogue, str | None, str], tuple[float, int]] = {}

    def reply(self, *args: Any, **kwargs: Any) -> Any:
        return self.responder.reply(*args, **kwargs)

    def nats(
        self, dialogues: Sequence[Dialogue], emotions: Sequence[Any], replies: Sequence[str]
    ) -> list[tuple[float, int]]:
        made = self.responder.nats(dialogues, emotions, replies)
        for dialogue, mix, text, row in zip(dialogues, emotions, replies, made, strict=True):
            self.known[dialogue, None if mix is None else str(mix), text] = row
        return made

    def of(self, example: Example) -> Nats:
        takes = self.capabilities.taxonomy is not None and example.emotion is not None
        text = example.reply or ""
        nats, tokens = self.known[example.dialogue, str(example.emotion) if takes else None, text]
        return nats, tokens, len(text)


def measure(
    responder: Any,
    examples: Sequence[Example],
    folder: Path,
    *,
    manifest: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """Write perplexity.json and nats.jsonl of a system into a folder.

    Each reference is asked for in the example's own emotion, where the system takes one.

    Raises:
        DataError: If two examples have one id, or an example has no reply.
        Unsupported: If the system does not say how likely a reply is.
    """
    if len({e.id for e in examples}) < len(examples):
        raise DataError("two examples have one id; give each reference once")
    if not all(e.reply and e.reply.strip() for e in examples):
        raise DataError("an example has no reply; leave it out")
    recorded = _Recorded(responder)
    made = perplexity(recorded, examples, manifest=manifest, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for example in examples:
        nats, tokens, characters = recorded.of(example)
        row = {"id": example.id, "nats": nats, "tokens": tokens, "characters": characters}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    with replacing(folder / FILE) as path:
        path.write_text("".join(lines), encoding="utf-8")
    write_scores(made, folder / "perplexity.json")
    return made


def read(path: Path) -> dict[str, Nats]:
    """Read nats, tokens and characters by example id.

    Raises:
        DataError: If a line has another shape.
    """
    found: dict[str, Nats] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line:
            try:
                row = json.loads(line)
                found[row["id"]] = (row["nats"], row["tokens"], row["characters"])
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path.name}, line {number} has no id, nats, tokens and characters; make it"
                    " again with recipes.recurrent.likelihoods"
                ) from error
    return found
