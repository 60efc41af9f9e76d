"""Read activations: per block, at a named site, of the tokens that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emotone.lm.batch import pad, pad_pairs
from emotone.models.token_ids import text_ids
from emotone.steering.layers import Site, blocks, decoder, hooked, site_module, width


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

    with hooked(modules, keep):
        yield states


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
        max_tokens: Longest text; see `_within` for longer ones.
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
            # Without its head: logits over a large vocabulary cost more than all blocks.
            decoder(model)(
                input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
            )
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
    rows = [_within(prompt, [text_ids(tokenizer, r)], max_tokens) for prompt, r in pairs]
    rows = [(prompt, response) for prompt, (response,) in rows]
    ids, mask, counted = pad_pairs(rows, tokenizer.pad_token_id or 0, left=True)
    for row, (prompt, tokens) in zip(counted, rows, strict=True):
        if not prompt and len(tokens) > 1:  # the first position of all is the sink
            row[-len(tokens)] = False
    return ids, mask.long(), counted


def _within(
    prompt: list[int], responses: Sequence[list[int]], max_tokens: int
) -> tuple[list[int], list[list[int]]]:
    """Cut a prompt and its responses so that each pair has `max_tokens` at most.

    A response is cut at its end, but to no less than three quarters of `max_tokens`; for the rest
    the prompt loses its middle: its beginning frames the conversation, its end is answered.
    """
    most = max(max_tokens - len(prompt), max_tokens * 3 // 4)
    responses = [response[:most] for response in responses]
    room = max_tokens - max(map(len, responses))
    if len(prompt) > room:
        prompt = [*prompt[: room // 4], *prompt[len(prompt) - (room - room // 4) :]]
    return prompt, responses


class _Read(Exception):
    """Ends a pass at the block that was asked for."""


@torch.inference_mode()
def block_means(
    model: nn.Module,
    tokenizer: Any,
    pairs: Sequence[tuple[list[int], str]],
    block: int,
    *,
    batch: int = 64,
    max_tokens: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Average one block's output over the tokens of each response, [N, d] float32.

    The same as `response_means(...).means[:, block]`, at less cost: each prompt is read once for
    all of its responses, and no further than to the block.

    Args:
        model: Any Hugging Face causal language model, not steered.
        tokenizer: Its tokenizer.
        pairs: (prompt, response): the ids of the prompt in the chat format, the response as text.
        block: Index of the block.
        batch: Responses a forward pass.
        max_tokens: Longest text; see `_within` for longer ones.
        progress: Called with (prompts done, prompts in all).
    """
    # A state that is not kept by position cannot be continued by several responses.
    if getattr(model, "_is_stateful", False) or not all(prompt for prompt, _ in pairs):
        means = response_means(model, tokenizer, pairs, batch=batch, max_tokens=max_tokens).means
        return means[:, block]
    rows_of: dict[tuple[int, ...], list[int]] = {}
    for i, (prompt, _) in enumerate(pairs):
        rows_of.setdefault(tuple(prompt), []).append(i)
    texts: list[tuple[list[int], list[int], list[list[int]]]] = []
    for prompt, rows in rows_of.items():
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            responses = [text_ids(tokenizer, pairs[i][1]) for i in part]
            texts.append((part, *_within(list(prompt), responses, max_tokens)))
    texts.sort(key=lambda text: len(text[1]))
    total = len(texts)
    means = torch.zeros(len(pairs), width(model))
    filler = tokenizer.pad_token_id or 0
    while texts:
        count, size = 0, 0
        while count < len(texts) and size + len(texts[count][0]) <= batch:
            size += len(texts[count][0])
            count += 1
        together, texts = texts[:count], texts[count:]
        copies = torch.tensor([len(rows) for rows, _, _ in together])
        prompts = pad([prompt for _, prompt, _ in together], filler, left=True)
        responses = pad([r for _, _, part in together for r in part], filler, left=False)
        states = _continued(model, blocks(model)[block], prompts, responses, copies)
        weight = responses[1].to(states.device, torch.float32)
        mean = torch.einsum("btd,bt->bd", states.float(), weight / weight.sum(1, keepdim=True))
        means[[i for rows, _, _ in together for i in rows]] = mean.cpu()
        if progress is not None:
            progress(total - len(texts), total)
    return means


def _continued(
    model: nn.Module,
    block: nn.Module,
    prompts: tuple[Tensor, Tensor],
    responses: tuple[Tensor, Tensor],
    copies: Tensor,
) -> Tensor:
    """Return a block's output over responses [B, T], after prompts [P, S] that were read once.

    Args:
        model: Any causal language model with a cache by position.
        block: The block.
        prompts: Ids and mask, padded on the left.
        responses: Ids and mask, padded on the right.
        copies: Responses to each prompt, which come one after another.
    """
    from transformers import DynamicCache

    device = next(model.parameters()).device
    cache: Any = DynamicCache(config=model.config)  # pyright: ignore
    state = torch.empty(0)

    def stop(_module: nn.Module, _args: Any, output: Any) -> None:
        nonlocal state
        state = hidden(output).detach()
        raise _Read

    def read(ids: Tensor, mask: Tensor) -> None:
        position = (mask.cumsum(1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        with suppress(_Read):
            decoder(model)(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=position.to(device),
                past_key_values=cache,
                use_cache=True,
            )

    handle = block.register_forward_hook(stop)
    try:
        read(prompts[0], prompts[1].long())
        rows = torch.arange(len(copies)).repeat_interleave(copies)
        cache.reorder_cache(rows.to(device))
        read(responses[0], torch.cat([prompts[1][rows], responses[1]], dim=1).long())
    finally:
        handle.remove()
    return state
