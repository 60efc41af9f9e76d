"""Steering that stays on a model, with another push for each row of each pass.

What `emotone.lm.batching` needs: rows come and go between passes, and a row's push may change from
token to token. A reader may listen in: what it hears before and after the push, token by token.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from emotone.steering.apply import claimed
from emotone.steering.layers import blocks, unwrapped
from emotone.steering.listen import Listener
from emotone.steering.moods import Moods
from emotone.steering.positions import Columns, Positions
from emotone.steering.record import hidden


class _Offsets(Columns):
    """Columns that are told where they stand, as the rows of a pass began at different times."""

    def __init__(self, positions: Positions) -> None:
        super().__init__(positions)
        self.offsets: Tensor | None = None

    def before_forward(self, _module: nn.Module, args: Any, kwargs: Any) -> None:
        pass

    def mask(self, width: int, device: torch.device) -> Tensor | None:
        offsets = self.offsets
        if offsets is None or offsets.shape[1] != width or self.positions == "all":
            return None
        if self.positions == "prompt":
            chosen = offsets < 0
        else:
            chosen = offsets >= (0 if self.positions == "generated" else -1)
        return None if chosen.all() else chosen[..., None].to(device)


class LiveSteering:
    """A model whose rows are each pushed their own way, pass by pass.

    Args:
        model: The model; steered by nothing else meanwhile.
        vectors: Vectors or mood adapters; where they act is that of all rows.

    Raises:
        SteeringError: When it begins, if the model is steered already, or would not act as asked.
    """

    def __init__(self, model: nn.Module, vectors: Moods) -> None:
        vectors.check_model(model)
        self._model = unwrapped(model)
        self._listed = blocks(self._model)
        self._nothing = vectors.push({})
        self._columns = _Offsets(vectors.card.positions)
        self._attachment, self._prove = vectors.attached(self._model, self._columns)
        self._set: list[int] = []
        self._listener = vectors.listener
        self._before = self._after = torch.empty(0)

    @contextmanager
    def on(self) -> Iterator[LiveSteering]:
        """Steer for the length of a `with` block; the model is then bit for bit as it was."""
        with claimed(self._model):
            handles: list[Any] = []
            try:
                self._attachment.attach()
                self._prove()
                self.rest()
                handles += self._read_before()
                yield self
            finally:
                for handle in handles:
                    handle.remove()
                self._attachment.detach()

    def before(self, pushes: Sequence[Tensor | None], offsets: Tensor) -> None:
        """Prepare a pass: see `emotone.lm.batching.Pusher`; pushes are those of `Moods.push`.

        A push is known by its identity, so change one by giving another tensor.
        """
        self._columns.offsets = offsets
        if self._set != (key := [id(push) for push in pushes]):
            rows = [self._nothing if push is None else push for push in pushes]
            self._attachment.set(torch.stack(rows))
            self._set, self._pushes = key, list(pushes)  # held, so that no other gets their id

    def rest(self) -> None:
        """Push nothing, until `before` is called again."""
        self._columns.offsets, self._set = None, []
        self._attachment.set(self._nothing[None])

    def prefix_key(self, push: Tensor | None) -> Hashable:
        """Return what a prompt's activations but those of its last token depend on, beside it."""
        if push is None or self._columns.positions in ("last", "generated"):
            return None
        return push.numpy().tobytes()

    # -- what is heard -----------------------------------------------------------------------

    def heard(self) -> tuple[Tensor, Tensor] | None:
        """Read the last token of each row of the last pass, before and after its push.

        Returns:
            Probabilities of the listener's labels, [B, E] each; None where there is no listener.
            It was taught means over whole replies, so one token says little and all say much.
        """
        if self._listener is None or not len(self._before):
            return None
        return tuple(self._listener.logprobs(state).exp() for state in (self._before, self._after))  # pyright: ignore[reportReturnType]

    @property
    def listener(self) -> Listener | None:
        """What listens in."""
        return self._listener

    def _read_before(self) -> list[Any]:
        """Register a hook that sees the block's own output, and one that sees the pushed one."""
        if self._listener is None:
            return []
        block = self._listed[self._listener.block]

        def own(_module: nn.Module, _args: Any, output: Any) -> None:
            self._before = hidden(output)[:, -1].float().cpu()

        def pushed(_module: nn.Module, _args: Any, output: Any) -> None:
            self._after = hidden(output)[:, -1].float().cpu()

        first = block.register_forward_hook(own, prepend=True)
        return [first, block.register_forward_hook(pushed)]
