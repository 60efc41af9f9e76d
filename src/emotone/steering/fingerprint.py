"""Tell one model's weights from another's."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor, nn

from emotone.steering.layers import blocks, text_config


def fingerprint(model: nn.Module) -> str:
    """Identify a model's weights, whatever file or type they were loaded from.

    A hash over the shape of the model, the first 256 token embeddings and every block's norms,
    all rounded to bfloat16, so that the same weights in float32 and bfloat16 agree. Quantised
    loading leaves these tensors alone, and so do low-rank adapters, merged or not: an adapted
    model counts as its base. Calibration was measured on the base, so intensities may act a
    little more or less strongly on the adapted one.
    """
    config = text_config(model)
    digest = hashlib.sha256()
    shape = [
        getattr(config, k, None)
        for k in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")
    ]
    digest.update(json.dumps(shape).encode())
    embedding = model.get_input_embeddings().weight[:256]  # pyright: ignore
    digest.update(_bytes(embedding))
    for name, parameter in blocks(model)[-1].named_parameters():
        if parameter.dim() == 1 and "norm" in name:
            digest.update(_bytes(parameter))
    return digest.hexdigest()[:32]


def _bytes(tensor: Tensor) -> bytes:
    return (
        tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
    )
