"""Embeddings of sentences and of their tokens, for similarity of content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from emotone.models.token_ids import marked_ids

if TYPE_CHECKING:
    import numpy as np

#: Longer texts are cut to this many tokens.
_MAX_TOKENS = 256


def sentence_embedder(
    name: str = "minilm", *, batch: int = 64
) -> Callable[[Sequence[str]], np.ndarray]:
    """Load a sentence encoder and return a function from texts to unit vectors [N, d].

    The embedding is the mean of the last states over real tokens, scaled to length 1.

    Source: Reimers and Gurevych 2019 (Sentence-BERT), mean pooling.
    """
    import numpy as np
    import torch

    model, tokenizer = _encoder(name)

    def embed(texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), model.config.hidden_size), np.float32)
        for rows, states, mask in _states(model, tokenizer, texts, batch):
            # An empty text still has its begin and end tokens, so the mean is defined.
            weight = mask[..., None].float()
            mean = (states * weight).sum(1) / weight.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return out

    return embed


def token_embedder(
    name: str = "minilm", *, batch: int = 64
) -> Callable[[Sequence[str]], list[np.ndarray]]:
    """Load an encoder and return a function from texts to their tokens' last states, [T, d] each.

    The encoder's own begin and end tokens are left out, so an empty text has T = 0.
    """
    model, tokenizer = _encoder(name)

    def embed(texts: Sequence[str]) -> list[np.ndarray]:
        out: list[Any] = [None] * len(texts)
        for rows, states, mask in _states(model, tokenizer, texts, batch):
            for i, row, real in zip(rows, states, mask, strict=True):
                out[i] = row[real][1:-1].numpy()
        return out

    return embed


def _encoder(name: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    from emotone.models.progress import quiet
    from emotone.models.store import locate

    location = locate(name)
    source = location.name if location.path is None else str(location.path)
    local = location.path is not None
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        model = AutoModel.from_pretrained(source, local_files_only=local, use_safetensors=True)
    return model.eval(), tokenizer


def _states(
    model: Any, tokenizer: Any, texts: Sequence[str], batch: int
) -> Iterator[tuple[list[int], Any, Any]]:
    """Yield rows of texts of like length, their states [B, T, d] and mask, True at real tokens."""
    import torch

    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        ids = marked_ids(tokenizer, [texts[i] for i in rows], _MAX_TOKENS, keep="beginning")
        encoded = tokenizer.pad({"input_ids": ids}, return_tensors="pt", verbose=False)
        with torch.inference_mode():
            states = model(**encoded).last_hidden_state
        yield rows, states, encoded["attention_mask"].bool()
