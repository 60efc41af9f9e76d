"""Weights laid out for a processor's vector units, once and not in each pass.

A product of a few rows with a weight [out, in] spends most of its time on laying the weight out in
blocks. Done ahead, SmolLM2-135M writes eight replies at once 1.4 times as fast and one 1.15 times
(`python -m bench.steering`), and a row of such a product has the same bits whatever rows stand
beside it: the kernel depends on the layout and no longer on their number (tried up to 256 rows).

The price is a second copy of the weights, so large models keep one. The operators are oneDNN's, as
torch's own compiler uses them; where a build of torch has none, nothing changes but the time.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

#: Bytes of weights up to which a model gets a second copy of them.
MOST_BYTES = 1 << 31
#: Rows that the layout is chosen for.
_ROWS = 8
#: Values of a weight that are compared with what they were.
_PROBED = 8


class _Packed(NamedTuple):
    """A weight in blocks.

    Args:
        blocks: The weight, laid out.
        weight: What it was made of; held, so that no other weight gets its place in memory.
        place: Where that is.
        version: Its count of changes then.
        probe: Some of its values where they are, each of another row and another column, and
        bits: as they were.
    """

    blocks: Tensor
    weight: Tensor
    place: int
    version: int
    probe: np.ndarray
    bits: bytes

    def is_of(self, weight: Tensor) -> bool:
        """Tell whether a weight is what it was made of, unchanged.

        What is changed through `.data`, as peft merges adapters, counts no version; it is seen
        where it meets one of the probed values.
        """
        return (
            weight.data_ptr() == self.place
            and weight._version == self.version
            and self.probe.tobytes() == self.bits
        )


class PackedLinear(nn.Linear):
    """A linear map that reads its weight in blocks where no gradient of it is asked for."""

    _packed: _Packed | None = None

    def forward(self, input: Tensor) -> Tensor:
        """What `nn.Linear` computes, [..., in] to [..., out]."""
        # Looked up here, as this is called two hundred times a token.
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        if torch.compiler.is_compiling() or weight is None or not self._reads_blocks(weight):
            return super().forward(input)
        backward = torch.is_grad_enabled() and (
            input.requires_grad or (bias is not None and bias.requires_grad)
        )
        if backward or not (_fits(input) and input.numel()) or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        packed = self._packed
        if packed is None or not packed.is_of(weight):
            packed = self._packed = _pack(weight.detach())
        return _product()(input, packed.blocks, bias, "none", [], "")

    def _reads_blocks(self, weight: Tensor) -> bool:
        # An optimiser may change what learns without a trace, so it is not packed, and what was
        # packed before is not kept.
        known = self._packed
        if not weight.requires_grad and known is not None and weight.data_ptr() == known.place:
            return True
        if weight.requires_grad or not _fits(weight) or weight.is_inference():
            if known is not None:
                self._packed = None
            return False
        return weight.is_contiguous()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the blocks out of copies and pickles, which make their own."""
        return {name: value for name, value in vars(self).items() if name != "_packed"}


@cache
def _product() -> Any:
    return torch.ops.mkldnn._linear_pointwise.default


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
    for module in model.modules():
        if type(module) is PackedLinear:
            vars(module).pop("_packed", None)
            module.__class__ = nn.Linear  # pyright: ignore[reportAttributeAccessIssue]


def forget_packed(model: nn.Module) -> None:
    """Pack a model's weights anew when they are next read."""
    for module in model.modules():
        if type(module) is PackedLinear:
            module._packed = None


def is_plain_linear(module: Any) -> bool:
    """Tell whether a module holds its weight [out, in] as torch's own linear map does."""
    return type(module) in (nn.Linear, PackedLinear)


def _pack(weight: Tensor) -> _Packed:
    blocks = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    rows, columns = weight.shape
    stride = max(1, rows // _PROBED * columns + columns // _PROBED)
    probe = weight.numpy().reshape(-1)[columns // (2 * _PROBED) :: stride][:_PROBED]
    return _Packed(blocks, weight, weight.data_ptr(), weight._version, probe, probe.tobytes())


def _fits(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.is_cpu


def _available() -> bool:
    operators: Any = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(
        hasattr(operators, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
    )
