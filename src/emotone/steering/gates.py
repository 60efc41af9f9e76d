"""Low-rank maps beside a model's own, with a gate for each row of a batch.

    y <- y + B (g * (A x))       A [E r, in], B [out, E r], g [rows, E r]: each dose r times

at every token. All emotions stand side by side, so that a batch may hold another mix in each row,
and a mix is the concatenation of their ranks. Emotions whose dose is 0 in all rows cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from emotone.errors import SteeringError
from emotone.steering.attach import CountedHooks, forget_compiled, rows_for
from emotone.steering.layers import decoder, hooked
from emotone.steering.positions import Columns
from emotone.steering.selftest import probe_ids, rounding, running

_proved: WeakKeyDictionary[nn.Module, set[tuple[str, ...]]] = WeakKeyDictionary()


class Factors(NamedTuple):
    """The low-rank maps of all emotions beside one map of the model.

    Args:
        down: A of each emotion, [E, r, in].
        up: B of each emotion, [E, out, r]; dose 1 is B A.
    """

    down: Tensor
    up: Tensor

    def stacked(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return A [E' r, in] and B [out, E' r] of some emotions side by side."""
        down, up = self.down[list(chosen)], self.up[list(chosen)]
        return down.flatten(0, 1), up.transpose(0, 1).flatten(1)


def gated(x: Tensor, down: Tensor, up: Tensor, gate: Tensor) -> Tensor:
    """Compute B (g * (A x)).

    Args:
        x: Input of the map, [B, T, in].
        down: A, [R, in].
        up: B, [out, R].
        gate: g, [1 or B, 1, R].

    Returns:
        [B, T, out].
    """
    return ((x @ down.T) * gate) @ up.T


def maps_of(model: nn.Module, maps: Mapping[str, Factors]) -> list[nn.Module]:
    """Return the model's own maps that stand at the paths of adapters.

    Raises:
        SteeringError: If there is none at a path, or it has another shape.
    """
    found: list[nn.Module] = []
    for path, factors in maps.items():
        try:
            module: Any = model.get_submodule(path)
            shape = tuple(module.weight.shape)
        except AttributeError:
            raise SteeringError(
                f"the model has no map {path}; take the model that the mood adapters were made for"
            ) from None
        need = (factors.up.shape[1], factors.down.shape[2])
        packed = not module.weight.is_floating_point()  # quantised weights tell no shape
        if shape not in (need, need[::-1]) and not packed:  # GPT-2's hold theirs the other way
            raise SteeringError(
                f"the map {path} of the model is {list(shape)}, and the mood adapters are for one"
                f" of {list(need)}; take the model that they were made for"
            )
        found.append(module)
    return found


class GateAttachment(CountedHooks):
    """Low-rank maps tied to a model by a forward hook on each map that has one.

    Args:
        model: The model.
        maps: Path of a map -> the adapters beside it.
        push: Dose of each emotion, [E] for all rows or [B, E] for each.
    """

    def __init__(self, model: nn.Module, maps: Mapping[str, Factors], push: Tensor) -> None:
        self._decoder = decoder(model)
        self._modules = maps_of(model, maps)
        self._paths, self._maps = tuple(maps), list(maps.values())
        super().__init__(len(maps), Columns("all"))
        self._stacked: list[tuple[Tensor, Tensor]] = []
        self._chosen: tuple[int, ...] = ()
        self.set(push)

    def set(self, push: Tensor) -> None:
        """Change the doses, [E] or [B, E]."""
        rows = push if push.dim() == 2 else push[None]
        chosen = tuple(int(i) for i in rows.any(0).nonzero()[:, 0])
        if chosen != self._chosen:
            self._chosen = chosen
            self._stacked = [factors.stacked(chosen) for factors in self._maps]
        rank = self._maps[0].down.shape[1]
        self._rows = rows[:, list(chosen)].repeat_interleave(rank, 1)[:, None]
        self._gate = self._rows

    def attach(self) -> None:
        """Register every hook."""
        forget_compiled()
        self._handles.append(self._decoder.register_forward_pre_hook(self._count))
        for slot, module in enumerate(self._modules):
            self._handles.append(module.register_forward_hook(self._hook(slot)))

    def _count(self, _module: nn.Module, _args: Any) -> None:
        self.passes += 1

    def _hook(self, slot: int) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_module: nn.Module, args: Any, output: Tensor) -> Tensor:
            self._fired[slot] += 1
            if not self._chosen:
                return output
            x = args[0].to(output.dtype)
            down, up = self._stacked[slot]
            if down.dtype != x.dtype or down.device != x.device:
                # Maps may lie on several devices, and be computed in several types.
                down, up = (part.to(x.device, x.dtype) for part in (down, up))
                self._stacked[slot] = down, up
            return output + gated(x, down, up, self._gate_for(x))

        return hook

    def _gate_for(self, x: Tensor) -> Tensor:
        """Return the gates of an input's rows, [1 or B, 1, R]."""
        gate = self._gate
        if len(gate) not in (1, len(x)):
            try:
                gate = rows_for(self._rows, len(x), self.copies)
            except SteeringError as error:
                self._columns.refuse(str(error), SteeringError)
        if len(gate) > 1 and x.dim() != 3:
            self._columns.refuse(
                f"a map is given {list(x.shape)}, in which rows cannot be told apart; give one mix"
                " for all rows"
            )
        if gate.dtype != x.dtype or gate.device != x.device or gate is not self._gate:
            self._gate = gate = gate.to(x.device, x.dtype)
        return gate

    def finish(self) -> None:
        """Raise if a pass was refused, or the model ran and a map did not act."""
        if silent := self.silent():
            raise SteeringError(
                f"the model ran {self.passes} passes, but the adapters beside"
                f" {self._paths[silent[0]]} never acted; use a model whose maps are called as"
                " modules"
            )

    # -- proof -------------------------------------------------------------------------------

    @torch.inference_mode()
    def prove(self, model: nn.Module, push: Tensor) -> None:
        """Test an attached steering on the model itself, once for each set of maps.

        Each map, called once in a pass, moves by exactly sum_e B_e A_e x.

        Args:
            model: The model, with hooks attached.
            push: What is set when it is over.

        Raises:
            Unsupported: If the model does not run on token ids alone.
            SteeringError: If a map was never called, or moved in another way.
        """
        proved = _proved.setdefault(model, set())
        if self._paths in proved:
            return
        seen: dict[int, tuple[Tensor, Tensor]] = {}

        def keep(slot: int) -> Callable[[nn.Module, Any, Any], None]:
            def hook(_module: nn.Module, args: Any, output: Tensor) -> None:
                seen[slot] = (args[0].clone(), output.clone())

            return hook

        self.set(torch.zeros(len(self._maps[0].down)))
        self.start_count()
        ids = probe_ids(model)
        with hooked(self._modules, keep), running():
            model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        wrong = [p for p, n in zip(self._paths, self._fired, strict=True) if n != 1]
        if wrong or self.passes != 1:
            raise SteeringError(
                f"the map {wrong[0] if wrong else 'of the decoder'} was not called exactly once in"
                " a pass; use a model whose maps are called as modules"
            )
        self.set(torch.ones(len(self._maps[0].down)))
        for slot, (path, module) in enumerate(zip(self._paths, self._modules, strict=True)):
            x, before = seen[slot]
            down, up = (part.to(x.device, x.dtype).double() for part in self._maps[slot])
            wanted = before.double() + torch.einsum("...i,eri,eor->...o", x.double(), down, up)
            gap = (module(x).double() - wanted).abs().max().item()
            if gap > rounding(before.dtype) * wanted.abs().max().item():
                raise SteeringError(
                    f"the map {path} moved {gap:.1e} away from what its adapters give; use a model"
                    " whose maps nothing else changes, or call model.eval()"
                )
        self.set(push)
        proved.add(self._paths)


@contextmanager
def beside(modules: Sequence[nn.Module], added: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
    """Add added(i, x) to what map i gives for x inside, with gradients; for training."""

    def hook(index: int) -> Callable[[nn.Module, Any, Any], Tensor]:
        return lambda _module, args, output: output + added(index, args[0])

    with hooked(modules, hook):
        yield
