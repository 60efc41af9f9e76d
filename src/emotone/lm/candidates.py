"""Several replies to each prompt, for a system that chooses among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from emotone.lm.decode import Written, write
from emotone.types import Decoding


def candidate_seed(seed: int, candidate: int) -> int:
    """Return the seed of a row's candidate; the first has the row's own."""
    return (seed + candidate * 0x9E3779B1) % 2**63


def candidate_passes(
    counts: Sequence[int], seed: int, batch: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Spread the candidates of all rows over forward passes.

    Args:
        counts: Candidates of each row, 1 or more.
        seed: Seed of the first row; row i has `seed + i`.
        batch: Replies a forward pass.

    Yields:
        For each pass the row of each reply, and its seed; candidates of a row come in order.
    """
    replies = [(i, candidate_seed(seed + i, j)) for i, n in enumerate(counts) for j in range(n)]
    for start in range(0, len(replies), batch):
        part = replies[start : start + batch]
        yield [row for row, _ in part], [own for _, own in part]


def write_candidates(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    counts: Sequence[int],
    decoding: Decoding,
    *,
    batch: int = 32,
    stop: Sequence[str] = (),
) -> list[list[Written]]:
    """Write `counts[i]` replies to prompt i; row i has the seed `decoding.seed + i`.

    Args:
        model: A causal language model, or an encoder-decoder that reads the prompt.
        tokenizer: Its tokenizer.
        prompts: Token ids, one list a row.
        counts: Candidates of each row, 1 or more.
        decoding: How to decode.
        batch: Replies a forward pass.
        stop: Texts that end a reply and do not belong to it.

    Returns:
        The candidates of each row, in order of their seeds.
    """
    written: list[list[Written]] = [[] for _ in prompts]
    for rows, seeds in candidate_passes(counts, decoding.seed, batch):
        copies = Counter(rows)  # a prompt is read once for all of its candidates
        replies = write(
            model,
            tokenizer,
            [prompts[i] for i in copies],
            decoding,
            seeds,
            stop=stop,
            copies=list(copies.values()),
        )
        for i, reply in zip(rows, replies, strict=True):
            written[i].append(reply)
    return written
