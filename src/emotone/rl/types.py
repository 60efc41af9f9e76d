"""The values that pass between rollout, algorithms and trainer.

B rows, P prompt tokens, T reply tokens, K tokens that could have been drawn. Masks are True at
real tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from emotone.types import Dialogue


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """What replies are given to.

    Args:
        ids: Token ids, [B, P]; padded on the right for an encoder, on the left for a causal model.
        mask: True at real tokens, [B, P].
    """

    ids: Tensor
    mask: Tensor

    def __len__(self) -> int:
        """Number of rows, B."""
        return self.ids.shape[0]

    def rows(self, at: Tensor | slice) -> Prompts:
        """Take some rows."""
        return Prompts(self.ids[at], self.mask[at])

    def to(self, device: torch.device) -> Prompts:
        """Move to a device."""
        return Prompts(self.ids.to(device), self.mask.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Replies as tokens, and what could have been drawn in place of each.

    Args:
        tokens: Token ids, [B, T], the end token included, padded on the right.
        mask: True at tokens of the reply, the end token included, [B, T].
        support: The tokens that each token was drawn from, [B, T, K]; they hold the token itself
            at every real position. None is the whole vocabulary.
        temperature: What divided the logits when they were drawn.
    """

    tokens: Tensor
    mask: Tensor
    support: Tensor | None = None
    temperature: float = 1.0

    def __len__(self) -> int:
        """Number of rows, B."""
        return self.tokens.shape[0]

    def rows(self, at: Tensor | slice) -> Written:
        """Take some rows."""
        support = None if self.support is None else self.support[at]
        return Written(self.tokens[at], self.mask[at], support, self.temperature)

    def to(self, device: torch.device) -> Written:
        """Move to a device."""
        support = None if self.support is None else self.support.to(device)
        return Written(self.tokens.to(device), self.mask.to(device), support, self.temperature)


class Said(NamedTuple):
    """What a policy says of replies.

    Args:
        logprobs: Log-probability of each token among `Written.support` at its temperature, in
            nats, [B, T]; 0 at padding.
        entropy: Entropy of what the token was drawn from, in nats, [B, T]; 0 at padding.
        values: Value of the state before each token, [B, T]; 0 at padding; None without a head.
    """

    logprobs: Tensor
    entropy: Tensor
    values: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """Replies that the policy drew.

    Args:
        prompts: What they answer.
        written: The replies as tokens.
        logprobs: Of the tokens when they were drawn, [B, T]; 0 at padding.
        texts: The replies as texts, B of them.
        ended: Whether a reply ended by itself, [B].
    """

    prompts: Prompts
    written: Written
    logprobs: Tensor
    texts: list[str]
    ended: Tensor


class Scores(NamedTuple):
    """What replies are worth.

    Args:
        total: The reward of each, [B], float64.
        terms: Its parts and what is logged beside it, each [B].
    """

    total: np.ndarray
    terms: Mapping[str, np.ndarray]


#: Rows of the training data and a reply to each -> what the replies are worth.
RewardFunction = Callable[[Sequence[int], Sequence[str]], Scores]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn.

    Args:
        top_k: Draw from so many of the likeliest tokens; 0 for all.
        temperature: Divides the logits.
        min_tokens: The end token cannot be drawn before so many tokens.
        max_tokens: Longest reply in tokens, the end token included.

    Source: the released code of EmpRL (arXiv 2408.02976): 20, 0.9, 5, 30.
    """

    top_k: int = 20
    temperature: float = 0.9
    min_tokens: int = 5
    max_tokens: int = 30


class Steps(Protocol):
    """One model writing a batch of replies token by token, its cache inside."""

    def first(self) -> Tensor:
        """Logits of the first token of each reply, [B, V], float32."""
        ...

    def next(self, tokens: Tensor) -> Tensor:
        """Take the tokens just drawn, [B]; return the logits of the next ones, [B, V], float32."""
        ...


class Policy(Protocol):
    """A model that is trained by reward. An `nn.Module`; see `emotone.rl.seq2seq` and `causal`.

    Its `forward` is `Said` of given replies, with gradients; DistributedDataParallel wraps it.
    """

    @property
    def tokenizer(self) -> object:
        """The tokenizer of prompts and replies."""
        ...

    @property
    def module(self) -> nn.Module:
        """The module that `forward(prompts, written, *, values)` is called on."""
        ...

    def encode(self, dialogues: Sequence[Dialogue]) -> list[list[int]]:
        """Prompt token ids of each dialogue, cut at the start to what the policy reads."""
        ...

    def encode_replies(self, replies: Sequence[str]) -> list[list[int]]:
        """Token ids of given replies, end token included, cut to the longest it learns from."""
        ...

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        """Pad prompts to a batch."""
        ...

    def written(self, rows: Sequence[list[int]]) -> Written:
        """Pad given replies (ids of `encode_replies`) to a batch, over the whole vocabulary."""
        ...

    def texts(self, written: Written) -> list[str]:
        """Decode replies to texts, special tokens left out, stripped."""
        ...

    def reference(self, prompts: Prompts, written: Written) -> Tensor:
        """Log-probabilities under the frozen reference, [B, T], without gradients; 0 at padding."""
        ...

    def steps(self, prompts: Prompts) -> Steps:
        """Begin to write a batch of replies; without gradients, dropout off."""
        ...

    def trained(self) -> Mapping[str, nn.Parameter]:
        """The parameters that reinforcement changes, by name; those of "value_head." among them."""
        ...

    @property
    def end(self) -> Sequence[int]:
        """The tokens that end a reply."""
        ...

    @property
    def pad(self) -> int:
        """The token that pads replies."""
        ...

    def eval(self) -> Self:
        """Switch dropout off."""
        ...
