"""Several replies to each prompt, for a system that chooses among them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from torch import nn

from emotone.lm.decode import Written, write
from emotone.lm.likelihood import Steer
from emotone.types import Decoding


def candidate_seed(seed: int, candidate: int) -> int:
    """Return the seed of a row's candidate; the first has the row's own."""
    return (seed + candidate * 0x9E3779B1) % 2**63


def write_candidates(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    counts: Sequence[int],
    decoding: Decoding,
    *,
    batch: int = 32,
    stop: Sequence[str] = (),
    steer: Steer | None = None,
) -> list[list[Written]]:
    """Write `counts[i]` replies to prompt i; row i draws from seed `decoding.seed + i`.

    Args:
        model: A causal language model, or an encoder-decoder that reads the prompt.
        tokenizer: Its tokenizer.
        prompts: Token ids, one list a row.
        counts: Candidates of each row, 1 or more.
        decoding: How to decode.
        batch: Replies a forward pass.
        stop: Texts that end a reply and do not belong to it.
        steer: What surrounds a pass; it is told the row of each of the pass's replies.

    Returns:
        The candidates of each row, in order of their seeds.
    """
    rows = [(i, j) for i, n in enumerate(counts) for j in range(n)]
    written: list[list[Written]] = [[] for _ in prompts]
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        seeds = [candidate_seed(decoding.seed + i, j) for i, j in part]
        places = [i for i, _ in part]
        with steer(places) if steer else nullcontext():
            made = write(model, tokenizer, [prompts[i] for i in places], decoding, seeds, stop=stop)
        for i, out in zip(places, made, strict=True):
            written[i].append(out)
    return written
