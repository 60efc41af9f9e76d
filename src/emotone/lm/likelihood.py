"""How likely given replies are under a chat model, by teacher forcing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import DataError
from emotone.lm.batch import pad, pad_pairs
from emotone.lm.decode import end_tokens
from emotone.lm.forward import is_seq2seq, start_token
from emotone.lm.head import logits
from emotone.models.token_ids import text_ids

Steer = Callable[[Sequence[int]], AbstractContextManager[Any]]
"""Rows of a batch (their places) -> what surrounds the model's pass over them."""


def reply_nats(
    model: nn.Module,
    tokenizer: Any,
    rows: Sequence[tuple[list[int], str]],
    *,
    batch: int = 32,
    steer: Steer | None = None,
) -> list[tuple[float, int]]:
    """Return the nats and the number of tokens of each reply, its end token included.

    The end counts, as in the losses that the published perplexities come from: a model has to
    know when a reply is over.

    Args:
        model: A causal language model, or an encoder-decoder that reads the prompt.
        tokenizer: Its tokenizer.
        rows: Token ids of the prompt, and the reply.
        batch: Rows a forward pass; rows of like length share one.
        steer: What surrounds a pass, such as steering with a displacement a row.

    Raises:
        DataError: If a prompt and its reply do not fit the model's context.
    """
    texts = [text_ids(tokenizer, text) for _, text in rows]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]) + len(texts[i]))
    totals: list[tuple[float, int]] = [(0.0, 0)] * len(rows)
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        with steer(part) if steer else nullcontext():
            batched = token_nats(model, tokenizer, [rows[i] for i in part], end=True)
        for i, nats in zip(part, batched, strict=True):
            totals[i] = (float(nats.double().sum()), len(nats))
    return totals


@torch.inference_mode()
def token_nats(
    model: nn.Module,
    tokenizer: Any,
    rows: Sequence[tuple[list[int], str]],
    *,
    end: bool | Sequence[int] = False,
) -> list[Tensor]:
    """Negative log-likelihood of each token of each reply, in nats, one tensor [T] a row.

    Args:
        model: A causal language model, or an encoder-decoder that reads the prompt.
        tokenizer: Its tokenizer.
        rows: Token ids of the prompt, and the reply; all in one forward pass.
        end: Whether the end token after the reply counts too, or the ids that end it in its place.

    Raises:
        DataError: If a prompt and its reply do not fit the model's context.
    """
    if not rows:
        return []
    last = end_tokens(model, tokenizer)[:1] if end is True else list(end or ())
    pairs = [(head, [*text_ids(tokenizer, text), *last]) for head, text in rows]
    read = _seq2seq_states if is_seq2seq(model) else _causal_states
    states = read(model, pairs, tokenizer.pad_token_id or 0)
    nats: list[Tensor] = []
    for (_, reply), hidden in zip(pairs, states, strict=True):
        gold = torch.tensor(reply, device=hidden.device, dtype=torch.long)
        nats.append(
            nn.functional.cross_entropy(logits(model, hidden), gold, reduction="none").cpu()
        )
    return nats


@torch.inference_mode()
def continued_nats(
    model: nn.Module, tokenizer: Any, prompt: list[int], replies: Sequence[str]
) -> list[tuple[float, int]]:
    """Return the nats and tokens of several replies to one prompt, which is read once for all.

    As `reply_nats` for a causal model that nothing steers, at a fraction of its cost.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        prompt: Token ids, two or more.
        replies: The replies.

    Raises:
        DataError: If the prompt and a reply do not fit the model's context.
    """
    # A state that is not kept by position cannot be continued by several replies.
    if getattr(model, "_is_stateful", False) or len(prompt) < 2 or not replies:
        return reply_nats(model, tokenizer, [(prompt, reply) for reply in replies])
    from transformers import DynamicCache

    last = end_tokens(model, tokenizer)[:1]
    golds = [[*text_ids(tokenizer, reply), *last] for reply in replies]
    _check_length(model, len(prompt) + max(map(len, golds)))
    device = next(model.parameters()).device
    inner: Any = model.base_model
    cache: Any = DynamicCache(config=model.config)  # pyright: ignore
    head = torch.tensor([prompt[:-1]], device=device)
    inner(input_ids=head, past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(replies))
    fed = [[prompt[-1], *gold[:-1]] for gold in golds]
    ids, mask = (x.to(device) for x in pad(fed, tokenizer.pad_token_id or 0, left=False))
    before = torch.ones(len(replies), len(prompt) - 1, device=device, dtype=torch.long)
    states = inner(
        input_ids=ids,
        attention_mask=torch.cat([before, mask.long()], 1),
        position_ids=torch.arange(ids.shape[1], device=device)[None] + len(prompt) - 1,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    rows = [row[: len(gold)] for row, gold in zip(states, golds, strict=True)]
    of_tokens = nn.functional.cross_entropy(
        logits(model, torch.cat(rows)),
        torch.tensor([token for gold in golds for token in gold], device=device),
        reduction="none",
    )
    parts = of_tokens.cpu().double().split([len(gold) for gold in golds])
    return [(float(part.sum()), len(part)) for part in parts]


def _causal_states(
    model: nn.Module, pairs: Sequence[tuple[list[int], list[int]]], filler: int
) -> list[Tensor]:
    """Last states before each token of the replies, [T, d] a row."""
    device = next(model.parameters()).device
    longest = max(len(h) + len(t) for h, t in pairs)
    _check_length(model, longest)
    # Padded on the right, where no real token looks: positions are those of a row alone.
    ids, mask, _ = pad_pairs(pairs, filler, left=False)
    inner: Any = model.base_model
    states = inner(
        input_ids=ids.to(device), attention_mask=mask.long().to(device), use_cache=False
    ).last_hidden_state
    return [states[i, len(h) - 1 : len(h) + len(t) - 1] for i, (h, t) in enumerate(pairs)]


def _seq2seq_states(
    model: Any, pairs: Sequence[tuple[list[int], list[int]]], filler: int
) -> list[Tensor]:
    """Last states of the decoder before each token of the replies, [T, d] a row."""
    device = next(model.parameters()).device
    _check_length(model, max(max(len(h), len(t)) for h, t in pairs))
    ids, mask = (x.to(device) for x in pad([h for h, _ in pairs], filler, left=False))
    read = model.get_encoder()(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    start = start_token(model)
    fed, _ = pad([[start, *t[:-1]] for _, t in pairs], filler, left=False)
    states = model.get_decoder()(
        input_ids=fed.to(device),
        encoder_hidden_states=read,
        encoder_attention_mask=mask.long(),
        use_cache=False,
    ).last_hidden_state
    return [states[i, : len(t)] for i, (_, t) in enumerate(pairs)]


def _check_length(model: nn.Module, longest: int) -> None:
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)  # pyright: ignore
    if limit and longest > limit:
        raise DataError(
            f"a text and its reply are {longest} tokens long, which exceeds the model's {limit};"
            " shorten the text or the conversation"
        )
