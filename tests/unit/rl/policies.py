"""Tiny policies of both kinds, and prompts of unlike length for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from emotone.models.tiny import tiny_causal_lm, tiny_seq2seq
from emotone.rl.causal import CausalPolicy
from emotone.rl.policy import Prompts, trainable_parameters
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.types import Dialogue, Post, Speaker

KINDS = ("seq2seq", "causal")


def policy_of(kind: str, **settings: Any) -> Seq2SeqPolicy | CausalPolicy:
    """A policy with random weights; the same each time."""
    if kind == "seq2seq":
        lm = tiny_seq2seq()
        return Seq2SeqPolicy(lm.model, lm.tokenizer, **settings)
    lm = tiny_causal_lm()
    return CausalPolicy(lm.model, lm.tokenizer, **{"system": "Be kind.", **settings})


def dialogues(*texts: str) -> list[Dialogue]:
    return [Dialogue.of(text) for text in texts]


def talk(*texts: str) -> Dialogue:
    """Posts by turns, the last one the user's."""
    speakers = [Speaker.USER, Speaker.ASSISTANT]
    first = (len(texts) - 1) % 2
    return Dialogue(tuple(Post(t, speakers[(first + i) % 2]) for i, t in enumerate(texts)))


def some_prompts(policy: Seq2SeqPolicy | CausalPolicy) -> Prompts:
    """Three prompts of unlike length, so that two of them are padded."""
    return policy.prompts(policy.encode(dialogues("hi", "my dog died today", "I am so happy!")))


def moved(policy: Seq2SeqPolicy | CausalPolicy, size: float = 0.05) -> None:
    """Change every weight that learns, as an optimiser would."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in trainable_parameters(policy).values():
            p += size * torch.randn(p.shape, generator=draw)


def singles(count: int) -> Iterator[slice]:
    return (slice(i, i + 1) for i in range(count))
