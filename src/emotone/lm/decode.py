"""Write replies token by token: the one decoding loop of all chat models.

`transformers.generate` samples from the global random state, so that a row's reply depends on its
neighbours; here every row has a generator of its own, and penalties look at the reply only, not
at the post (whose words a good reply repeats).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from emotone import types
from emotone.errors import DataError, Unsupported
from emotone.lm.batch import pad
from emotone.lm.forward import CausalSteps, Seq2SeqSteps, is_seq2seq
from emotone.types import Decoding, Strategy

#: What the searches here use of `Decoding`.
SEARCHES: Mapping[Strategy, frozenset[str]] = {
    "sample": types.SEARCHES["sample"] | {"sentence_end_after"},
    "greedy": types.SEARCHES["greedy"] | {"sentence_end_after"},
}
_SENTENCE_END = (".", "!", "?", "。", "！", "？", '."', '!"', '?"')


@dataclass(frozen=True, slots=True)
class Written:
    """One decoded reply.

    Args:
        text: The reply, stripped.
        tokens: Number of tokens, the end token included.
        logprob: Sum of the tokens' log-probabilities at temperature 1, in nats.
        finish_reason: "stop" where it came to its end, "length" where it was cut.
    """

    text: str
    tokens: int
    logprob: float
    finish_reason: Literal["stop", "length"] = "stop"


def write(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    decoding: Decoding,
    seeds: Sequence[int],
    *,
    stop: Sequence[str] = (),
    copies: Sequence[int] | None = None,
) -> list[Written]:
    """Decode replies to prompts; reply i samples with a generator of seed `seeds[i]`.

    Args:
        model: A causal language model, or an encoder-decoder that reads the prompt.
        tokenizer: Its tokenizer.
        prompts: Token ids, one list a prompt; each is read once.
        decoding: How to choose; its seed is not used here.
        seeds: One seed a reply.
        stop: Texts that end a reply and do not belong to it.
        copies: Replies to each prompt, which come one after another; None for one each.
    """
    if not prompts:
        return []
    rows: list[list[int]] = [[] for _ in seeds]
    scores = [0.0] * len(seeds)
    for tokens, logprobs in steps(model, tokenizer, prompts, decoding, seeds, stop, copies):
        for i, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True)):
            if token is not None:
                rows[i].append(token)
                scores[i] += logprob
    ends = end_tokens(model, tokenizer)
    return [
        Written(
            _cut(_text(tokenizer, ids), stop).strip(),
            len(ids),
            score,
            "stop" if ids and ids[-1] in ends else "length",
        )
        for ids, score in zip(rows, scores, strict=True)
    ]


def stream(
    model: nn.Module,
    tokenizer: Any,
    prompt: list[int],
    decoding: Decoding,
    seed: int,
    *,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """Yield pieces of one reply; joined, they are the text that `write` returns."""
    ids: list[int] = []
    sent = ""
    for tokens, _ in steps(model, tokenizer, [prompt], decoding, [seed], stop):
        if tokens[0] is not None:
            ids.append(tokens[0])
        decoded = _text(tokenizer, ids)
        text = _cut(decoded, stop)
        if text == decoded:
            text = text[: len(text) - _begun(text, stop)]
        # Blanks at the end may still turn out to be the end; half a character is not text yet.
        ready = text.strip() if not text.endswith("�") else sent
        if len(ready) > len(sent) and ready.startswith(sent):
            yield ready[len(sent) :]
            sent = ready
    rest = _cut(_text(tokenizer, ids), stop).strip()
    if len(rest) > len(sent):
        yield rest[len(sent) :]


@torch.inference_mode()
def steps(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    decoding: Decoding,
    seeds: Sequence[int],
    stop: Sequence[str] = (),
    copies: Sequence[int] | None = None,
) -> Iterator[tuple[list[int | None], list[float]]]:
    """Yield each step's token and log-probability of every reply; None for a finished one.

    Args:
        model: A causal language model, or an encoder-decoder that reads the prompt.
        tokenizer: Its tokenizer.
        prompts: Token ids, one list a prompt.
        decoding: How to choose; its seed is not used here.
        seeds: One seed a reply.
        stop: Texts that end a reply.
        copies: Replies to each prompt; None for one each.

    Raises:
        DataError: If a prompt and its reply do not fit the model's context.
        Unsupported: If a beam search is asked.
    """
    if decoding.strategy == "beam":
        raise Unsupported(
            "chat models offer no beam search; leave out --beams to sample, or use --greedy"
        )
    _check_length(model, prompts, decoding)
    device = next(model.parameters()).device
    filler = tokenizer.pad_token_id or 0
    ends = end_tokens(model, tokenizer)
    ids, mask = pad(list(prompts), filler, left=not is_seq2seq(model))
    kind = Seq2SeqSteps if is_seq2seq(model) else CausalSteps
    rows: Tensor | None = None
    if copies is not None and any(n != 1 for n in copies):
        rows = torch.arange(len(prompts)).repeat_interleave(torch.tensor(copies)).to(device)
    passes = kind(model, ids.to(device), mask.to(device), rows=rows)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    replies: list[list[int]] = [[] for _ in seeds]
    done = [False] * len(seeds)
    soft = max(1, int(decoding.max_tokens * decoding.sentence_end_after))
    fed: Tensor | None = None
    for step in range(decoding.max_tokens):
        logits = (passes.first() if fed is None else passes.next(fed)).cpu()
        total = logits.logsumexp(-1)
        banned = ends if step < decoding.min_tokens else []
        tops = _candidates(logits, replies, decoding, banned)
        tokens: list[int | None] = []
        logprobs: list[float] = []
        for i, reply in enumerate(replies):
            if done[i]:
                tokens.append(None)
                logprobs.append(0.0)
                continue
            text = _text(tokenizer, reply) if step >= soft or stop else ""
            over = step >= soft and text.rstrip().endswith(_SENTENCE_END)
            if _cut(text, stop) != text or (over and step >= decoding.min_tokens):
                token = ends[0]
            else:
                token = _choose(tops[0][i], tops[1][i], decoding, generators[i])
            tokens.append(token)
            logprobs.append(float(logits[i, token] - total[i]))
            reply.append(token)
            done[i] = token in ends
        yield tokens, logprobs
        if all(done):
            return
        fed = torch.tensor([filler if t is None else t for t in tokens], device=device)


def _check_length(model: nn.Module, prompts: Sequence[list[int]], decoding: Decoding) -> None:
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)  # pyright: ignore
    longest = max(len(p) for p in prompts)
    reply = decoding.max_tokens
    # Encoder and decoder have positions of their own.
    needed = max(longest, reply) if is_seq2seq(model) else longest + reply
    if limit and needed > limit:
        raise DataError(
            f"the text is {longest} tokens long, and with a reply of up to {reply} "
            f"it exceeds the model's {limit}; shorten the text or the conversation"
        )


def _candidates(
    logits: Tensor, replies: list[list[int]], decoding: Decoding, banned: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the likeliest tokens of each row after penalties: logits and ids, [B, K]."""
    logits = logits.clone()
    if banned:
        logits[:, banned] = -torch.inf
    for i, reply in enumerate(replies):
        if reply and decoding.repetition_penalty != 1.0:
            seen = torch.tensor(sorted(set(reply)))
            values = logits[i, seen]
            factor = decoding.repetition_penalty
            logits[i, seen] = torch.where(values > 0, values / factor, values * factor)
        for token in _repeats(reply, decoding.no_repeat):
            logits[i, token] = -torch.inf
    # The nucleus lies within the few hundred likeliest tokens for any useful top_p.
    top = logits.topk(min(decoding.top_k or 256, logits.shape[-1]))
    return top.values, top.indices


def _choose(values: Tensor, index: Tensor, decoding: Decoding, generator: torch.Generator) -> int:
    """Choose one token from falling logits [K] and their ids [K]."""
    if decoding.strategy == "greedy":
        return int(index[0])
    probabilities = (values / decoding.temperature).softmax(-1)
    nucleus = probabilities.cumsum(-1) - probabilities < decoding.top_p
    return int(index[torch.multinomial(probabilities * nucleus, 1, generator=generator)])


def _repeats(reply: list[int], size: int) -> list[int]:
    """Return the tokens that would complete an n-gram the reply already holds."""
    if size <= 0 or len(reply) < size:
        return []
    tail = reply[len(reply) - size + 1 :]
    spans = range(len(reply) - size + 1)
    return [reply[i + size - 1] for i in spans if reply[i : i + size - 1] == tail]


def end_tokens(model: nn.Module, tokenizer: Any) -> list[int]:
    """Return the tokens that end a reply, the tokenizer's own first.

    Raises:
        DataError: If there is none.
    """
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = list(ends) if isinstance(ends, list | tuple) else [ends]
    tokens = [int(e) for e in [tokenizer.eos_token_id, *listed] if e is not None]
    if not tokens:
        raise DataError("the model has no end token; set eos_token_id in its generation config")
    return tokens


def _text(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True) if ids else ""


def _cut(text: str, stop: Sequence[str]) -> str:
    """Cut a text before the first stop text that follows its first word."""
    start = len(text) - len(text.lstrip())
    ends = [at for s in stop if (at := text.find(s, start)) >= 0]
    return text[: min(ends)] if ends else text


def _begun(text: str, stop: Sequence[str]) -> int:
    """Return how many characters at the end of a text may be the start of a stop text."""
    return max(
        (n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])),
        default=0,
    )
