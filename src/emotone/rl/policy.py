"""What a policy is, and what goes into it and comes out.

B rows, P prompt tokens, T reply tokens, K tokens that could have been sampled. Masks are True at
real tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from emotone.lm.batch import pad
from emotone.models.token_ids import text_ids
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
class Replies:
    """Replies as tokens, and what could have been sampled in place of each.

    Args:
        tokens: Token ids, [B, T], the end token included, padded on the right.
        mask: True at tokens of the reply, the end token included, [B, T].
        support: The tokens that each token was sampled from, [B, T, K]; they hold the token itself
            at every real position. None is the whole vocabulary.
        temperature: What divided the logits when they were sampled.
    """

    tokens: Tensor
    mask: Tensor
    support: Tensor | None = None
    temperature: float = 1.0

    def __len__(self) -> int:
        """Number of rows, B."""
        return self.tokens.shape[0]

    def rows(self, at: Tensor | slice) -> Replies:
        """Take some rows."""
        support = None if self.support is None else self.support[at]
        return Replies(self.tokens[at], self.mask[at], support, self.temperature)

    def to(self, device: torch.device) -> Replies:
        """Move to a device."""
        support = None if self.support is None else self.support.to(device)
        return Replies(self.tokens.to(device), self.mask.to(device), support, self.temperature)


class PolicyOutput(NamedTuple):
    """What a policy computes for given replies.

    Args:
        logprobs: Log-probability of each token among `Replies.support` at its temperature, in
            nats, [B, T]; 0 at padding.
        entropy: Entropy of what the token was sampled from, in nats, [B, T]; 0 at padding.
        values: Value of the state before each token, [B, T]; 0 at padding; None without a head.
    """

    logprobs: Tensor
    entropy: Tensor
    values: Tensor | None


@dataclass(frozen=True, slots=True)
class ReplyCodec:
    """Replies as texts, as token ids and as a batch.

    Args:
        tokenizer: The tokenizer of prompts and replies.
        end_tokens: The tokens that end a reply; the first one ends a given reply.
        max_reply: Longest given reply in tokens, the end token included.
    """

    tokenizer: Any
    end_tokens: tuple[int, ...]
    max_reply: int

    @property
    def pad(self) -> int:
        """The token that pads prompts and replies."""
        return self.tokenizer.pad_token_id or 0

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of given replies, end token included; a cut one ends with it too.

        Source: EmpRL's code (arXiv 2408.02976), which lets the tokenizer cut to 50 tokens.
        """
        ids = [text_ids(self.tokenizer, text) for text in texts]
        return [[*row[: self.max_reply - 1], self.end_tokens[0]] for row in ids]

    def batch(self, rows: Sequence[list[int]]) -> Replies:
        """Pad given replies (ids of `encode`) to a batch, over the whole vocabulary."""
        return Replies(*pad(list(rows), self.pad, left=False))

    def decode(self, replies: Replies) -> list[str]:
        """Texts of replies, special tokens left out, stripped."""
        rows = zip(replies.tokens.tolist(), replies.mask.tolist(), strict=True)
        return [
            self.tokenizer.decode(
                [token for token, real in zip(tokens, mask, strict=True) if real],
                skip_special_tokens=True,
            ).strip()
            for tokens, mask in rows
        ]


class Generation(Protocol):
    """One model writing a batch of replies token by token, its cache inside."""

    def first(self) -> Tensor:
        """Logits of the first token of each reply, [B, V], float32."""
        ...

    def next(self, tokens: Tensor) -> Tensor:
        """Take the tokens just sampled, [B]; return logits of the next ones, [B, V], float32."""
        ...


class Policy(Protocol):
    """A model that is trained by reward: `emotone.rl.seq2seq` and `emotone.rl.causal` have one.

    Its `forward` gives the `PolicyOutput` of given replies, with gradients;
    DistributedDataParallel wraps it.
    """

    @property
    def module(self) -> nn.Module:
        """The module that `forward(prompts, replies, *, values)` is called on."""
        ...

    @property
    def codec(self) -> ReplyCodec:
        """How replies become tokens, and texts again."""
        ...

    def encode(self, dialogues: Sequence[Dialogue]) -> list[list[int]]:
        """Prompt token ids of each dialogue, cut at the start to what the policy reads."""
        ...

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        """Pad prompts to a batch."""
        ...

    def generation(self, prompts: Prompts) -> Generation:
        """Begin to write a batch of replies; without gradients, dropout off."""
        ...

    def reference(self, prompts: Prompts, replies: Replies) -> Tensor:
        """Log-probabilities under the frozen reference, [B, T], without gradients; 0 at padding."""
        ...

    def freeze_reference(self) -> None:
        """Make the policy as it is now the reference from here on."""
        ...

    def eval(self) -> Self:
        """Switch dropout off."""
        ...


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a policy that learn, by name; those of "value_head." are the critic's."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}
