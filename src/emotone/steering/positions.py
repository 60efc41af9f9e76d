"""Which columns of a batch are steered, counted from the start of the whole sequence.

A forward pass sees only a chunk: with a key-value cache one new token, without it everything so
far. Positions here are absolute, so that both give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from emotone.errors import Unsupported

Positions = Literal["all", "prompt", "generated", "last"]
"""`all` columns; the `prompt`; `generated` tokens; `last`: the prompt's last token and every
generated one, which is what the paper's code does with a cache."""

POSITIONS: tuple[Positions, ...] = ("all", "prompt", "generated", "last")


class Columns:
    """Follows a model's forward passes and tells which columns of the chunk to steer.

    The prompt is everything in the first pass of a sequence. A later pass continues the sequence
    if it comes with a filled cache, or if it repeats the prompt's columns and adds some.

    Args:
        positions: Which columns to steer.
        prompt_length: Columns of the prompt, padding included, where the caller knows it, of all
            rows or of each (needed only when the prompt itself is fed in several chunks, or
            together with its reply); None to find it.
    """

    def __init__(
        self, positions: Positions, prompt_length: int | Sequence[int] | None = None
    ) -> None:
        self.positions: Positions = positions
        self._fixed = prompt_length
        self._prompt: Tensor | None = None
        self._lengths = [0] if prompt_length is None else prompt_length
        if isinstance(self._lengths, int):
            self._lengths = [self._lengths]
        self._start = 0
        self._width = 0

    def before_forward(self, _module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Note where the coming chunk stands; a forward pre-hook with keywords."""
        ids = kwargs.get("input_ids", args[0] if args else None)
        source = ids if ids is not None else kwargs.get("inputs_embeds")
        if source is None:
            return
        if self.positions != "all" and kwargs.get("cache_params") is not None:
            raise Unsupported(
                f"positions {self.positions!r} need a cache that counts its columns, which a state-"
                "space model such as Mamba lacks; use 'all', or run it with use_cache=False"
            )
        cache = kwargs.get("past_key_values")
        self._start = int(cache.get_seq_length()) if cache is not None else 0
        self._width = source.shape[1]
        if self._fixed is None and self._start == 0 and not self._continues(ids, self._width):
            self._lengths = [self._width]
            self._prompt = None if ids is None else ids.clone()

    def _continues(self, ids: Tensor | None, width: int) -> bool:
        return (
            ids is not None
            and self._prompt is not None
            and width > self._prompt.shape[1]
            and ids.shape[0] == self._prompt.shape[0]
            and torch.equal(ids[:, : self._prompt.shape[1]], self._prompt)
        )

    def mask(self, width: int, device: torch.device) -> Tensor | None:
        """Return True at the chunk's columns to steer, [1 or B, T, 1]; None when all are."""
        if self.positions == "all":
            return None
        at = torch.arange(self._start, self._start + width, device=device)[None]
        length = torch.tensor(self._lengths, device=device)[:, None]
        if self.positions == "prompt":
            chosen = at < length
        elif self.positions == "generated":
            chosen = at >= length
        else:
            chosen = at >= length - 1
        return chosen[..., None]
