"""The two halves of an identifier's work: contexts to states, then responses and states to levels.

Contexts are longer than responses, so of a reply and its reference, or of several replies to one
context, reading the contexts costs most; it is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from emotone.judges.identifier_net import IdentifierNet
from emotone.models.token_ids import marked_ids

if TYPE_CHECKING:
    import numpy as np


def context_states(net: IdentifierNet, contexts: Sequence[str], *, batch: int) -> list[Tensor]:
    """States of each context, [C, d], in order; contexts of like length go together."""
    trunk = net.response if net.context is None else net.context
    if not contexts:
        return []
    rows = marked_ids(net.response.tokenizer, contexts, net.spec.max_context, keep="end")
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out: list[Tensor] = [torch.empty(0)] * len(rows)
    device = next(net.parameters()).device
    net.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            at = order[start : start + batch]
            ids, mask = trunk.pad([rows[i] for i in at])
            states = trunk.states(ids.to(device), mask.to(device))
            for i, state in zip(at, states, strict=True):
                out[i] = state[: len(rows[i])]
    return out


def response_logits(
    net: IdentifierNet,
    states: Sequence[Tensor],
    at: Sequence[int],
    responses: Sequence[str],
    *,
    batch: int,
) -> dict[str, np.ndarray]:
    """Level logits of each mechanism, [N, 3] in float64, in the responses' order.

    Responses of like length go together, so little is padding; the order does not change a score.

    Args:
        net: The network.
        states: Of `context_states`.
        at: Which context each response answers, [N].
        responses: The responses, [N].
        batch: Responses a forward pass.
    """
    import numpy as np

    out = {m: np.zeros((len(responses), 3)) for m in net.spec.mechanisms}
    if not responses:
        return out
    trunk, device = net.response, next(net.parameters()).device
    rows = marked_ids(trunk.tokenizer, responses, net.spec.max_response, keep="beginning")
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), len(states[at[i]])))
    net.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            ids, mask = (part.to(device) for part in trunk.pad([rows[i] for i in some]))
            chosen = [states[at[i]] for i in some]
            context = pad_sequence(chosen, batch_first=True)
            lengths = torch.tensor([len(c) for c in chosen])
            context_mask = (torch.arange(context.shape[1]) < lengths[:, None]).to(device)
            evidence = net.evidence(context, context_mask, trunk.states(ids, mask), mask)
            for mechanism, scores in evidence.items():
                out[mechanism][some] = scores.levels.cpu().double().numpy()
    return out
