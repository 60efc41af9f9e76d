"""Sentence embeddings, for similarity of content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def sentence_embedder(
    name: str = "minilm", *, batch: int = 64
) -> Callable[[Sequence[str]], np.ndarray]:
    """Load a sentence encoder and return a function from texts to unit vectors [N, d].

    The embedding is the mean of the last states over real tokens, scaled to length 1.

    Source: Reimers and Gurevych 2019 (Sentence-BERT), mean pooling.
    """
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    from emotone.models.quiet import quiet
    from emotone.models.store import locate

    location = locate(name)
    source = location.name if location.path is None else str(location.path)
    local = location.path is not None
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        model = AutoModel.from_pretrained(source, local_files_only=local, use_safetensors=True)
    model.eval()

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), model.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            # An empty text still has its begin and end tokens, so the mean is defined.
            encoded = tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            states = model(**encoded).last_hidden_state
            weight = encoded["attention_mask"][..., None].float()
            mean = (states * weight).sum(1) / weight.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return out

    return embed
