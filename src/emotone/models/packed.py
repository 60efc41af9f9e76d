"""Weights laid out for a processor's vector units, once and not in each pass.

A product of a few rows with a weight [out, in] spends most of its time on laying the weight out in
blocks. Done ahead, SmolLM2-135M writes eight replies at once 1.46 times as fast and one 1.13 times
(`python -m bench.steering`), and these products have the same bits for a row whatever rows stand
beside it, as the kernel no longer depends on their number.

The price is a second copy of the weights, so large models keep one. The operators are oneDNN's, as
torch's own compiler uses them; where a build of torch has none, nothing changes but the time.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

#: Bytes of weights up to which a model gets a second copy of them.
MOST_BYTES = 1 << 31
#: Rows that the layout is chosen for; it is as fast for one, and not slower for hundreds.
_ROWS = 8


class _Packed(NamedTuple):
    """A weight in blocks, and which weight it was made of."""

    blocks: Tensor
    place: int
    version: int


_PACKED: WeakKeyDictionary[nn.Module, _Packed] = WeakKeyDictionary()


def pack_linear_maps(model: nn.Module, *, most_bytes: int = MOST_BYTES) -> int:
    """Let a model's linear maps read packed weights where their own weights learn nothing.

    Weights stay where they are: what saves or edits them sees no difference, and one that was
    changed in place is packed anew when it is next read. Changes through `.data` are seen by
    nobody: call `forget_packed` after them. A weight that asks for a gradient is never packed, as
    optimisers change it without a trace too.

    Args:
        model: On any device; maps in float32 on a CPU are meant, and others stay as they are.
        most_bytes: Of a model whose maps are larger none is packed.

    Returns:
        Number of maps.
    """
    # Subclasses, such as quantised maps, have products of their own.
    maps = {m for m in model.modules() if type(m) is nn.Linear and _fits(m.weight)}
    weights = {m.weight.data_ptr(): m.weight.nbytes for m in maps}
    if not _available() or sum(weights.values()) > most_bytes:
        return 0
    for module in maps:
        # A bound method, so that a deep copy of the model is bound to its own maps.
        module.forward = MethodType(_forward, module)
    return len(maps)


def forget_packed(model: nn.Module) -> None:
    """Pack a model's weights anew when they are next read."""
    for module in model.modules():
        _PACKED.pop(module, None)


def unpack_linear_maps(model: nn.Module) -> None:
    """Undo `pack_linear_maps`."""
    forget_packed(model)
    for module in model.modules():
        if getattr(vars(module).get("forward"), "__func__", None) is _forward:
            del module.forward


def _forward(self: nn.Linear, input: Tensor) -> Tensor:
    """What `nn.Linear` computes, [..., in] to [..., out]."""
    weight, bias = self.weight, self.bias
    learns = weight.requires_grad or (
        torch.is_grad_enabled()
        and (input.requires_grad or (bias is not None and bias.requires_grad))
    )
    if learns or not _fits(input) or not input.numel() or torch.is_autocast_enabled("cpu"):
        return nn.functional.linear(input, weight, bias)
    packed = _PACKED.get(self)
    if packed is None or packed.version != weight._version or packed.place != weight.data_ptr():
        if not _fits(weight):
            return nn.functional.linear(input, weight, bias)
        packed = _PACKED[self] = _pack(weight)
    return torch.ops.mkldnn._linear_pointwise(input, packed.blocks, bias, "none", [], "")


def _pack(weight: Tensor) -> _Packed:
    blocks = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    return _Packed(blocks, weight.data_ptr(), weight._version)


def _fits(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu"


def _available() -> bool:
    operators: Any = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(
        hasattr(operators, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
    )
