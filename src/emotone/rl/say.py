"""From a model's last states to what it says of given replies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from emotone.lm import head
from emotone.lm.forward import pad
from emotone.rl.logprobs import Drawn, support_logprobs, vocabulary_logprobs
from emotone.rl.types import Said, Written
from emotone.rl.value_head import ValueHead


def say(
    model: nn.Module,
    states: Tensor,
    written: Written,
    values: ValueHead | None,
    *,
    entropy: bool = True,
    rows: Tensor | None = None,
) -> Said:
    """Say what a model thinks of replies; padding and tokens outside the support cost nothing.

    Args:
        model: Gives the output layer.
        states: The last state before each token, [B, T, d].
        written: The replies.
        values: The value head, or None for no values.
        entropy: Whether the entropy over the whole vocabulary is wanted too.
        rows: The output layer's weights of the support of real tokens, [N, K, d], if at hand.
    """
    mask = written.mask
    real = states[mask]
    drawn = _drawn(model, real, written, entropy, rows)
    return Said(
        _spread(drawn.logprobs, mask),
        _spread(drawn.entropy, mask),
        None if values is None else _spread(values(real), mask),
    )


def _drawn(
    model: nn.Module, real: Tensor, written: Written, entropy: bool, rows: Tensor | None
) -> Drawn:
    mask = written.mask
    tokens = written.tokens[mask]
    every = torch.ones_like(tokens, dtype=torch.bool)
    if written.support is None:
        logits = head.logits(model, real)
        return vocabulary_logprobs(
            logits, tokens, every, temperature=written.temperature, entropy=entropy
        )
    support = written.support[mask]
    flat = Written(tokens, every, support, written.temperature)
    return support_logprobs(head.logits(model, real, support, rows), flat)


def _spread(found: Tensor, mask: Tensor) -> Tensor:
    """Put what belongs to real tokens, [N], into [B, T], with 0 at padding."""
    return found.new_zeros(mask.shape).masked_scatter(mask, found)


def batch(rows: list[list[int]], filler: int) -> Written:
    """Pad given replies to a batch, over the whole vocabulary."""
    return Written(*pad(rows, filler, left=False))


def decode(tokenizer: Any, written: Written) -> list[str]:
    """Decode replies to texts, special tokens left out, stripped."""
    rows = zip(written.tokens.tolist(), written.mask.tolist(), strict=True)
    return [
        tokenizer.decode(
            [t for t, real in zip(tokens, mask, strict=True) if real], skip_special_tokens=True
        ).strip()
        for tokens, mask in rows
    ]


def reply_ids(tokenizer: Any, text: str, end: int, longest: int) -> list[int]:
    """Token ids of a reply with the end token, at most `longest`; a cut one ends with it too.

    Source: EmpRL's code (arXiv 2408.02976), which lets the tokenizer cut to 50 tokens.
    """
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return [*ids[: longest - 1], end]
