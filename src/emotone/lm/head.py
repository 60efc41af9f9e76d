"""The last map of a language model, at chosen positions and for chosen tokens only.

For a small model and a large vocabulary the output layer is a large share of the work, and most
of it is not needed: positions of the prompt, padding, and tokens that could not be sampled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from emotone.models.packed import is_plain_linear


def logits(
    model: nn.Module, states: Tensor, tokens: Tensor | None = None, rows: Tensor | None = None
) -> Tensor:
    """Return what the model's own forward pass would give, float32.

    Args:
        model: Of transformers, with an output layer.
        states: Last states of the trunk, [N, d].
        tokens: Ids to compute, [N, K]; None for the whole vocabulary.
        rows: The output layer's weights of these tokens, [N, K, d]; None to look them up.

    Returns:
        [N, K], or [N, V].
    """
    config: Any = model.config
    layer: Any = model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
    if tokens is not None and not is_plain_linear(layer):  # a quantised one has no rows
        return logits(model, states).gather(-1, tokens)
    if getattr(config, "scale_decoder_outputs", False):  # T5 with tied embeddings
        states = states * config.d_model**-0.5
    bias = getattr(model, "final_logits_bias", None)  # of BART
    if tokens is None:
        scores = layer(states).float()
        if bias is not None:
            scores = scores + bias[0].float()
    else:
        # In float32 whatever autocast says: ratios of close probabilities need it.
        with torch.autocast(states.device.type, enabled=False):
            if rows is None:
                rows = nn.functional.embedding(tokens, layer.weight)
            scores = (rows.float() @ states.float()[..., None])[..., 0]
        for added in (layer.bias, None if bias is None else bias[0]):
            if added is not None:
                scores = scores + added[tokens].float()
    if scaling := getattr(config, "logits_scaling", None):  # of Granite
        scores = scores / scaling
    if cap := getattr(config, "final_logit_softcapping", None):  # of Gemma 2
        scores = (scores / cap).tanh() * cap
    return scores
