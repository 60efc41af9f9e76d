"""Random emotion vectors of a random model, for tests and docs."""

from __future__ import annotations

import torch
from torch import nn

from emotone.emotions import EKMAN
from emotone.steering.card import VectorsCard
from emotone.steering.dose import Curve
from emotone.steering.fingerprint import fingerprint
from emotone.steering.listen import Listener
from emotone.steering.vectors import EmotionVectors


def tiny_vectors(model: nn.Module) -> EmotionVectors:
    """Return random vectors and ears for a model of `emotone.models.tiny`: 3 blocks of width 32."""
    draw = torch.Generator().manual_seed(0)
    labels = EKMAN.labels[:6]
    directions = {label: torch.randn(3, 32, generator=draw) * 0.5 for label in labels}
    curve = Curve(((-100.0, -1.0), (0.0, 0.0), (100.0, 1.0)))
    card = VectorsCard(
        "tiny",
        fingerprint(model),
        norms=(1.0, 1.0, 1.0),
        curves=dict.fromkeys(labels, curve),
    )
    listener = Listener(
        labels,
        1,
        torch.randn(len(labels), 32, generator=draw),
        torch.zeros(len(labels)),
        torch.zeros(32),
        torch.ones(32),
    )
    return EmotionVectors(directions, card, listener)
