"""Weights laid out for a processor's vector units, once and not in each pass.

A product of a few rows with a weight [out, in] spends most of its time on laying the weight out in
blocks. Done ahead, SmolLM2-135M writes eight replies at once 1.46 times as fast and one 1.13 times
(`python -m bench.steering`), and a row of such a product has the same bits whatever rows stand
beside it: the kernel depends on the layout and no longer on their number (tried up to 256 rows).

The price is a second copy of the weights, so large models keep one. The operators are oneDNN's, as
torch's own compiler uses them; where a build of torch has none, nothing changes but the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

#: Bytes of weights up to which a model gets a second copy of them.
MOST_BYTES = 1 << 31
#: Rows that the layout is chosen for.
_ROWS = 8
#: Values of a weight that are compared with what they were.
_PROBED = 8
_PLACES = np.arange(_PROBED)


class _Packed(NamedTuple):
    """A weight in blocks.

    Args:
        blocks: The weight, laid out.
        weight: What it was made of; held, so that no other weight gets its place in memory.
        version: Its count of changes then.
        probed: Bits of eight of its values then, from all over it.
    """

    blocks: Tensor
    weight: Tensor
    version: int
    probed: bytes

    def is_of(self, weight: Tensor) -> bool:
        """Tell whether a weight is what it was made of, unchanged.

        What is changed through `.data`, as peft merges adapters, counts no version; it is seen
        where it meets one of the probed values.
        """
        return (
            weight.data_ptr() == self.weight.data_ptr()
            and weight._version == self.version
            and _probe(weight) == self.probed
        )


_PACKED: WeakKeyDictionary[nn.Module, _Packed] = WeakKeyDictionary()


class PackedLinear(nn.Linear):
    """A linear map that reads its weight in blocks where no gradient of it is asked for."""

    def forward(self, input: Tensor) -> Tensor:
        """What `nn.Linear` computes, [..., in] to [..., out]."""
        weight, bias = self.weight, self.bias
        if torch.compiler.is_compiling() or not self._reads_blocks(input):
            return nn.functional.linear(input, weight, bias)
        packed = _PACKED.get(self)
        if packed is None or not packed.is_of(weight):
            packed = _PACKED[self] = _pack(weight.detach())
        return torch.ops.mkldnn._linear_pointwise(input, packed.blocks, bias, "none", [], "")

    def _reads_blocks(self, input: Tensor) -> bool:
        weight, bias = self.weight, self.bias
        # An optimiser may change what learns without a trace, so it is not packed, and what was
        # packed before is not kept.
        fits = _fits(weight) and weight.is_contiguous() and not weight.is_inference()
        if weight.requires_grad or not fits:
            _PACKED.pop(self, None)
            return False
        backward = torch.is_grad_enabled() and (
            input.requires_grad or (bias is not None and bias.requires_grad)
        )
        return (
            not backward
            and _fits(input)
            and bool(input.numel())
            and not torch.is_autocast_enabled("cpu")
        )


def pack_linear_maps(model: nn.Module, *, most_bytes: int = MOST_BYTES) -> int:
    """Let a model's linear maps read packed weights, in place, where these learn nothing.

    Weights stay where they are: what saves or edits them sees no difference, and one that has
    changed is packed anew when it is next read. Whoever changes a part of one through `.data` calls
    `forget_packed`.

    Args:
        model: On any device; maps in float32 on a CPU are meant, and others stay as they are.
        most_bytes: Of a model whose maps are larger none is packed.

    Returns:
        Number of maps.
    """
    # Subclasses, such as quantised maps, have products of their own.
    maps = [m for m in model.modules() if type(m) is nn.Linear and _fits(m.weight)]
    if not _available() or sum(m.weight.nbytes for m in maps) > most_bytes:
        return 0
    for module in maps:
        module.__class__ = PackedLinear
    return len(maps)


def unpack_linear_maps(model: nn.Module) -> None:
    """Undo `pack_linear_maps`."""
    forget_packed(model)
    for module in model.modules():
        if type(module) is PackedLinear:
            module.__class__ = nn.Linear  # pyright: ignore[reportAttributeAccessIssue]


def forget_packed(model: nn.Module) -> None:
    """Pack a model's weights anew when they are next read."""
    for module in model.modules():
        _PACKED.pop(module, None)


def is_plain_linear(module: Any) -> bool:
    """Tell whether a module holds its weight [out, in] as torch's own linear map does."""
    return type(module) in (nn.Linear, PackedLinear)


def _pack(weight: Tensor) -> _Packed:
    blocks = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    return _Packed(blocks, weight, weight._version, _probe(weight))


def _probe(weight: Tensor) -> bytes:
    """Bits of values of a weight [out, in], each of another row and another column."""
    rows, columns = weight.shape
    values = weight.detach().numpy()
    return values[_PLACES * rows // _PROBED, (2 * _PLACES + 1) * columns // (2 * _PROBED)].tobytes()


def _fits(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu"


def _available() -> bool:
    operators: Any = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(
        hasattr(operators, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
    )
