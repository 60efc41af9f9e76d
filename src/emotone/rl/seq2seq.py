"""A policy that is an encoder-decoder model, such as T5: EmpRL's own kind."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from emotone.errors import RunError
from emotone.lm.decode import end_tokens
from emotone.lm.forward import Seq2SeqSteps, pad, start_token
from emotone.rl import say, table
from emotone.rl.repeats import repeats
from emotone.rl.types import Prompts, Said, Written
from emotone.rl.value_head import ValueHead
from emotone.types import Dialogue


class Seq2SeqPolicy(nn.Module):
    """An encoder-decoder model with a value head and a frozen copy for reference.

    All weights of the model learn. The value head reads the decoder's last state.

    Source: EmpRL (arXiv 2408.02976) and trl 0.9.6. Differences: a dialogue that is too long loses
    its beginning, not its end, and dropout is off in the reference.

    Args:
        model: A T5ForConditionalGeneration, or another model of that form. It is trained in place.
        tokenizer: Its tokenizer.
        separator: What stands between the posts of a dialogue.
        max_prompt: Longest prompt in tokens; of a longer dialogue the end is kept.
        max_reply: Longest reply that is learned from, the end token included.
        values: Whether there is a value head; group baselines need none.
        value_dropout: Dropout before the value head.
        detach_values: Whether the value loss leaves the model's own weights alone.
        reference: Whether to copy the model now; without it `settle` makes the reference later,
            which spares the memory of a copy during a supervised stage.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        separator: str = " ",
        max_prompt: int = 200,
        max_reply: int = 50,
        values: bool = True,
        value_dropout: float = 0.1,
        detach_values: bool = False,
        reference: bool = True,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self._tokenizer = tokenizer
        self._separator = separator
        self._max_prompt, self._max_reply = max_prompt, max_reply
        self._ends = tuple(dict.fromkeys(end_tokens(model, tokenizer)))
        width = int(self.model.config.hidden_size)
        self.value_head = (
            ValueHead(width, dropout=value_dropout, detach=detach_values).to(self._device)
            if values
            else None
        )
        self._frozen: Any = None
        if reference:
            self.settle()
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
        """Token ids of each dialogue, its posts joined; what is too long loses its beginning."""
        return [
            source_ids(self._tokenizer, d, self._separator, self._max_prompt) for d in dialogues
        ]

    def encode_replies(self, replies: Sequence[str]) -> list[list[int]]:
        """Token ids of given replies, end token included, cut to the longest it learns from."""
        return [
            say.reply_ids(self._tokenizer, text, self._ends[0], self._max_reply) for text in replies
        ]

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        """Pad prompts to a batch."""
        return Prompts(*pad(list(rows), self.pad, left=False))

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
        prompts, written = self._here(prompts, written)
        return _said(self.model, prompts, written, self.value_head if values else None)

    @torch.no_grad()
    def reference(self, prompts: Prompts, written: Written) -> Tensor:
        """Log-probabilities under the frozen reference, [B, T], without gradients; 0 at padding.

        Raises:
            RunError: If there is no reference yet.
        """
        if self._frozen is None:
            raise RunError("the policy has no reference yet; call settle() before reinforcement")
        prompts, written = self._here(prompts, written)
        return _said(self._frozen, prompts, written, None, entropy=False).logprobs

    def settle(self) -> None:
        """Take what the policy says now for the reference from here on."""
        self._frozen = None  # freed before the copy is made
        self._frozen = copy.deepcopy(self.model).eval().requires_grad_(False)

    @torch.no_grad()
    def steps(self, prompts: Prompts) -> Seq2SeqSteps:
        """Begin to write a batch of replies; equal prompts are read once."""
        prompts, rows = repeats(prompts.to(self._device))
        return Seq2SeqSteps(self.model, prompts.ids, prompts.mask, rows=rows)

    def trained(self) -> Mapping[str, nn.Parameter]:
        """The parameters that reinforcement changes, by name, the value head among them."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def train(self, mode: bool = True) -> Self:
        """Switch dropout, which stays off in the reference."""
        super().train(mode)
        if self._frozen is not None:
            self._frozen.eval()
        return self

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _here(self, prompts: Prompts, written: Written) -> tuple[Prompts, Written]:
        return prompts.to(self._device), written.to(self._device)


def _said(
    model: Any,
    prompts: Prompts,
    written: Written,
    values: ValueHead | None,
    *,
    entropy: bool = True,
) -> Said:
    mask = prompts.mask.long()
    start = written.tokens.new_full((len(written), 1), start_token(model))
    inputs = torch.cat([start, written.tokens[:, :-1]], dim=1)
    support = None if written.support is None else written.support[written.mask]
    rows = table.rows(model, prompts.ids, inputs, support)
    read = model.get_encoder()(inputs_embeds=rows.prompts, attention_mask=mask).last_hidden_state
    # Padding comes last, where no real token looks, so the decoder needs no mask.
    states = model.get_decoder()(
        inputs_embeds=rows.replies,
        encoder_hidden_states=read,
        encoder_attention_mask=mask,
        use_cache=False,
    ).last_hidden_state
    return say.say(model, states, written, values, entropy=entropy, rows=rows.support)


def source_ids(tokenizer: Any, dialogue: Dialogue, separator: str, longest: int) -> list[int]:
    """Return the token ids of a dialogue as a policy reads it: the end, if it is too long.

    Args:
        tokenizer: Its special tokens stand around what is kept.
        dialogue: The posts.
        separator: What stands between the posts.
        longest: Most tokens, special ones included.
    """
    text = separator.join(post.text for post in dialogue.posts)
    whole = tokenizer(text, verbose=False)["input_ids"]
    over = len(whole) - longest
    if over <= 0:
        return whole
    bare = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    before = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return [*whole[:before], *bare[over:], *whole[before + len(bare) :]]
