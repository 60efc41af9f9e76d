"""Rows that join and leave a running batch at different steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emotone.lm.batching import Batch
from emotone.systems.steered import Steered
from emotone.types import Decoding, Dialogue


def alone(
    system: Steered, posts: Sequence[str], asks: Sequence[Mapping[str, float]], decoding: Decoding
) -> list[str]:
    """Write each reply by itself."""
    return [
        system.reply_raw([Dialogue.of(post)], [ask], decoding=decoding)[0].text
        for post, ask in zip(posts, asks, strict=True)
    ]


def together(
    system: Steered,
    live: Any,
    posts: Sequence[str],
    asks: Sequence[Mapping[str, float]],
    decoding: Decoding,
) -> list[str]:
    """Write all in one batch, each joining a step after the one before."""
    batch = Batch(system._lm, live)
    rows: list[Any] = []
    for post, ask in zip(posts, asks, strict=True):
        prompt = system._prompt(Dialogue.of(post), None)
        push = system.vectors.push(ask) if ask else None
        rows += batch.join(prompt, [batch.draft(decoding, 0)], push, decoding)
        batch.step()
    while not all(row.draft.done for row in rows):
        batch.step()
        for row in [row for row in batch.rows if row.draft.done]:
            batch.leave(row)
    return [row.draft.written().text for row in rows]
