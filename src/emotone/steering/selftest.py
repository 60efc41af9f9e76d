"""Prove on the model itself that an attachment acts as asked, before anybody relies on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from emotone.errors import SteeringError, Unsupported
from emotone.steering.attach import Attachment
from emotone.steering.layers import Site, hooked, site_module, stream, text_config
from emotone.steering.record import hidden

#: Activations of the chosen blocks on the test's tokens, [T, d] each, by model and attachment.
_proved: WeakKeyDictionary[nn.Module, dict[Any, list[Tensor]]] = WeakKeyDictionary()

_COLUMNS = 5

#: Test dose as a fraction of the activation's length: large enough to survive bfloat16.
_TEST_DOSE = 0.1
#: Rounding allowed, in units of the type's epsilon times the largest entry of the activation. A
#: bias joins the sum inside a matrix product, so the order of that sum, too, may change.
_ULPS = {torch.float32: 64.0, torch.float64: 64.0}
_ULPS_HALF = 4.0
#: Least part of a displacement that must be left after rounding to the activation's type.
_LEAST = 0.5


@torch.inference_mode()
def verify(
    model: nn.Module,
    attachment: Attachment,
    listed: list[nn.Module],
    chosen: tuple[int, ...],
    site: Site,
    displacement: Tensor,
) -> None:
    """Test an attached steering once for each model, tier, site and set of blocks.

    1. With a zero displacement the logits equal the plain model's, bit for bit.
    2. Each chosen block, given the same input, moves by exactly the displacement.
    3. Every chosen block acted in every pass.

    Dropout fails the first, so the message then asks for `model.eval()`. Each time it also tests
    that the displacement is not lost in rounding. A compiled model is tested uncompiled.

    Raises:
        Unsupported: If the model cannot be tested: it does not run on token ids alone, or a block
            does not hand on [B, T, d].
        SteeringError: If one of the three does not hold; the message says where.
    """
    key = (type(attachment).__name__, attachment.operation, site, chosen)
    proved = _proved.setdefault(model, {})
    if key not in proved:
        with _uncompiled():
            proved[key] = _test(model, attachment, listed, chosen, site, displacement)
    _survives(proved[key], displacement[..., list(chosen), :])


def _test(
    model: nn.Module,
    attachment: Attachment,
    listed: list[nn.Module],
    chosen: tuple[int, ...],
    site: Site,
    displacement: Tensor,
) -> list[Tensor]:
    """Do the three tests and return each block's own activation of one row, [T, d]."""
    rows = displacement.shape[0] if displacement.dim() == 3 else 1
    ids = probe_ids(model, rows)
    modules = [site_module(model, listed[i], site) for i in chosen]
    own = stream(model) if site == "resid" else None

    attachment.detach()
    plain, inputs, outputs = _observe(model, modules, ids, own)
    attachment.attach()
    for index, state in zip(chosen, outputs, strict=True):
        if not state.dim():
            raise SteeringError(
                f"block {index} did not act in a pass; use a model whose blocks are called as "
                "modules"
            )
        if state.shape != (rows, _COLUMNS, displacement.shape[-1]):
            raise Unsupported(
                f"block {index} hands on {list(state.shape)} for {rows} rows of {_COLUMNS} tokens, "
                f"not [rows, tokens, {displacement.shape[-1]}]; this family cannot be steered yet"
            )

    attachment.start_count()
    attachment.set(torch.zeros_like(displacement))
    zero, _, _ = _observe(model, modules, ids, own)
    if not torch.equal(zero, plain):
        if any(module.training for module in model.modules()):
            raise SteeringError(
                "the model is in training mode, where dropout makes each pass another; call "
                "model.eval() before steering"
            )
        worst = (zero.float() - plain.float()).abs().max().item()
        raise SteeringError(
            f"steering by nothing changed the logits by {worst:.1e}; "
            "use another tier, or report this model"
        )
    if attachment.counts is True:
        silent = [i for i, n in zip(chosen, attachment.fired(), strict=True) if n != 1]
        if silent:
            raise SteeringError(
                f"blocks {silent} did not act exactly once in a pass; "
                "use a model whose blocks are called as modules"
            )
        if attachment.passes != 1:
            raise SteeringError(
                f"the decoder ran {attachment.passes} times in a pass, so that its columns cannot "
                "be counted; use a model whose decoder is called as a module"
            )
        attachment.everywhere = True
    try:
        _moves(attachment, modules, inputs, outputs, chosen, displacement, own)
    finally:
        if attachment.counts is True:
            attachment.everywhere = False
        attachment.set(displacement)
    return [state[0].clone() for state in outputs]


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run what was compiled as it was written: compiled kernels round in another order."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _survives(states: list[Tensor], asked: Tensor) -> None:
    """Raise if rounding to the activations' type takes most of a displacement, [(B,) L, d].

    What is added to a number of 8 bits and is less than half of its last bit is lost; of a small
    displacement only the entries beside small numbers are left.
    """
    if states[0].dtype in (torch.float32, torch.float64):
        return
    left = total = torch.zeros(asked.shape[:-2])
    for slot, state in enumerate(states):
        before = state[1:]
        push = asked[..., slot, :].to(before.device)
        after = before + push.to(before.dtype)[..., None, :]
        moved = (after.float() - before.float()).mean(-2)
        left = left + (moved * push.float()).sum(-1).cpu()
        total = total + push.float().square().sum(-1).cpu()
    lost = (total > 0) & (left < _LEAST * total)
    if lost.any():
        share = (left[lost] / total[lost]).min().item()
        raise SteeringError(
            f"of the displacement only {max(share, 0.0):.0%} is left when it is rounded to "
            f"{str(states[0].dtype).removeprefix('torch.')}; use a larger intensity, 0, or load "
            "the model in float32"
        )


def _moves(
    attachment: Attachment,
    modules: list[nn.Module],
    inputs: list[tuple[Any, Any]],
    outputs: list[Tensor],
    chosen: tuple[int, ...],
    displacement: Tensor,
    own: int | None,
) -> None:
    keep_norm = attachment.operation == "keep_norm"
    test = displacement.float().clone()
    for index, before in zip(chosen, outputs, strict=True):
        length = before[:, 1:].float().norm(dim=-1).median()
        push = test[..., index, :]
        size = push.norm(dim=-1, keepdim=True).clamp_min(1e-30)
        test[..., index, :] = torch.where(push.abs().amax() > 0, push / size, push) * (
            _TEST_DOSE * length.to(push.device)
        )
    attachment.set(test)
    for index, module, (args, kwargs), before in zip(chosen, modules, inputs, outputs, strict=True):
        after = _activation(module(*args, **kwargs), own)
        push = test[..., index, :].to(before.device)
        push = push[:, None, :] if push.dim() == 2 else push
        wanted = before.float() + push
        if keep_norm:
            old, new = before.float().norm(dim=-1), wanted.norm(dim=-1).clamp_min(1e-12)
            wanted = wanted * (old / new)[..., None]
        # Position 0 carries abnormally large activations that would hide an error.
        gap = (after.float() - wanted)[:, 1:].abs().amax()
        scale = wanted[:, 1:].abs().amax()
        if gap > rounding(before.dtype) * scale:
            raise SteeringError(
                f"block {index} moved {gap.item():.1e} away from the displacement asked "
                f"(activations up to {scale.item():.1e}); the model's family needs its own entry "
                "in ARCHITECTURES, or tier='hooks'"
            )


def _activation(output: Any, own: int | None) -> Tensor:
    state = hidden(output)
    if not isinstance(state, Tensor):
        raise Unsupported(
            f"a block hands on a {type(state).__name__}, not a tensor; this family cannot be "
            "steered yet"
        )
    return state if own is None else state[own]


def _observe(
    model: nn.Module, modules: list[nn.Module], ids: Tensor, own: int | None
) -> tuple[Tensor, list[tuple[Any, Any]], list[Tensor]]:
    """Run the model and return logits, and the inputs and output of each module."""
    inputs: list[tuple[Any, Any]] = [((), {})] * len(modules)
    outputs: list[Tensor] = [torch.empty(())] * len(modules)

    def keep(slot: int):
        def hook(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            inputs[slot] = (args, dict(kwargs))
            outputs[slot] = _activation(output, own).clone()

        return hook

    with hooked(modules, keep, with_kwargs=True), running():
        mask = torch.ones_like(ids)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.clone()
    return logits, inputs, outputs


def probe_ids(model: nn.Module, rows: int = 1) -> Tensor:
    """Return a few token ids that any model knows, [rows, 5]."""
    places = (parameter.device for parameter in model.parameters())
    device = next((place for place in places if place.type != "meta"), torch.device("cpu"))
    vocabulary = int(text_config(model).vocab_size)
    return (torch.arange(_COLUMNS, device=device) * 7 + 3).remainder(vocabulary).repeat(rows, 1)


def rounding(dtype: torch.dtype) -> float:
    """Return the rounding that a test allows, as a share of the largest entry."""
    return _ULPS.get(dtype, _ULPS_HALF) * torch.finfo(dtype).eps


@contextmanager
def running() -> Iterator[None]:
    """Run a model on token ids alone inside.

    Raises:
        Unsupported: If it does not run so.
    """
    try:
        yield
    except (TypeError, ValueError, AttributeError, RuntimeError, IndexError, KeyError) as error:
        if type(error).__module__ != "builtins":  # such as memory that is full: it says what it is
            raise
        raise Unsupported(
            f"the model does not run on a few token ids alone ({_first_line(error)}); steer a "
            "causal language model that does"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
