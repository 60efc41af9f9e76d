"""Perplexity of references under a system, with the likelihood of each reference kept in a file.

`write_likelihoods` writes what `emotone perplexity` writes, and beside it `nats.jsonl`, so that
systems can be compared on the same references. That file holds no text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from emotone.errors import DataError
from emotone.evaluation.perplexity import check_likelihoods, perplexity
from emotone.evaluation.scores import Scores, write_scores
from emotone.files import replacing
from emotone.types import Dialogue, Example

#: The likelihoods of references, and their perplexity, in a system's folder.
NATS, PERPLEXITY = "nats.jsonl", "perplexity.json"


class Likelihood(NamedTuple):
    """How likely one reference is.

    Args:
        nats: Negative log-likelihood of all its tokens.
        tokens: Its tokens, the end included where the system reads it.
        characters: Its characters.
    """

    nats: float
    tokens: int
    characters: int


class _Recorded:
    """A system that keeps the likelihoods that it was asked for."""

    def __init__(self, responder: Any) -> None:
        self.responder = check_likelihoods(responder)
        self.capabilities = responder.capabilities
        self.known: dict[tuple[Dialogue, str | None, str], tuple[float, int]] = {}

    def reply(self, *args: Any, **kwargs: Any) -> Any:
        return self.responder.reply(*args, **kwargs)

    def nats(
        self, dialogues: Sequence[Dialogue], emotions: Sequence[Any], replies: Sequence[str]
    ) -> list[tuple[float, int]]:
        counts = self.responder.nats(dialogues, emotions, replies)
        for dialogue, mix, text, row in zip(dialogues, emotions, replies, counts, strict=True):
            self.known[dialogue, None if mix is None else str(mix), text] = row
        return counts

    def of(self, example: Example) -> Likelihood:
        takes = self.capabilities.taxonomy is not None and example.emotion is not None
        text = example.reply or ""
        nats, tokens = self.known[example.dialogue, str(example.emotion) if takes else None, text]
        return Likelihood(nats, tokens, len(text))


def write_likelihoods(responder: Any, examples: Sequence[Example], folder: Path) -> Scores:
    """Write nats.jsonl and then perplexity.json of a system into a folder.

    Each reference is read in the example's own emotion, where the system takes one.

    Raises:
        DataError: If two examples have one id, or an example has no reply.
        Unsupported: If the system does not say how likely a reply is.
    """
    if len({e.id for e in examples}) < len(examples):
        raise DataError("two examples have one id; give each reference once")
    if not all(e.reply and e.reply.strip() for e in examples):
        raise DataError("an example has no reply; leave it out")
    recorded = _Recorded(responder)
    scores = perplexity(recorded, examples)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": e.id, **recorded.of(e)._asdict()} for e in examples]
    with replacing(folder / NATS) as path:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
    write_scores(scores, folder / PERPLEXITY)
    return scores


def read_likelihoods(path: Path) -> dict[str, Likelihood]:
    """Read the likelihoods by example id.

    Raises:
        DataError: If a line has another shape.
    """
    likelihoods: dict[str, Likelihood] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line:
            try:
                row = json.loads(line)
                counts = Likelihood(row["nats"], row["tokens"], row["characters"])
                likelihoods[row["id"]] = counts
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path.name}, line {number} has no id, nats, tokens and characters; write it"
                    " again with emotone.evaluation.likelihoods"
                ) from error
    return likelihoods
