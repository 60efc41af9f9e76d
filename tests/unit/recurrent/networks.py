"""Tiny networks of all three systems in all their variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from emotone.data.batch import Batch, collate
from emotone.data.pairs import Pair
from emotone.recurrent.config import Sizes
from emotone.recurrent.responder import tiny_corpus
from emotone.systems import a_seq2seq, ecm, emo_seq

PAIRS = (
    Pair((5, 6, 7), (11, 9, 4), 1),
    Pair((8,), (12, 13), 2),
    Pair((9, 4, 5, 6, 7, 10, 11), (), 0),
    Pair((5, 5), (11, 12, 13, 14, 15), 5),
    Pair((1,), (11,), 4),
    Pair((14, 15), (11, 1, 13), 3),
)


def sizes(place: int, **changes: Any) -> Sizes:
    """One of eight sizes in which each two options meet in all their values (Taguchi's L8)."""
    a, b, c = place & 1, place >> 1 & 1, place >> 2
    layers = 1 + (a ^ b)
    both = bool(a ^ c)
    reads = ("state+context", "state")[b ^ c]
    made = Sizes(
        embedding=5,
        hidden=6,
        layers=layers,
        encoder_layers=layers,
        encoder_hidden=3 if both else 6,
        bidirectional=both,
        cell=("gru", "lstm")[a],
        attention=("additive", "general")[b],
        bridge=("map", "copy")[c],
        reads=reads,
        first_context=("attention", "last")[a ^ b ^ c],
        tied=reads == "state",
        out=5 if c else 0,
        dropout=0.0,
        blank=0.0,
    )
    return replace(made, **changes)


def _variants() -> Iterator[tuple[str, Any, Any, tuple[str, str | None]]]:
    for place in range(8):
        yield f"a_seq2seq-{place}", a_seq2seq, a_seq2seq.Config(sizes=sizes(place)), ("en", None)
        parts = ecm.Parts(place != 1, place != 2, place != 3, width=3, memory=4)
        yield f"ecm-{place}", ecm, ecm.Config(sizes=sizes(place), parts=parts), ("zh", "nlpcc")
        plain = sizes(place, bidirectional=False, encoder_hidden=6)
        config = ecm.Config(sizes=plain, parts=replace(parts, style="faithful"))
        yield f"ecm-faithful-{place}", ecm, config, ("zh", "nlpcc")
        guide = emo_seq.Guide(
            weight=float(place != 4),
            threshold=0.05,
            most=7,
            joint=bool(place & 1),
            tag=place != 5,
            width=3 if place != 6 else 0,
        )
        config = emo_seq.Config(sizes=sizes(place), guide=guide)
        yield f"emo_seq-{place}", emo_seq, config, ("en", "ekman")


#: Name -> module, config, and language and taxonomy of the tiny corpus.
VARIANTS: dict[str, Any] = {name: rest for name, *rest in _variants()}


def network(name: str, **changes: Any) -> Any:
    """Build one in float64 for measuring, with random numbers in all its parameters."""
    module, config, corpus = VARIANTS[name]
    if changes:
        config = replace(config, sizes=replace(config.sizes, **changes))
    made = module.build(config, tiny_corpus(*corpus)).double().eval()
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in made.parameters():
            value.normal_(0, 0.6, generator=draws)
    return made


def batch(pairs: Any = PAIRS) -> Batch:
    return collate(pairs)


def asked(name: str, emotions: torch.Tensor) -> torch.Tensor | None:
    return None if name.startswith("a_seq2seq") else emotions
