"""How fluent replies are, by measures that do not punish emotion itself.

An angry human sentence is unlikely under a neutral model too, so likelihood is taken under the
model prompted for the emotion and compared with human texts of that emotion; collapse shows in
non-words and repeats; loss of the subject in similarity and diversity against unsteered replies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from emotone.emotions import EmotionMix
from emotone.lm.chat import prompt_ids, system_prompt
from emotone.lm.likelihood import token_nats
from emotone.types import Dialogue

Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts -> unit vectors [N, d], for similarity of content."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Fluency:
    """Fluency of a set of replies.

    Args:
        perplexity: (a) Under the unsteered model prompted for the emotion, as a ratio to that of
            human texts of the emotion; 1 is as likely as people's. NaN without human texts.
        known: (b) Share of words that are known.
        repeats: (c) Share of word 4-grams that occurred before in the same reply.
        similarity: (d) Mean cosine of reply and post, as a ratio to unsteered replies.
        distinct: (d) Distinct-2 over all replies, as a ratio to unsteered replies.
        words: (e) Mean length in words.
    """

    perplexity: float
    known: float
    repeats: float
    similarity: float
    distinct: float
    words: float


def words(text: str) -> list[str]:
    """Return the lower-case words of a text; digits and signs are left out."""
    return [w.lower().replace("’", "'") for w in _WORD.findall(text)]


def known_share(texts: Sequence[str], vocabulary: Collection[str]) -> float:
    """Share of words that are in the vocabulary, over all texts; 1 for no words.

    A word with an ending ("'s", "n't", "'ll") counts by its stem.
    """
    every = [w for text in texts for w in words(text)]
    if not every:
        return 1.0
    return sum(w in vocabulary or w.split("'")[0] in vocabulary for w in every) / len(every)


def tokenizer_words(tokenizer: Any) -> frozenset[str]:
    """Return the words that are one token of a tokenizer: the common ones of its training."""
    pieces = (tokenizer.convert_tokens_to_string([t]) for t in tokenizer.get_vocab())
    return frozenset(p.strip().lower() for p in pieces if p.startswith(" ") and p.strip().isalpha())


def repeated_share(texts: Sequence[str], size: int = 4) -> float:
    """Share of word n-grams that already occurred in the same text; 0 for none."""
    total = repeats = 0
    for text in texts:
        row = words(text)
        grams = [tuple(row[i : i + size]) for i in range(len(row) - size + 1)]
        total += len(grams)
        repeats += len(grams) - len(set(grams))
    return repeats / total if total else 0.0


def distinct(texts: Sequence[str], size: int = 2) -> float:
    """Distinct-n: different word n-grams over all n-grams of all texts; 0 for none.

    Source: Li et al. 2016.
    """
    grams = [
        tuple(row[i : i + size]) for row in map(words, texts) for i in range(len(row) - size + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 0.0


def prompted_perplexity(
    model: nn.Module,
    tokenizer: Any,
    pairs: Sequence[tuple[Dialogue, str]],
    mix: EmotionMix | None,
    *,
    system: str,
    batch: int = 32,
) -> float:
    """Token-weighted perplexity of replies under the unsteered model prompted for the emotion.

    Args:
        model: The model, not steered.
        tokenizer: Its tokenizer.
        pairs: Dialogues and replies; empty replies are left out.
        mix: The emotion that the system prompt asks for; None for none.
        system: System prompt before the emotion.
        batch: Rows a forward pass.
    """
    prompt = system_prompt(system, mix)
    rows = [(prompt_ids(tokenizer, d, prompt), reply) for d, reply in pairs if reply.strip()]
    total = 0.0
    count = 0
    for start in range(0, len(rows), batch):
        for nats in token_nats(model, tokenizer, rows[start : start + batch]):
            total += float(nats.double().sum())
            count += len(nats)
    return math.exp(total / count) if count else math.nan
