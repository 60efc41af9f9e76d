"""A policy that is a chat model with adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import DataError
from emotone.lm.chat import FRIEND, prompt_ids
from emotone.lm.decode import end_tokens
from emotone.lm.forward import CausalSteps, pad
from emotone.rl import say
from emotone.rl.adapters import Adapters, add_adapters, has_adapters, layers, lowest, weights
from emotone.rl.below import Below
from emotone.rl.repeats import repeats
from emotone.rl.types import Prompts, Said, Written
from emotone.rl.value_head import ValueHead
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
        self._learn()
        self._tokenizer = tokenizer
        self._system = system
        self._max_prompt, self._max_reply = max_prompt, max_reply
        self._ends = tuple(dict.fromkeys(end_tokens(model, tokenizer)))
        width = int(self.model.config.hidden_size)
        self.value_head = (
            ValueHead(width, dropout=value_dropout, detach=detach_values).to(self._device)
            if values
            else None
        )
        self._frozen: dict[str, Tensor] | None = None
        self._below = Below(lowest(model))
        self.eval()

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of prompts and replies."""
        return self._tokenizer

    @property
    def module(self) -> nn.Module:
        """This module."""
        return self

    @property
    def end(self) -> Sequence[int]:
        """The tokens that end a reply."""
        return self._ends

    @property
    def pad(self) -> int:
        """The token that pads replies."""
        return self._tokenizer.pad_token_id or 0

    def encode(self, dialogues: Sequence[Dialogue]) -> list[list[int]]:
        """Token ids of each dialogue in the chat format, oldest posts dropped where too long.

        Raises:
            DataError: If the system prompt alone is too long.
        """
        return [chat_prompt(self._tokenizer, d, self._system, self._max_prompt) for d in dialogues]

    def encode_replies(self, replies: Sequence[str]) -> list[list[int]]:
        """Token ids of given replies, end token included, cut to the longest it learns from."""
        return [
            say.reply_ids(self._tokenizer, text, self._ends[0], self._max_reply) for text in replies
        ]

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        """Pad prompts to a batch."""
        return Prompts(*pad(list(rows), self.pad, left=True))

    def written(self, rows: Sequence[list[int]]) -> Written:
        """Pad given replies (ids of `encode_replies`) to a batch, over the whole vocabulary."""
        return say.batch(list(rows), self.pad)

    def texts(self, written: Written) -> list[str]:
        """Decode replies to texts, special tokens left out, stripped."""
        return say.decode(self._tokenizer, written)

    def forward(self, prompts: Prompts, written: Written, *, values: bool = True) -> Said:
        """Say what the policy thinks of replies, with gradients.

        Args:
            prompts: What is answered, B rows.
            written: The answers, B rows of T tokens.
            values: Whether to compute values too.
        """
        prompts, written = prompts.to(self._device), written.to(self._device)
        states = self._states(prompts, written)
        return say.say(self.model, states, written, self.value_head if values else None)

    @torch.no_grad()
    def reference(self, prompts: Prompts, written: Written) -> Tensor:
        """Log-probabilities under the frozen reference, [B, T], without gradients; 0 at padding.

        The reference is the model without adapters, or what `settle` took for it.
        """
        prompts, written = prompts.to(self._device), written.to(self._device)
        was_training = self.training
        self.eval()
        try:
            with self._as_reference():
                states = self._states(prompts, written)
                return say.say(self.model, states, written, None, entropy=False).logprobs
        finally:
            self.train(was_training)

    def settle(self) -> None:
        """Take what the policy says now for the reference from here on."""
        self._frozen = {name: p.detach().clone() for name, p in weights(self.model).items()}

    @torch.no_grad()
    def steps(self, prompts: Prompts) -> CausalSteps:
        """Begin to write a batch of replies; equal prompts are read once."""
        self._below.start()
        prompts, rows = repeats(prompts.to(self._device))
        return CausalSteps(self.model, prompts.ids, prompts.mask, rows=rows)

    def trained(self) -> Mapping[str, nn.Parameter]:
        """The parameters that reinforcement changes, by name, the value head among them."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _states(self, prompts: Prompts, written: Written) -> Tensor:
        """Last states before each token, [B, T, d]."""
        ids = torch.cat([prompts.ids, written.tokens[:, :-1]], dim=1)
        mask = torch.cat([prompts.mask, written.mask[:, :-1]], dim=1)
        with self._below.around(ids, mask):
            trunk = self.model.base_model(
                input_ids=ids,
                attention_mask=mask.long(),
                position_ids=(mask.long().cumsum(1) - 1).clamp_min(0),
                use_cache=False,
            )
        return trunk.last_hidden_state[:, prompts.ids.shape[1] - 1 :]

    def _learn(self) -> None:
        self.model.requires_grad_(False)
        for p in weights(self.model).values():
            p.requires_grad_(True)

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        """Let the model speak as the reference inside; only without gradients."""
        if self._frozen is None:
            adapted = [layer for _, layer in layers(self.model)]
            for layer in adapted:
                layer._disable_adapters = True  # enable_adapters would also change what learns
            try:
                yield
            finally:
                for layer in adapted:
                    layer._disable_adapters = False
            return
        learning = weights(self.model)
        kept = {name: p.data for name, p in learning.items()}
        # Autocast keeps the rounded weights of a pass for the next one, and would take those of
        # the policy for the reference's, or the other way round.
        caching = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            for name, p in learning.items():
                p.data = self._frozen[name].to(p.device)
            yield
        finally:
            for name, p in learning.items():
                p.data = kept[name]
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
    ids = tokenizer(post.text, add_special_tokens=False, verbose=False)["input_ids"]
    over = len(prompt_ids(tokenizer, Dialogue((post,)), system)) - longest
    while over < len(ids):
        text = tokenizer.decode(ids[over:]).strip()
        if not text:
            break
        made = prompt_ids(tokenizer, Dialogue((replace(post, text=text),)), system)
        if len(made) <= longest:
            return made
        over += len(made) - longest  # text cut amid a word may take more tokens than before
    raise DataError(
        f"the system prompt leaves no room for a post in {longest} tokens; shorten it, or raise"
        " max_prompt"
    )
