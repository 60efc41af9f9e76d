"""Several replies to each prompt, for a system that chooses among them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from torch import nn

from emotone.models.decode import Written, write
from emotone.models.likelihood import Steer
from emotone.types import Decoding


class Writer(Protocol):
    """A language model that writes, whether it has an encoder or not."""

    @property
    def model(self) -> nn.Module:
        """The network, in evaluation mode."""
        ...

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end a reply besides the end token."""
        ...


def candidate_seed(seed: int, candidate: int) -> int:
    """Return the seed of a row's candidate; the first has the row's own."""
    return (seed + candidate * 0x9E3779B1) % 2**63


def write_candidates(
    lm: Writer,
    prompts: Sequence[list[int]],
    counts: Sequence[int],
    decoding: Decoding,
    *,
    batch: int = 32,
    steer: Steer | None = None,
) -> list[list[Written]]:
    """Write `counts[i]` replies to prompt i; row i draws from seed `decoding.seed + i`.

    Args:
        lm: The model.
        prompts: Token ids, one list a row.
        counts: Candidates of each row, 1 or more.
        decoding: How to decode.
        batch: Replies a forward pass.
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
            made = write(
                lm.model,
                lm.tokenizer,
                [prompts[i] for i in places],
                decoding,
                seeds,
                stop=lm.stop,
            )
        for i, out in zip(places, made, strict=True):
            written[i].append(out)
    return written
