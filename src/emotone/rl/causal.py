"""A policy that is a chat model with adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import DataError
from emotone.lm.batch import pad
from emotone.lm.chat import FRIEND, prompt_ids
from emotone.lm.decode import end_tokens
from emotone.lm.forward import CausalSteps
from emotone.models.token_ids import text_ids
from emotone.rl.logprobs import ValueHead, policy_output
from emotone.rl.policy import PolicyOutput, Prompts, Replies, ReplyCodec
from emotone.rl.rollout import unique_prompts
from emotone.training.adapters import (
    Adapters,
    FrozenCache,
    adapted_layers,
    adapter_weights,
    add_adapters,
    frozen_blocks,
    has_adapters,
)
from emotone.types import Dialogue, Post


class CausalPolicy(nn.Module):
    """A chat model whose adapters learn; its own weights stay, and are the reference.

    Difference from EmpRL (arXiv 2408.02976), whose policy is a T5 that is trained whole: a chat
    model speaks well from the start, and adapters keep what it knows.

    Args:
        model: A causal language model; adapters are put into it in place.
        tokenizer: Its tokenizer, with a chat template.
        adapters: Which adapters; None keeps those that the model has, or takes the defaults.
        system: System prompt of every dialogue.
        max_prompt: Longest prompt in tokens; a longer dialogue loses its oldest posts.
        max_reply: Longest reply that is learned from, the end token included.
        values: Whether there is a value head; group baselines need none.
        value_dropout: Dropout before the value head.
        detach_values: Whether the value loss leaves the adapters alone.
        seed: Seed of the adapters.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        adapters: Adapters | None = None,
        system: str = FRIEND,
        max_prompt: int = 256,
        max_reply: int = 50,
        values: bool = True,
        value_dropout: float = 0.1,
        detach_values: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if adapters is not None or not has_adapters(model):
            add_adapters(model, adapters or Adapters(), seed=seed)
        self.model: Any = model
        self.model.requires_grad_(False)
        for p in adapter_weights(self.model).values():
            p.requires_grad_(True)
        self.codec = ReplyCodec(
            tokenizer, tuple(dict.fromkeys(end_tokens(model, tokenizer))), max_reply
        )
        self._system, self._max_prompt = system, max_prompt
        width = int(self.model.config.hidden_size)
        self.value_head = (
            ValueHead(width, dropout=value_dropout, detach=detach_values).to(self._device)
            if values
            else None
        )
        self._reference: dict[str, Tensor] | None = None
        self._cache = FrozenCache(frozen_blocks(model))
        self.eval()

    @property
    def module(self) -> nn.Module:
        """This module."""
        return self

    def encode(self, dialogues: Sequence[Dialogue]) -> list[list[int]]:
        """Token ids of each dialogue in the chat format, oldest posts dropped where too long.

        Raises:
            DataError: If the system prompt alone is too long.
        """
        tokenizer = self.codec.tokenizer
        return [chat_prompt(tokenizer, d, self._system, self._max_prompt) for d in dialogues]

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        """Pad prompts to a batch."""
        return Prompts(*pad(list(rows), self.codec.pad, left=True))

    @torch.no_grad()
    def generation(self, prompts: Prompts) -> CausalSteps:
        """Begin to write a batch of replies; equal prompts are read once."""
        self._cache.clear()
        prompts, rows = unique_prompts(prompts.to(self._device))
        return CausalSteps(self.model, prompts.ids, prompts.mask, rows=rows)

    def forward(self, prompts: Prompts, replies: Replies, *, values: bool = True) -> PolicyOutput:
        """Compute log-probabilities, entropy and values of replies, with gradients.

        Args:
            prompts: What is answered, B rows.
            replies: The answers, B rows of T tokens.
            values: Whether to compute values too.
        """
        prompts, replies = prompts.to(self._device), replies.to(self._device)
        hidden = self._hidden(prompts, replies)
        return policy_output(self.model, hidden, replies, self.value_head if values else None)

    @torch.no_grad()
    def reference(self, prompts: Prompts, replies: Replies) -> Tensor:
        """Log-probabilities under the frozen reference, [B, T], without gradients; 0 at padding.

        The reference is the model without adapters, or what `freeze_reference` took for it.
        """
        prompts, replies = prompts.to(self._device), replies.to(self._device)
        was_training = self.training
        self.eval()
        try:
            with self._as_reference():
                hidden = self._hidden(prompts, replies)
                return policy_output(self.model, hidden, replies, None, entropy=False).logprobs
        finally:
            self.train(was_training)

    def freeze_reference(self) -> None:
        """Make the policy as it is now the reference from here on."""
        weights = adapter_weights(self.model)
        self._reference = {name: p.detach().clone() for name, p in weights.items()}

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _hidden(self, prompts: Prompts, replies: Replies) -> Tensor:
        """Last states before each token, [B, T, d]."""
        ids = torch.cat([prompts.ids, replies.tokens[:, :-1]], dim=1)
        mask = torch.cat([prompts.mask, replies.mask[:, :-1]], dim=1)
        with self._cache.reused(ids, mask):
            trunk = self.model.base_model(
                input_ids=ids,
                attention_mask=mask.long(),
                position_ids=(mask.long().cumsum(1) - 1).clamp_min(0),
                use_cache=False,
            )
        return trunk.last_hidden_state[:, prompts.ids.shape[1] - 1 :]

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        """Make the model the reference inside; only without gradients."""
        if self._reference is None:
            adapted = [layer for _, layer in adapted_layers(self.model)]
            for layer in adapted:
                layer._disable_adapters = True  # enable_adapters would also change what learns
            try:
                yield
            finally:
                for layer in adapted:
                    layer._disable_adapters = False
            return
        weights = adapter_weights(self.model)
        own = {name: p.data for name, p in weights.items()}
        # Autocast keeps the rounded weights of a pass for the next one, and would take those of
        # the policy for the reference's, or the other way round.
        caching = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            for name, p in weights.items():
                p.data = self._reference[name].to(p.device)
            yield
        finally:
            for name, p in weights.items():
                p.data = own[name]
            torch.set_autocast_cache_enabled(caching)


def chat_prompt(tokenizer: Any, dialogue: Dialogue, system: str, longest: int) -> list[int]:
    """Return the token ids of a dialogue as a policy reads it: oldest posts dropped if too long.

    Args:
        tokenizer: A tokenizer with a chat template.
        dialogue: The posts.
        system: System prompt.
        longest: Most tokens; of a single post that is longer the end is kept.

    Raises:
        DataError: If the system prompt alone is too long.
    """
    for first in range(len(dialogue.posts)):
        ids = prompt_ids(tokenizer, Dialogue(dialogue.posts[first:]), system)
        if len(ids) <= longest:
            return ids
    return _end_of_post(tokenizer, dialogue.posts[-1], system, longest)


def _end_of_post(tokenizer: Any, post: Post, system: str, longest: int) -> list[int]:
    """Prompt of one post that is too long by itself: of its text the end is kept."""
    ids = text_ids(tokenizer, post.text)
    over = len(prompt_ids(tokenizer, Dialogue((post,)), system)) - longest
    while over < len(ids):
        text = tokenizer.decode(ids[over:]).strip()
        if not text:
            break
        ids_of_end = prompt_ids(tokenizer, Dialogue((replace(post, text=text),)), system)
        if len(ids_of_end) <= longest:
            return ids_of_end
        over += len(ids_of_end) - longest  # text cut amid a word may take more tokens than before
    raise DataError(
        f"the system prompt leaves no room for a post in {longest} tokens; shorten it, or raise"
        " max_prompt"
    )
