"""Passes of a model that writes a batch of replies token by token, with its cache.

How a token is chosen from the logits is the caller's business: the decoding loop of all chat
models (`emotone.lm.decode`) and the rollouts of reinforcement have rules of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class CausalSteps:
    """A causal language model that writes a batch of replies.

    Args:
        model: In evaluation mode.
        ids: Prompts, [P, S], padded on the left.
        mask: 1 or True at real tokens, [P, S].
        rows: The prompt that each reply answers, [B]; None for one reply a prompt. Each prompt is
            read once, however many replies it gets.
    """

    def __init__(
        self, model: nn.Module, ids: Tensor, mask: Tensor, *, rows: Tensor | None = None
    ) -> None:
        self._model = model
        self._ids = ids
        self._mask = mask.long()
        self._position = (self._mask.cumsum(1) - 1).clamp_min(0)
        self._rows = rows
        self._cache: Any = None

    @torch.no_grad()
    def first(self) -> Tensor:
        """Logits of the first token of each reply, [B, V], float32."""
        logits = self._pass(self._ids)
        if self._rows is not None:
            self._cache.reorder_cache(self._rows)
            self._mask, self._position = self._mask[self._rows], self._position[self._rows]
            logits = logits[self._rows]
        _give_room(self._cache)
        return logits

    @torch.no_grad()
    def next(self, tokens: Tensor) -> Tensor:
        """Take the tokens just chosen, [B]; return the logits of the next ones, [B, V], float32."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._position = self._position[:, -1:] + 1
        return self._pass(tokens[:, None])

    def _pass(self, ids: Tensor) -> Tensor:
        out = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=self._position,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = out.past_key_values
        return out.logits[:, -1].float()


class Seq2SeqSteps:
    """An encoder-decoder model that writes a batch of replies.

    Args:
        model: In evaluation mode.
        ids: What the encoder reads, [P, S], padded on the right.
        mask: 1 or True at real tokens, [P, S].
        rows: As in `CausalSteps`.
    """

    def __init__(
        self, model: nn.Module, ids: Tensor, mask: Tensor, *, rows: Tensor | None = None
    ) -> None:
        self._model = model
        self._ids = ids
        self._mask = mask.long()
        self._rows = rows
        self._states: Any = None
        self._cache: Any = None

    @torch.no_grad()
    def first(self) -> Tensor:
        """Logits of the first token of each reply, [B, V], float32."""
        encoder: Any = self._model.get_encoder()  # pyright: ignore[reportCallIssue]
        self._states = encoder(input_ids=self._ids, attention_mask=self._mask).last_hidden_state
        logits = self._pass(self._ids.new_full((len(self._ids),), start_token(self._model)))
        if self._rows is not None:
            self._cache.reorder_cache(self._rows)
            self._mask, self._states = self._mask[self._rows], self._states[self._rows]
            logits = logits[self._rows]
        return logits

    @torch.no_grad()
    def next(self, tokens: Tensor) -> Tensor:
        """Take the tokens just chosen, [B]; return the logits of the next ones, [B, V], float32."""
        return self._pass(tokens)

    def _pass(self, tokens: Tensor) -> Tensor:
        out = self._model(
            encoder_outputs=(self._states,),
            attention_mask=self._mask,
            decoder_input_ids=tokens[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = out.past_key_values
        return out.logits[:, -1].float()


def _give_room(cache: Any, step: int = 64) -> None:
    """Let a filled cache grow in place.

    transformers copies all keys and values to add those of one token, which is a third of the time
    of a reply to a long prompt.
    """
    from transformers.cache_utils import DynamicLayer

    def update_of(layer: Any) -> Any:
        buffers: list[Tensor] = []

        def update(keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            start = layer.keys.shape[-2]
            end = start + keys.shape[-2]
            if not buffers or buffers[0].shape[-2] < end:
                buffers[:] = [
                    torch.nn.functional.pad(filled, (0, 0, 0, end - start + step))
                    for filled in (layer.keys, layer.values)
                ]
            for buffer, new in zip(buffers, (keys, values), strict=True):
                buffer[..., start:end, :] = new
            layer.keys, layer.values = (buffer[..., :end, :] for buffer in buffers)
            return layer.keys, layer.values

        return update

    for layer in getattr(cache, "layers", ()):
        if type(layer) is DynamicLayer and layer.is_initialized:
            layer.update = update_of(layer)


def is_seq2seq(model: nn.Module) -> bool:
    """Tell whether a model has an encoder of its own for what is answered."""
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def start_token(model: nn.Module) -> int:
    """Return the token that a decoder's input begins with; for T5 it is the pad token."""
    config: Any = model.config
    start = getattr(config, "decoder_start_token_id", None)
    start = config.pad_token_id if start is None else start
    return int(start or 0)
