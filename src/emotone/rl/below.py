"""States below the lowest adapter, which are the same however much has been learned.

The replies of a rollout go through the model once for the policy, once for the reference and once
an epoch; the frozen blocks below the lowest adapter need be computed the first time only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_Key = tuple[int, ...]


class Below:
    """What the frozen lower blocks of a model made of some texts.

    Args:
        blocks: The blocks below the lowest adapter, in order; none keeps nothing.
        most: How many texts are kept; one more empties it.
    """

    def __init__(self, blocks: Sequence[nn.Module], most: int = 1024) -> None:
        self._blocks = list(blocks)
        self._most = most
        self._kept: dict[_Key, Tensor] | None = None
        self._tuple = False

    def start(self) -> None:
        """Forget all, and keep texts from here on.

        A rollout begins so; a step of training is then a function of what it starts from, and a
        resumed run repeats it bit for bit.
        """
        self._kept = {}

    @contextmanager
    def around(self, ids: Tensor, mask: Tensor) -> Iterator[None]:
        """Surround one pass of the model: skip the lower blocks if all its texts are known.

        Args:
            ids: Token ids, [B, T].
            mask: True at real tokens, [B, T].
        """
        if self._kept is None or not self._usable():
            yield
            return
        keys = [tuple(row[real].tolist()) for row, real in zip(ids.cpu(), mask.cpu(), strict=True)]
        if all(key in self._kept for key in keys):
            known = torch.cat([self._kept[key] for key in keys])
            states = known.new_zeros(*mask.shape, known.shape[-1])
            states[mask] = known
            with self._skipping((states,) if self._tuple else states):
                yield
            return
        made: list[Any] = []
        handle = self._blocks[-1].register_forward_hook(lambda _m, _given, out: made.append(out))
        try:
            yield
        finally:
            handle.remove()
        self._keep(self._kept, keys, mask, made[0])

    def _usable(self) -> bool:
        """Whether the lower blocks are a function of the text alone."""
        for block in self._blocks:
            for module in block.modules():
                # Hooks may move the states, and moved twice they would be wrong.
                if module._forward_hooks or module._forward_pre_hooks:
                    return False
                if module.training and _drops(module):
                    return False
        return bool(self._blocks)

    def _keep(
        self, kept: dict[_Key, Tensor], keys: Sequence[_Key], mask: Tensor, made: Any
    ) -> None:
        self._tuple = isinstance(made, tuple)
        states = (made[0] if self._tuple else made).detach()
        if len(kept) + len(keys) > self._most:
            kept.clear()
        for key, row, real in zip(keys, states, mask, strict=True):
            kept[key] = row[real].clone()

    @contextmanager
    def _skipping(self, states: Any) -> Iterator[None]:
        def forward(*_: Any, **__: Any) -> Any:
            return states

        with ExitStack() as stack:
            for block in self._blocks:
                own = block.__dict__.get("forward")
                block.forward = forward
                stack.callback(_restore, block, own)
            yield


def _restore(block: nn.Module, own: Any) -> None:
    if own is None:
        del block.forward
    else:
        block.forward = own


def _drops(module: nn.Module) -> bool:
    if isinstance(module, nn.Dropout):
        return module.p > 0
    return bool(getattr(module, "attention_dropout", 0.0))
