"""Which columns of a batch are steered, counted from the start of the whole sequence.

A forward pass sees only a chunk: with a key-value cache one new token, without it everything so
far. Positions here are absolute, so that both give the same result.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from emotone.errors import EmotoneError, Unsupported

Positions = Literal["all", "prompt", "generated", "last"]
"""`all` columns; the `prompt`; `generated` tokens; `last`: the prompt's last token and every
generated one, which is what the paper's code does with a cache."""

POSITIONS: tuple[Positions, ...] = ("all", "prompt", "generated", "last")


#: Keywords by which a model takes a state that counts no columns: Mamba and xLSTM, RWKV, XLNet,
#: Reformer.
_UNCOUNTED = ("cache_params", "state", "mems", "past_buckets_states")


class Columns:
    """Follows a model's forward passes and tells which columns of the chunk to steer.

    The prompt is everything in the first pass of a sequence, up to its last real token. A later
    pass continues the sequence if it comes with a filled cache, or if it repeats the prompt's
    columns and adds some.

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
        lengths = [prompt_length or 0] if not isinstance(prompt_length, Sequence) else prompt_length
        self._lengths = torch.tensor(lengths)
        self._padding: Any = None
        self._start = 0
        self._width = 0
        self._thread = threading.get_ident()
        #: What was refused in a thread, such as that of generate_batch, whose errors nobody sees.
        self.refusal: EmotoneError | None = None

    def before_model(self, _module: nn.Module, _args: Any, kwargs: Mapping[str, Any]) -> None:
        """Look at what only the whole model is given; a forward pre-hook with keywords.

        Raises:
            Unsupported: If the columns of the coming pass cannot be counted.
        """
        if self.positions == "all":
            return
        self._padding = kwargs.get("attention_mask")
        if kwargs.get("cu_seq_lens_q") is not None:
            self.refuse(
                f"positions {self.positions!r} need one sequence a row, and this pass packs several"
                " into one, as generate_batch does; use 'all', or generate"
            )
        kept = kwargs.get("logits_to_keep", 0)
        if self._fixed is None and isinstance(kept, int) and kept > 1 and not self._begin(kwargs):
            self.refuse(
                f"positions {self.positions!r} cannot tell the prompt from guessed tokens in one "
                "first pass, as assisted generation makes; use 'all', or give prompt_length"
            )

    def before_forward(self, _module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Note where the coming chunk stands; a forward pre-hook of the decoder with keywords.

        Raises:
            Unsupported: If the columns of the coming pass cannot be counted.
        """
        if self.positions == "all":
            return
        ids = kwargs.get("input_ids", args[0] if args else None)
        source = ids if ids is not None else kwargs.get("inputs_embeds")
        if not isinstance(source, Tensor):
            self.refuse(
                f"positions {self.positions!r} need input_ids or inputs_embeds in each pass; "
                "use 'all'"
            )
        if any(kwargs.get(name) is not None for name in _UNCOUNTED):
            self.refuse(
                f"positions {self.positions!r} need a cache that counts its columns, which a state-"
                "space model such as Mamba lacks; use 'all', or run it with use_cache=False"
            )
        self._start = self._begin(kwargs)
        self._width = source.shape[1]
        if self._fixed is None and self._start == 0 and not self._continues(source):
            self._lengths = self._real(kwargs.get("attention_mask"), source)
            self._prompt = source.clone()

    def _real(self, given: Any, source: Tensor) -> Tensor:
        """Return the columns up to the last real token, of each row or, where equal, of all."""
        whole = torch.tensor([self._width])
        for mask in (given, self._padding):
            if isinstance(mask, Tensor) and mask.shape == source.shape[:2]:
                last = (mask != 0) * torch.arange(1, self._width + 1, device=mask.device)
                lengths = last.amax(1)
                return whole if bool((lengths == self._width).all()) else lengths
        return whole

    def _continues(self, source: Tensor) -> bool:
        prompt = self._prompt
        return (
            prompt is not None
            and self._width > prompt.shape[1]
            and source.shape[0] == prompt.shape[0]
            and source.shape[2:] == prompt.shape[2:]
            and torch.equal(source[:, : prompt.shape[1]], prompt)
        )

    def mask(self, width: int, device: torch.device) -> Tensor | None:
        """Return True at the chunk's columns to steer, [1 or B, T, 1]; None when all are.

        Raises:
            Unsupported: If the block's columns are not those of the chunk.
        """
        if self.positions == "all":
            return None
        if width != self._width:
            self.refuse(
                f"positions {self.positions!r} need a column a token, and a block has {width} for "
                f"{self._width} tokens; use 'all'"
            )
        at = torch.arange(self._start, self._start + width, device=device)[None]
        length = self._lengths.to(device)[:, None]
        if self.positions == "prompt":
            chosen = at < length
        elif self.positions == "generated":
            chosen = at >= length
        else:
            chosen = at >= length - 1
        return chosen[..., None]

    def _begin(self, kwargs: Mapping[str, Any]) -> int:
        """Return how many columns the cache of a pass already holds."""
        cache: Any = kwargs.get("past_key_values")
        if cache is None:
            return 0
        try:
            return int(cache.get_seq_length())
        except (AttributeError, ValueError):  # none, or one of linear attention alone
            self.refuse(
                f"positions {self.positions!r} need a cache that counts its columns, which "
                f"{type(cache).__name__} does not here; use 'all', or run it with use_cache=False"
            )

    def refuse(self, sentence: str, kind: type[EmotoneError] = Unsupported) -> NoReturn:
        """Raise, and keep the error if this is another thread, where it may be lost."""
        error = kind(sentence)
        if threading.get_ident() != self._thread:
            self.refusal = error
        raise error
