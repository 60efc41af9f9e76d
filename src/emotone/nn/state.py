"""The state of a decoder as a value: nested tuples of tensors, batch first."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from torch import Tensor

S = TypeVar("S")


def select(state: S, rows: Tensor) -> S:
    """Return the state of other rows: copied, left out, or in another order.

    All of it moves together, so that no part of a state, such as ECM's internal memory, can stay
    behind when hypotheses change places in a beam.

    Args:
        state: A tensor with the batch first, None, or a tuple or `NamedTuple` of states.
        rows: Places in the old batch, one for each new row, [K] long.

    Returns:
        A state of the same structure with K rows.

    Raises:
        TypeError: If the state holds anything else, which could not be re-indexed.
    """
    return cast(S, _select(state, rows))


def _select(state: Any, rows: Tensor) -> Any:
    if state is None:
        return None
    if isinstance(state, Tensor) and state.dim() > 0:
        return state.index_select(0, rows.to(state.device))
    if isinstance(state, tuple):
        parts = [_select(part, rows) for part in cast("tuple[Any, ...]", state)]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    what = "a tensor without rows" if isinstance(state, Tensor) else type(state).__name__
    raise TypeError(f"a state holds {what}; use tensors with the batch first, tuples or None")
