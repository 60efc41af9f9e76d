"""The system on random models, made in a moment, for tests and docs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotone.models.tiny import tiny_causal_lm, tiny_seq2seq
from emotone.steering.tiny import tiny_vectors
from emotone.systems.emprl.config import ReplySettings
from emotone.systems.emprl.folder import Card
from emotone.systems.emprl.responder import EmpRL
from emotone.training.adapters import Adapters, adapter_weights, add_adapters, merge_adapters
from emotone.types import EmpathyLevels


@dataclass(frozen=True, slots=True)
class TinyIdentifier:
    """A judge of empathy that knows nothing, and always says the same of the same words."""

    name: str = "tiny-identifier"

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Probabilities from the checksum of (context, response), [N, 3, 3]."""
        weights = np.zeros((len(pairs), 3, 3))
        for i, pair in enumerate(pairs):
            digest = hashlib.sha256("\n".join(pair).encode("utf-8")).digest()[:9]
            weights[i] = np.frombuffer(digest, np.uint8).reshape(3, 3) + 1.0
        return weights / weights.sum(-1, keepdims=True)

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        """Return the likeliest levels of each pair."""
        return [EmpathyLevels(*map(int, row)) for row in self.probabilities(pairs).argmax(-1)]

    def read_contexts(self, contexts: Sequence[str]) -> TinyContexts:
        """Keep the contexts; there is nothing to read."""
        return TinyContexts(self, tuple(contexts))


@dataclass(frozen=True, slots=True)
class TinyContexts:
    """Contexts of the tiny identifier."""

    identifier: TinyIdentifier
    contexts: tuple[str, ...]

    def probabilities(self, at: Sequence[int], responses: Sequence[str]) -> np.ndarray:
        """Probabilities of responses to the contexts `at`, [N, 3, 3]."""
        return self.identifier.probabilities(self._pairs(at, responses))

    def identify(self, at: Sequence[int], responses: Sequence[str]) -> list[EmpathyLevels]:
        """Levels of responses to the contexts `at`."""
        return self.identifier.identify(self._pairs(at, responses))

    def _pairs(self, at: Sequence[int], responses: Sequence[str]) -> list[tuple[str, str]]:
        return [(self.contexts[i], response) for i, response in zip(at, responses, strict=True)]


def tiny() -> EmpRL:
    """Return the system on a random chat model with a random low-rank change and vectors."""
    lm = tiny_causal_lm()
    add_adapters(lm.model, Adapters(rank=2, alpha=4.0), seed=1)
    for name, value in adapter_weights(lm.model).items():
        if "lora_B" in name:  # 0 at the start of a training
            value.data.fill_(0.2)
    merge_adapters(lm.model)
    return EmpRL(
        lm,
        Card("causal", base="tiny", stage="ppo", max_prompt=1024, identifier="tiny-identifier"),
        ReplySettings(candidates=2),
        vectors=tiny_vectors(lm.model),
        identifier=TinyIdentifier(),
    )


def tiny_t5() -> EmpRL:
    """Return the system on a random T5."""
    card = Card("seq2seq", stage="ppo", max_prompt=1024, identifier="tiny-identifier")
    settings = ReplySettings(candidates=3)
    return EmpRL(tiny_seq2seq(), card, settings, identifier=TinyIdentifier())
