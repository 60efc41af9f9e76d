"""Contexts that an identifier has read once, so that many responses to them cost only their own.

Contexts are longer than responses, so of a reply and its reference, or of several replies to one
context, reading the contexts costs most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from emotone.judges.empathy_model import IdentifierNet, encode

if TYPE_CHECKING:
    import numpy as np

    from emotone.judges.empathy import TrainedIdentifier
    from emotone.types import EmpathyLevels


@dataclass(frozen=True, slots=True, eq=False)
class HeardContexts:
    """What `TrainedIdentifier.hear` returns.

    Responses of one call share forward passes with one another and with those of no other call,
    so what a call returns depends on nothing that was asked before.

    Args:
        judge: The identifier.
        states: States of each context by network, tensors [C, d].
    """

    judge: TrainedIdentifier
    states: tuple[Sequence[Tensor], ...]

    def probabilities(self, at: Sequence[int], responses: Sequence[str]) -> np.ndarray:
        """Calibrated probabilities of responses, [N, 3, 3]: mechanisms, then levels.

        Args:
            at: Which of the heard contexts each response answers.
            responses: The responses.
        """
        import numpy as np

        from emotone.judges.calibration import softmax
        from emotone.judges.empathy_model import LEVELS, MECHANISMS

        out = np.zeros((len(responses), len(MECHANISMS), LEVELS))
        for net, states in zip(self.judge.nets, self.states, strict=True):
            found = response_logits(net, states, at, responses, batch=self.judge.batch)
            for mechanism, logits in found.items():
                heat = self.judge.card.temperatures[mechanism]
                out[:, MECHANISMS.index(mechanism)] = softmax(logits, heat)
        return out

    def identify(self, at: Sequence[int], responses: Sequence[str]) -> list[EmpathyLevels]:
        """Choose the levels of each response; arguments are those of `probabilities`."""
        return self.judge.decide(self.probabilities(at, responses))


def context_states(net: IdentifierNet, contexts: Sequence[str], *, batch: int) -> list[Tensor]:
    """States of each context, [C, d], in order; contexts of like length go together."""
    trunk = net.response if net.context is None else net.context
    if not contexts:
        return []
    rows = encode(net.response.tokenizer, contexts, net.spec.max_context, keep="end")
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out: list[Tensor] = [torch.empty(0)] * len(rows)
    net.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            at = order[start : start + batch]
            states = trunk.states(*trunk.pad([rows[i] for i in at]))
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
    trunk = net.response
    rows = encode(trunk.tokenizer, responses, net.spec.max_response, keep="beginning")
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), len(states[at[i]])))
    net.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            ids, mask = trunk.pad([rows[i] for i in some])
            chosen = [states[at[i]] for i in some]
            context = pad_sequence(chosen, batch_first=True)
            lengths = torch.tensor([len(c) for c in chosen])
            heard = torch.arange(context.shape[1]) < lengths[:, None]
            evidence = net.heard(context, heard, trunk.states(ids, mask), mask)
            for mechanism, said in evidence.items():
                out[mechanism][some] = said.levels.double().numpy()
    return out
