"""Rows of a model's word table, looked up once a pass.

An encoder-decoder model reads the prompt, reads the reply and says the support by one table. Three
lookups make three gradients of the table's full size, most of it zeros, which are then added up:
at 32,000 words that is a tenth of an update on a CPU. One lookup makes one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Rows(NamedTuple):
    """Rows of the table.

    Args:
        prompts: What the encoder reads, [B, P, d].
        replies: What the decoder reads, [B, T, d].
        support: What the output layer says by, [N, K, d]; None without a support, or where the
            output layer has another table.
    """

    prompts: Tensor
    replies: Tensor
    support: Tensor | None


def rows(model: Any, prompts: Tensor, replies: Tensor, support: Tensor | None) -> Rows:
    """Look up tokens with gradients.

    Args:
        model: An encoder-decoder model of transformers.
        prompts: Token ids, [B, P].
        replies: Token ids that go into the decoder, [B, T].
        support: Token ids to say, [N, K], or None.
    """
    reads = model.get_encoder().get_input_embeddings()
    writes = model.get_decoder().get_input_embeddings()
    says = model.get_output_embeddings()
    # A table of another type may do more than look up; BART's multiplies.
    if type(reads) is not nn.Embedding or reads.weight is not writes.weight:
        return Rows(reads(prompts), writes(replies), None)
    wanted = [prompts, replies]
    if support is not None and type(says) is nn.Linear and says.weight is reads.weight:
        wanted.append(support)
    parts = [ids.numel() for ids in wanted]
    found = reads(torch.cat([ids.flatten() for ids in wanted])).split(parts)
    made = [x.view(*ids.shape, -1) for ids, x in zip(wanted, found, strict=True)]
    return Rows(made[0], made[1], made[2] if len(made) == 3 else None)
