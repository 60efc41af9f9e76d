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


class Draft:
    """One reply while it is written: what it says so far, and how its next token is chosen.

    It depends on no other reply, so that it may share passes of a model with any.

    Args:
        tokenizer: Of the model.
        ends: Tokens that end a reply, as `end_tokens` returns them.
        decoding: How to choose; its seed is not used here.
        seed: Of the reply.
        stop: Texts that end a reply and do not belong to it.
    """

    def __init__(
        self,
        tokenizer: Any,
        ends: Sequence[int],
        decoding: Decoding,
        seed: int,
        stop: Sequence[str] = (),
    ) -> None:
        self.ids: list[int] = []
        self.logprob = 0.0
        self.done = False
        self._tokenizer = tokenizer
        self._ends = list(ends)
        self._decoding = decoding
        self._stop = stop
        self._generator = torch.Generator().manual_seed(seed)
        self._soft = max(1, int(decoding.max_tokens * decoding.sentence_end_after))
        self._sent = ""
        self._decoded = (0, "")

    def take(self, logits: Tensor, total: Tensor) -> int:
        """Choose the next token.

        Args:
            logits: Of the next token, [V], float32.
            total: Their `logsumexp`, a scalar.
        """
        decoding, step = self._decoding, len(self.ids)
        text = self.text if step >= self._soft or self._stop else ""
        over = step >= self._soft and text.rstrip().endswith(_SENTENCE_END)
        if cut(text, self._stop) != text or (over and step >= decoding.min_tokens):
            token = self._ends[0]
        else:
            banned = self._ends if step < decoding.min_tokens else []
            values, index = _candidates(logits, self.ids, decoding, banned)
            token = _choose(values, index, decoding, self._generator)
        self.logprob += float(logits[token] - total)
        self.ids.append(token)
        self.done = token in self._ends or len(self.ids) >= decoding.max_tokens
        return token

    def piece(self) -> str:
        """Return what can be sent since the last piece; all pieces joined are the reply's text."""
        decoded = self.text
        text = cut(decoded, self._stop)
        if not self.done:
            if text == decoded:
                text = text[: len(text) - _begun(text, self._stop)]
            if text.endswith("�"):  # half a character is not text yet
                return ""
        # Blanks at the end may still turn out to be the end.
        ready = text.strip()
        if len(ready) <= len(self._sent) or not (self.done or ready.startswith(self._sent)):
            return ""
        piece, self._sent = ready[len(self._sent) :], ready
        return piece

    def written(self) -> Written:
        """Return the reply so far."""
        return Written(
            cut(self.text, self._stop).strip(),
            len(self.ids),
            self.logprob,
            "stop" if self.ids and self.ids[-1] in self._ends else "length",
        )

    @property
    def text(self) -> str:
        """What it says so far, blanks and stop texts included."""
        if self._decoded[0] != len(self.ids):  # asked for several times a token
            decoded = self._tokenizer.decode(self.ids, skip_special_tokens=True)
            self._decoded = (len(self.ids), decoded)
        return self._decoded[1]


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
    drafts = drafts_of(model, tokenizer, decoding, seeds, stop)
    for _ in steps(model, tokenizer, prompts, decoding, drafts, copies):
        pass
    return [draft.written() for draft in drafts]


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
    drafts = drafts_of(model, tokenizer, decoding, [seed], stop)
    for _ in steps(model, tokenizer, [prompt], decoding, drafts):
        if piece := drafts[0].piece():
            yield piece


def drafts_of(
    model: nn.Module,
    tokenizer: Any,
    decoding: Decoding,
    seeds: Sequence[int],
    stop: Sequence[str] = (),
) -> list[Draft]:
    """Begin a reply a seed.

    Raises:
        DataError: If the model has no end token.
    """
    ends = end_tokens(model, tokenizer)
    return [Draft(tokenizer, ends, decoding, seed, stop) for seed in seeds]


@torch.inference_mode()
def steps(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    decoding: Decoding,
    drafts: Sequence[Draft],
    copies: Sequence[int] | None = None,
) -> Iterator[None]:
    """Add a token to every reply that is not done, once a step.

    Args:
        model: A causal language model, or an encoder-decoder that reads the prompt.
        tokenizer: Its tokenizer.
        prompts: Token ids, one list a prompt.
        decoding: How to choose; its seed is not used here.
        drafts: The replies.
        copies: Replies to each prompt; None for one each.

    Raises:
        DataError: If a prompt and its reply do not fit the model's context.
        Unsupported: If a beam search is asked.
    """
    if decoding.strategy == "beam":
        raise Unsupported(
            "chat models offer no beam search; leave out --beams to sample, or use --greedy"
        )
    check_length(model, max(map(len, prompts)), decoding)
    device = next(model.parameters()).device
    filler = tokenizer.pad_token_id or 0
    ids, mask = pad(list(prompts), filler, left=not is_seq2seq(model))
    kind = Seq2SeqSteps if is_seq2seq(model) else CausalSteps
    rows: Tensor | None = None
    if copies is not None and any(n != 1 for n in copies):
        rows = torch.arange(len(prompts)).repeat_interleave(torch.tensor(copies)).to(device)
    passes = kind(model, ids.to(device), mask.to(device), rows=rows)
    fed: Tensor | None = None
    while True:
        logits = (passes.first() if fed is None else passes.next(fed)).cpu()
        tokens = take(drafts, logits, filler)
        yield
        if all(draft.done for draft in drafts):
            return
        fed = torch.tensor(tokens, device=device)


def take(
    drafts: Sequence[Draft], logits: Tensor, filler: int, totals: Tensor | None = None
) -> list[int]:
    """Let each reply choose its next token from its row of logits [B, V]; `filler` where done.

    `totals` are the `logsumexp` of the rows, [B], where the caller has them.
    """
    totals = logits.logsumexp(-1) if totals is None else totals
    return [
        filler if draft.done else draft.take(row, total)
        for draft, row, total in zip(drafts, logits, totals, strict=True)
    ]


def check_length(model: nn.Module, longest: int, decoding: Decoding) -> None:
    """Raise if a prompt of so many tokens and its reply do not fit the model's context.

    Raises:
        DataError: If they do not.
    """
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)  # pyright: ignore
    reply = decoding.max_tokens
    # Encoder and decoder have positions of their own.
    needed = max(longest, reply) if is_seq2seq(model) else longest + reply
    if limit and needed > limit:
        raise DataError(
            f"the text is {longest} tokens long, and with a reply of up to {reply} "
            f"it exceeds the model's {limit}; shorten the text or the conversation"
        )


def _candidates(
    logits: Tensor, reply: list[int], decoding: Decoding, banned: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the likeliest next tokens of a reply after penalties: logits and ids, [K].

    A greedy reply needs the first only.
    """
    logits = logits.clone()
    if banned:
        logits[banned] = -torch.inf
    if reply and decoding.repetition_penalty != 1.0:
        seen = torch.tensor(sorted(set(reply)))
        values = logits[seen]
        factor = decoding.repetition_penalty
        logits[seen] = torch.where(values > 0, values / factor, values * factor)
    for token in _repeats(reply, decoding.no_repeat):
        logits[token] = -torch.inf
    # The nucleus lies within the few hundred likeliest tokens for any useful top_p.
    most = 1 if decoding.strategy == "greedy" else decoding.top_k or 256
    top = logits.topk(min(most, logits.shape[-1]))
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


def cut(text: str, stop: Sequence[str]) -> str:
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
