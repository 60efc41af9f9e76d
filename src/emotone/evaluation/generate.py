"""Replies for a file of examples: resumable, in shards, one line at a time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from emotone.emotions import EmotionMix
from emotone.errors import DataError, UsageError
from emotone.evaluation.records import reply_line
from emotone.protocols import Responder
from emotone.types import Decoding, EmpathyLevels, Example

#: How each line of `records.reply_line` starts.
_START = b'{"id": '


def shard(examples: Sequence[Example], part: str) -> list[tuple[int, Example]]:
    """Return one share of the examples with their places, such as "2/4" for the second of four.

    A share is a run of lines, so that its rows can still be answered in batches.

    Raises:
        UsageError: If the share is not i/n with 1 <= i <= n.
    """
    first, slash, last = part.partition("/")
    if not (slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UsageError(f"shard {part!r} is not i/n with 1 <= i <= n; write for instance 2/4")
    low, high = ((len(examples) * k) // int(last) for k in (int(first) - 1, int(first)))
    return list(enumerate(examples))[low:high]


def finished(path: Path) -> set[str]:
    """Return the ids that a replies file holds, and cut off a half-written last line.

    Raises:
        DataError: If a line is not a reply; the file is then left as it is.
    """
    if not path.exists():
        return set()
    blob = path.read_bytes()
    whole = blob.rfind(b"\n") + 1
    ids: set[str] = set()
    for number, line in enumerate(blob[:whole].splitlines(), 1):
        try:
            ids.add(str(json.loads(line)["id"]))
        except (ValueError, KeyError, TypeError) as error:
            raise _not_a_reply(path, number) from error
    half = blob[whole:]
    if half[: len(_START)] != _START[: len(half)]:
        raise _not_a_reply(path, blob.count(b"\n") + 1)
    if half:  # a kill in the middle of a line
        with path.open("r+b") as out:
            out.truncate(whole)
    return ids


def _not_a_reply(path: Path, number: int) -> DataError:
    return DataError(f"{path}, line {number} is not a reply; name another output file")


def generate(
    responder: Responder,
    examples: Sequence[tuple[int, Example]],
    out: TextIO,
    *,
    emotion: EmotionMix | None = None,
    empathy: EmpathyLevels | None = None,
    decoding: Decoding,
    batch: int = 16,
    done: frozenset[str] | set[str] = frozenset(),
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write one reply a line for each example that is not done yet.

    Row i of the file uses seed `decoding.seed + i`, so that shards, batches and restarts do not
    change any reply.

    Args:
        responder: The system.
        examples: Places in the file and examples.
        out: Where lines go; flushed after each batch.
        emotion: Overrides the examples' own emotions; None keeps them.
        empathy: Empathy levels of every reply; None asks for none, whatever the examples' own are.
        decoding: How to decode; its seed is the first row's.
        batch: Most rows at once; only rows that follow each other share a batch.
        done: Ids to skip.
        progress: Called with the number of replies just written.

    Returns:
        The number of replies written.
    """
    waiting = [(i, e) for i, e in examples if e.id not in done]
    written = 0
    for rows in _runs(waiting, batch):
        start = rows[0][0]
        mixes = [emotion if emotion is not None else e.emotion for _, e in rows]
        if responder.capabilities.taxonomy is None and emotion is None:
            mixes = [None for _ in rows]
        replies = responder.reply(
            [e.dialogue for _, e in rows],
            mixes,
            empathy=[empathy] * len(rows),
            decoding=dataclasses.replace(decoding, seed=decoding.seed + start),
        )
        for (_, example), reply in zip(rows, replies, strict=True):
            out.write(reply_line(example, reply) + "\n")
        out.flush()
        written += len(rows)
        if progress:
            progress(len(rows))
    return written


def _runs(rows: Sequence[tuple[int, Example]], batch: int) -> list[list[tuple[int, Example]]]:
    """Group rows whose places follow each other, at most `batch` together."""
    runs: list[list[tuple[int, Example]]] = []
    for place, example in rows:
        if runs and len(runs[-1]) < batch and runs[-1][-1][0] == place - 1:
            runs[-1].append((place, example))
        else:
            runs.append([(place, example)])
    return runs
