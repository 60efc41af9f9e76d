"""Read activations: per block, at a named site, of the tokens that count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emotone.lm.batch import pad_pairs
from emotone.models.token_ids import text_ids
from emotone.steering.layers import Site, blocks, site_module


def hidden(output: Any) -> Tensor:
    """Return the activation of a module's output, which is a tensor or a tuple that starts so."""
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def recording(model: nn.Module, site: Site = "resid") -> Iterator[list[Tensor]]:
    """Collect the activation of every block of the next forward pass.

    The last block is read by its hook, never from `hidden_states[-1]`, which transformers
    overwrites with the state after the final norm.

    Yields:
        A list that each forward fills anew with L tensors [B, T, d] in block order.
    """
    modules = [site_module(model, block, site) for block in blocks(model)]
    states: list[Tensor] = [torch.empty(0)] * len(modules)

    def keep(index: int):
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            states[index] = hidden(output).detach()

        return hook

    handles = [m.register_forward_hook(keep(i)) for i, m in enumerate(modules)]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, slots=True)
class ResponseMeans:
    """Activations averaged over the response tokens of each text, in float32.

    Args:
        means: One mean activation a text and block, [N, L, d].
        norms: Median length of an activation over all counted tokens, per block, [L].
        tokens: Number of counted tokens.
    """

    means: Tensor
    norms: Tensor
    tokens: int


@torch.inference_mode()
def response_means(
    model: nn.Module,
    tokenizer: Any,
    pairs: Sequence[tuple[list[int], str]],
    *,
    site: Site = "resid",
    batch: int = 32,
    max_tokens: int = 256,
) -> ResponseMeans:
    """Average each block's activation over the tokens of a response.

    Only response tokens count: the prompt, padding and the first position (whose activations are
    abnormally large in most models) are left out. Sums run in float32 whatever the model's type.

    Args:
        model: Any Hugging Face causal language model.
        tokenizer: Its tokenizer.
        pairs: (prompt, response): the ids of the prompt in the chat format, the response as text.
        site: Where to read.
        batch: Texts a forward pass.
        max_tokens: Longest text; longer responses are cut at their end.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    depth = len(blocks(model))
    means: dict[int, Tensor] = {}
    lengths: list[Tensor] = []
    with recording(model, site) as states:
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            ids, mask, counted = _encode(tokenizer, [pairs[i] for i in rows], max_tokens)
            model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
            weight = counted.to(device, torch.float32)
            share = weight / weight.sum(1, keepdim=True)
            stacked = torch.stack(
                [torch.einsum("btd,bt->bd", h.float(), share) for h in states], dim=1
            )
            lengths.append(
                torch.stack([h.float().norm(dim=-1)[counted.to(device)] for h in states]).cpu()
            )
            for row, mean in zip(rows, stacked.cpu(), strict=True):
                means[row] = mean
    every = torch.cat(lengths, dim=1) if lengths else torch.zeros(depth, 0)
    return ResponseMeans(
        torch.stack([means[i] for i in range(len(pairs))]),
        every.median(dim=1).values,
        every.shape[1],
    )


def _encode(
    tokenizer: Any, pairs: Sequence[tuple[list[int], str]], max_tokens: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, attention mask and response mask, [B, T] each, padded on the left."""
    rows: list[tuple[list[int], list[int]]] = []
    for prompt, response in pairs:
        tokens = text_ids(tokenizer, response)
        rows.append((prompt, tokens[: max(1, max_tokens - len(prompt))]))
    ids, mask, counted = pad_pairs(rows, tokenizer.pad_token_id or 0, left=True)
    for row, (prompt, tokens) in zip(counted, rows, strict=True):
        if not prompt and len(tokens) > 1:  # the first position of all is the sink
            row[-len(tokens)] = False
    return ids, mask.long(), counted
