"""Prove on the model itself that an attachment acts as asked, before anybody relies on it."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from emotone.errors import SteeringError
from emotone.steering.attach import Attachment
from emotone.steering.layers import Site, site_module
from emotone.steering.record import hidden

_proved: WeakKeyDictionary[nn.Module, set[Any]] = WeakKeyDictionary()

#: Test dose as a fraction of the activation's length: large enough to survive bfloat16.
_TEST_DOSE = 0.1
#: Rounding allowed, in units of the type's epsilon times the largest entry of the activation. A
#: bias joins the sum inside a matrix product, so the order of that sum, too, may change.
_ULPS = {torch.float32: 64.0, torch.float64: 64.0}
_ULPS_HALF = 4.0


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

    Dropout fails the first, so the message then asks for `model.eval()`.

    Raises:
        SteeringError: If one of the three does not hold; the message says where.
    """
    key = (type(attachment).__name__, attachment.operation, site, chosen)
    if key in _proved.setdefault(model, set()):
        return
    rows = displacement.shape[0] if displacement.dim() == 3 else 1
    device = next(model.parameters()).device
    vocabulary = int(model.config.vocab_size)  # pyright: ignore
    ids = (torch.arange(5, device=device) * 7 + 3).remainder(vocabulary).repeat(rows, 1)
    modules = [site_module(model, listed[i], site) for i in chosen]

    attachment.detach()
    plain, inputs, outputs = _observe(model, modules, ids)
    attachment.attach()

    attachment.start_count()
    attachment.set(torch.zeros_like(displacement))
    zero, _, _ = _observe(model, modules, ids)
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
        attachment.everywhere = True
    try:
        _moves(attachment, modules, inputs, outputs, chosen, displacement)
    finally:
        if attachment.counts is True:
            attachment.everywhere = False
        attachment.set(displacement)
    _proved[model].add(key)


def _moves(
    attachment: Attachment,
    modules: list[nn.Module],
    inputs: list[tuple[Any, Any]],
    outputs: list[Tensor],
    chosen: tuple[int, ...],
    displacement: Tensor,
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
        after = hidden(module(*args, **kwargs))
        push = test[..., index, :].to(before.device)
        push = push[:, None, :] if push.dim() == 2 else push
        wanted = before.float() + push
        if keep_norm:
            own, new = before.float().norm(dim=-1), wanted.norm(dim=-1).clamp_min(1e-12)
            wanted = wanted * (own / new)[..., None]
        # Position 0 carries abnormally large activations that would hide an error.
        gap = (after.float() - wanted)[:, 1:].abs().amax()
        scale = wanted[:, 1:].abs().amax()
        ulps = _ULPS.get(before.dtype, _ULPS_HALF)
        if gap > ulps * torch.finfo(before.dtype).eps * scale:
            raise SteeringError(
                f"block {index} moved {gap.item():.1e} away from the displacement asked "
                f"(activations up to {scale.item():.1e}); the model's family needs its own entry "
                "in ARCHITECTURES, or tier='hooks'"
            )


def _observe(
    model: nn.Module, modules: list[nn.Module], ids: Tensor
) -> tuple[Tensor, list[tuple[Any, Any]], list[Tensor]]:
    """Run the model and return logits, and the inputs and output of each module."""
    inputs: list[tuple[Any, Any]] = [((), {})] * len(modules)
    outputs: list[Tensor] = [torch.empty(0)] * len(modules)

    def keep(slot: int):
        def hook(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            inputs[slot] = (args, dict(kwargs))
            outputs[slot] = hidden(output).clone()

        return hook

    handles = [m.register_forward_hook(keep(i), with_kwargs=True) for i, m in enumerate(modules)]
    try:
        mask = torch.ones_like(ids)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.clone()
    finally:
        for handle in handles:
            handle.remove()
    return logits, inputs, outputs
